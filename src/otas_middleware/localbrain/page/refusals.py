"""Counts what the log endpoints refused, and what senders were told."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

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
        """Count a refusal."""
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
    for name, value in cast("list[tuple[bytes, bytes]]", scope["headers"]):
        if name == b"user-agent":
            return value.decode("latin-1")[:_LONGEST_AGENT]
    return ""
