"""The senders, as far as a Brain can know them: which packages posted what and when, and what was refused and why."""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

from otas_middleware.localbrain.page.http import Json
from otas_middleware.localbrain.page.listing import largest_id

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from otas_middleware.localbrain.django_http import Incoming
    from otas_middleware.localbrain.store import Store

_MOST_SENDERS = 200
_LONGEST_NAME = 200

# What an application is to a Brain: the project of its key, and the host that its clients call. A log of an agent's
# calls elsewhere has many hosts, and one sender.
_NEW = """
SELECT source, project_id, agent_id, framework, sdk, version, CASE source WHEN 'backend' THEN host ELSE '' END AS host,
    count(*) AS events, sum(failed) AS errors, min(arrived_at) AS first, max(arrived_at) AS last
FROM (
    SELECT source, arrived_at, project_id, CASE source WHEN 'agent' THEN agent_id ELSE '' END AS agent_id,
        coalesce(error, '') != '' AS failed,
        coalesce(json_extract(metadata, '$.framework'), '') AS framework,
        coalesce(json_extract(metadata, '$.sdk.name'), '') AS sdk,
        coalesce(json_extract(metadata, '$.sdk.version'), '') AS version,
        coalesce(CASE WHEN json_valid(request_headers) THEN json_extract(request_headers, '$.host') END, '') AS host
    FROM event WHERE id > ? AND id <= ?
)
GROUP BY 1, 2, 3, 4, 5, 6, 7
"""
_STEP = 5000


@dataclass(slots=True)
class Sender:
    """What came from one sender; times are Unix seconds."""

    events: int
    errors: int
    first: float
    last: float


class Senders:
    """Answers for the senders.

    Looking through all events takes a second for 100,000 of them, so that what was seen is remembered, and only
    what is new is looked at.
    """

    def __init__(self, store: Store, refusals: Refusals) -> None:
        self._store = store
        self._refusals = refusals
        self._seen: dict[tuple[str, ...], Sender] = {}
        self._up_to = 0
        self._cleared = store.times_cleared
        self._lock = threading.Lock()

    def senders(self, incoming: Incoming) -> Response:  # noqa: ARG002  # an answer's form
        """`GET /_page/senders`: who sent, latest first, and what was refused since this Brain started."""
        with self._lock:
            self._look()
            known = sorted(self._seen.items(), key=lambda item: -item[1].last)
        names = ("source", "project", "agent", "framework", "sdk", "version", "host")
        with self._store.reading() as connection:
            called: dict[str, str] = {
                row["id"]: row["name"]
                for row in connection.execute("SELECT id, name FROM project UNION ALL SELECT id, name FROM agent")
            }
        senders: list[dict[str, Any]] = [
            {**dict(zip(names, key, strict=True)), **asdict(sender), "owner": called.get(key[2] or key[1], "")}
            for key, sender in known
        ]
        return Json({"senders": senders, "refused": self._refusals.as_list(), "now": time.time()})

    def _look(self) -> None:
        if self._cleared != self._store.times_cleared:
            self._cleared, self._seen, self._up_to = self._store.times_cleared, {}, 0
        with self._store.reading() as connection:
            newest = largest_id(connection)
            while self._up_to < newest:
                end = min(newest, self._up_to + _STEP)
                for row in connection.execute(_NEW, (self._up_to, end)):
                    self._add(*tuple(row))
                self._up_to = end
        if len(self._seen) > _MOST_SENDERS:  # names are whatever was sent: a flood of them must not fill the memory
            latest = sorted(self._seen.items(), key=lambda item: -item[1].last)
            self._seen = dict(latest[:_MOST_SENDERS])

    def _add(self, *row: Any) -> None:
        key = tuple(str(value)[:_LONGEST_NAME] for value in row[:7])
        events, errors, first, last = row[7:]
        sender = self._seen.setdefault(key, Sender(0, 0, first, last))
        sender.events += events
        sender.errors += errors
        sender.last = max(sender.last, last)


_MOST_REASONS = 100
_LONGEST_AGENT = 120


@dataclass(slots=True)
class Refusal:
    """One reason: how often, and when and by whom it was caused last (Unix seconds; the `User-Agent`)."""

    count: int = 0
    last: float = 0.0
    user_agent: str = ""


class Refusals:
    """The refusals of one Brain since it was started."""

    def __init__(self) -> None:
        self._by_cause: OrderedDict[tuple[str, int, str], Refusal] = OrderedDict()

    def watch(self, app: ASGIApp) -> ASGIApp:
        """Return an application that does what `app` does, and counts what it refuses."""

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            status = 0

            async def look(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                elif status >= 400:
                    self.add(scope["path"], status, _reason(status, message.get("body", b"")), _user_agent(scope))
                    status = 1  # counted
                await send(message)

            await app(scope, receive, look)
            if status == 0:
                self.add(scope["path"], 0, "connection ended without an answer", _user_agent(scope))

        return watched

    def add(self, path: str, status: int, reason: str, user_agent: str = "") -> None:
        """Count a refusal.

        Args:
            path: Where the request went.
            status: What it was answered.
            reason: Why, in the service's own words.
            user_agent: Who sent it.
        """
        cause = (path, status, reason)
        refusal = self._by_cause.setdefault(cause, Refusal())
        refusal.count += 1
        refusal.last = time.time()
        refusal.user_agent = user_agent
        self._by_cause.move_to_end(cause)
        while len(self._by_cause) > _MOST_REASONS:
            self._by_cause.popitem(last=False)

    def as_list(self) -> list[dict[str, Any]]:
        """Return all reasons, the latest first."""
        return [
            {"path": path, "status": status, "reason": reason, "count": r.count, "last": r.last, "sender": r.user_agent}
            for (path, status, reason), r in reversed(self._by_cause.copy().items())
        ]


def _reason(status: int, body: bytes) -> str:
    """Say why, in Brain's own words where it has any."""
    try:
        answer: Any = json.loads(body)
    except ValueError:
        return {400: "a page (the body is too large)", 405: "method not allowed"}.get(status, "a page")
    said = cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}
    reason = str(said.get("status_description") or said.get("error") or "")
    missing = cast("list[Any]", said.get("missing_fields") or [])
    return f"{reason}: {', '.join(map(str, missing))}" if missing else reason


def _user_agent(scope: Scope) -> str:
    headers: dict[bytes, bytes] = dict(scope["headers"])
    return headers.get(b"user-agent", b"").decode("latin-1")[:_LONGEST_AGENT]
