"""Which events are wanted: the query's parameters as SQL."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otas_middleware.localbrain.page.http import BadQueryError

if TYPE_CHECKING:
    from otas_middleware.localbrain.django_http import Incoming

_LONGEST_TEXT = 200
_CLASSES = {"2xx": 200, "3xx": 300, "4xx": 400, "5xx": 500}
_BEGUN = ("method", "agent_session_id")
_NARROW = ("path", "error", "called")
_WIDE = (
    *_NARROW,
    "query_params",
    "post_data",
    "request_headers",
    "request_body",
    "response_headers",
    "response_body",
    "custom_properties",
    "metadata",
)


@dataclass(frozen=True, slots=True)
class Filter:
    """What an event must satisfy; an empty text, None or False asks for nothing.

    Attributes:
        text: Stands, in any case of its ASCII letters, in the path, the route, the operation or the error, or begins
            the method or session id.
        everywhere: Look for `text` in headers, bodies, properties and metadata too.
        method: Exactly this one.
        status: `2xx` … `5xx`, a number, or `error`: what Brain counts as one, an event with an error text.
        source: `backend` or `agent`.
        session: Exactly this session's id.
        path: Exactly this path.
        called: Exactly this operation, or this method and route (or path, where there is no route).
        slower_than: Milliseconds.
    """

    text: str = ""
    everywhere: bool = False
    method: str | None = None
    status: str | None = None
    source: str | None = None
    session: str | None = None
    path: str | None = None
    called: str | None = None
    slower_than: float | None = None

    @property
    def reads_bodies(self) -> bool:
        """Whether whole rows have to be read, which takes long."""
        return self.everywhere and bool(self.text)

    @property
    def table(self) -> str:
        """The table with the index that finds these events fastest, in the order of their arrival."""
        if self.reads_bodies:
            return "event NOT INDEXED"
        if self.session:
            return "event INDEXED BY event_session"
        if self.path:
            return "event INDEXED BY event_path"
        if self.called:
            return "event INDEXED BY event_called"
        return "event INDEXED BY event_summary"

    def where(self) -> tuple[str, dict[str, object]]:
        """Return a condition and its named parameters."""
        conditions: list[str] = []
        values: dict[str, object] = {}

        def add(condition: str, name: str, value: object) -> None:
            conditions.append(condition)
            values[name] = value

        if self.text:
            escaped = "".join(f"\\{char}" if char in "%_\\" else char for char in self.text)
            columns = _WIDE if self.everywhere else _NARROW
            likes = [f"{column} LIKE '%' || :text || '%' ESCAPE '\\'" for column in columns]
            likes += [f"{column} LIKE :text || '%' ESCAPE '\\'" for column in _BEGUN]
            add(f"({' OR '.join(likes)})", "text", escaped)
        if self.method:
            add("method = :method", "method", self.method)
        if self.status == "error":
            conditions.append("error != ''")
        elif self.status in _CLASSES:
            add("status_code BETWEEN :status AND :status + 99", "status", _CLASSES[self.status])
        elif self.status:
            add("status_code = :status", "status", int(self.status))
        if self.source:
            add("source = :source", "source", self.source)
        if self.session:
            add("agent_session_id = :session", "session", self.session)
        if self.path is not None:
            add("path = :path", "path", self.path)
        if self.called is not None:
            add("called = :called", "called", self.called)
        if self.slower_than is not None:
            add("latency_ms > :slower_than", "slower_than", self.slower_than)
        return " AND ".join(conditions) or "1", values


def read_filter(incoming: Incoming) -> Filter:
    """Read a filter from the query.

    The parameters are `q`, `everywhere`, `method`, `status`, `source`, `session`, `path`, `called` and `slower`.

    Raises:
        BadQueryError: A parameter is not what it should be.
    """
    text = incoming.parameter("q") or ""
    if len(text) > _LONGEST_TEXT:
        raise BadQueryError(f"q must have at most {_LONGEST_TEXT} characters")
    status = incoming.parameter("status")
    if status is not None and status not in {"error", *_CLASSES} and not (status.isascii() and status.isdigit()):
        raise BadQueryError("status must be error, 2xx to 5xx, or a number")
    if status is not None and len(status) > 10:
        raise BadQueryError("status is too long")
    slower = incoming.parameter("slower")
    try:
        slower_than = None if slower is None else float(slower)
    except ValueError:
        slower_than = math.nan
    if slower_than is not None and not math.isfinite(slower_than):
        raise BadQueryError("slower must be a number of milliseconds")
    return Filter(
        text=text,
        everywhere=incoming.parameter("everywhere") is not None,
        method=incoming.parameter("method"),
        status=status,
        source=incoming.parameter("source"),
        session=incoming.parameter("session"),
        path=incoming.parameter("path"),
        called=incoming.parameter("called"),
        slower_than=slower_than,
    )
