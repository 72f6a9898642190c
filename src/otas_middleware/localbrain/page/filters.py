"""Which events are wanted: the query's parameters as SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otas_middleware.localbrain.page.http import BadQueryError, finite_number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otas_middleware.localbrain.django_http import Incoming

_LONGEST_TEXT = 200
_CLASSES = {"2xx": 200, "3xx": 300, "4xx": 400, "5xx": 500}
_BEGUN = ("method", "agent_session_id")
_NARROW = ("path", "error", "called")
_TEXTS = "query_params post_data request_headers request_body response_headers response_body custom_properties"
_WIDE = (*_NARROW, *_TEXTS.split(), "metadata")
_EXACT = {"method": "method", "source": "source", "session": "agent_session_id", "path": "path", "called": "called"}
"""Parameters, and the columns that are to hold exactly their values."""
_INDEXES = {"agent_session_id": "event_session", "path": "event_path", "called": "event_called"}


@dataclass(frozen=True, slots=True)
class Filter:
    """What an event must satisfy; an empty text, None or False asks for nothing.

    Attributes:
        text: Stands, in any case of its ASCII letters, in the path, the route, the operation or the error, or begins
            the method or session id.
        everywhere: Look for `text` in headers, bodies, properties and metadata too.
        status: `2xx` … `5xx`, a number, or `error`: what Brain counts as one, an event with an error text.
        exact: Columns and the values that they hold; `called` is an operation, or a method and route (or path, where
            there is no route).
        slower_than: Milliseconds.
    """

    text: str
    everywhere: bool
    status: str | None
    exact: Mapping[str, str]
    slower_than: float | None

    @property
    def reads_bodies(self) -> bool:
        """Whether whole rows have to be read, which takes long."""
        return self.everywhere and bool(self.text)

    @property
    def table(self) -> str:
        """The table with the index that finds these events fastest, in the order of their arrival."""
        if self.reads_bodies:
            return "event NOT INDEXED"
        index = next((name for column, name in _INDEXES.items() if column in self.exact), "event_summary")
        return f"event INDEXED BY {index}"

    def where(self) -> tuple[str, dict[str, object]]:
        """Return a condition and its named parameters."""
        conditions = [f"{column} = :{column}" for column in self.exact]
        values: dict[str, object] = dict(self.exact)

        def add(condition: str, name: str, value: object) -> None:
            conditions.append(condition)
            values[name] = value

        if self.text:
            escaped = "".join(f"\\{char}" if char in "%_\\" else char for char in self.text)
            columns = _WIDE if self.everywhere else _NARROW
            likes = [f"{column} LIKE '%' || :text || '%' ESCAPE '\\'" for column in columns]
            likes += [f"{column} LIKE :text || '%' ESCAPE '\\'" for column in _BEGUN]
            add(f"({' OR '.join(likes)})", "text", escaped)
        if self.status == "error":
            conditions.append("error != ''")
        elif self.status in _CLASSES:
            add("status_code BETWEEN :status AND :status + 99", "status", _CLASSES[self.status])
        elif self.status:
            add("status_code = :status", "status", int(self.status))
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
    slower_than = finite_number(incoming, "slower", "a number of milliseconds")
    exact = {column: value for name, column in _EXACT.items() if (value := incoming.parameter(name)) is not None}
    return Filter(text, incoming.parameter("everywhere") is not None, status, exact, slower_than)
