"""The senders, as far as a Brain can know them: which packages posted what and when, and what was refused and why."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from otas_middleware.localbrain.page.http import Json

if TYPE_CHECKING:
    from starlette.responses import Response

    from otas_middleware.localbrain.incoming import Incoming
    from otas_middleware.localbrain.page.refusals import Refusals
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
        return Json({"senders": senders, "refused": self._refusals.as_list()})

    def _look(self) -> None:
        if self._cleared != self._store.times_cleared:
            self._cleared, self._seen, self._up_to = self._store.times_cleared, {}, 0
        with self._store.reading() as connection:
            newest = connection.execute("SELECT max(id) FROM event").fetchone()[0] or 0
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
