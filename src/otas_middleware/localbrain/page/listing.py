"""Which events are wanted, their list, newest first, one in full, and events as files: JSON as stored, or HAR.

A page of the list begins behind the last event of the page before it (keyset pagination), so that it costs the same at
any depth and new arrivals shift nothing. Most filters are answered from the narrow index `event_summary`. Where bodies
have to be read, a page looks at so many events as a quarter of a second allows, and says how far it came.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.responses import StreamingResponse

from otas_middleware.localbrain.page.copies import CREATOR, har_entry, to_curl, to_python
from otas_middleware.localbrain.page.http import HEADERS, BadQueryError, Json, finite_number, number
from otas_middleware.localbrain.store import to_event

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator, Callable, Mapping

    from starlette.responses import Response

    from otas_middleware.localbrain.django_http import Incoming
    from otas_middleware.localbrain.schema import StoredEvent
    from otas_middleware.localbrain.store import Store

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


SUMMARY = (
    "id, arrived_at, source, method, path, status_code, latency_ms, agent_session_id, substr(error, 1, 300) AS error, "
    "operation, called"
)
_PAGE, _LARGEST_PAGE = 100, 500
_WINDOW, _WINDOW_OF_BODIES = 50_000, 1000
_BUDGET = 0.25  # seconds


class Listing:
    """Answers for events and for Agnost's records; with files, of 100,000 events too, written while they are read."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def events(self, incoming: Incoming) -> Response:
        """`GET /_page/events?before=&after=&limit=` and a filter: a page of the list, newest first.

        The answer holds `next`, the `before` of the next page, or null at the end. There may be fewer events than
        `limit`, even none, before the end. `after` leaves out what is already there. `total` is how many events there
        are, filter or not, which is also the largest id; `matching` is how many the filter lets through, where this
        page tells: where it is all of them, or there is no filter.
        """
        wanted = read_filter(incoming)
        before, after = number(incoming, "before", 2**53), number(incoming, "after", 0)
        limit = max(1, number(incoming, "limit", _PAGE, most=_LARGEST_PAGE))
        with self._store.reading() as connection:
            rows, rest = page_of(connection, wanted, SUMMARY, before=before, after=after, limit=limit)
            total = largest_id(connection)
        is_all = rest is None and after == 0 and before > total
        matching = len(rows) if is_all else total if wanted.where()[0] == "1" else None
        return Json({"events": [finite(dict(row)) for row in rows], "next": rest, "total": total, "matching": matching})

    def count(self, incoming: Incoming) -> Response:
        """`GET /_page/count` and a filter: how many events there are, and how many it lets through.

        The second is null where bodies would have to be read.
        """
        wanted = read_filter(incoming)
        where, values = wanted.where()
        with self._store.reading() as connection:
            total = largest_id(connection)
            matching = None
            if where == "1":
                matching = total
            elif not wanted.reads_bodies:
                sql = f"SELECT count(*) FROM {wanted.table} WHERE {where}"  # noqa: S608  # our own conditions
                matching = connection.execute(sql, values).fetchone()[0]
        return Json({"total": total, "matching": matching})

    def event(self, incoming: Incoming) -> Response:
        """`GET /_page/event?id=`: one event in full, and what repeats its request: a curl command, and Python."""
        event_id = number(incoming, "id")
        with self._store.reading() as connection:
            row = connection.execute("SELECT * FROM event WHERE id = ?", (event_id,)).fetchone()
        if row is None:
            return Json({"error": "there is no such event (any more)"}, 404)
        event = to_event(row)
        return Json({"event": finite(event), "curl": to_curl(event), "python": to_python(event)})

    def agnost(self, incoming: Incoming) -> Response:  # noqa: ARG002  # an answer's form
        """`GET /_page/agnost`: the numbers of sessions and events, and the latest events, newest first."""
        with self._store.reading() as connection:
            sessions = connection.execute("SELECT count(*) FROM agnost_session").fetchone()[0]
            events = connection.execute("SELECT count(*) FROM agnost_event").fetchone()[0]
            latest = connection.execute("SELECT * FROM agnost_event ORDER BY id DESC LIMIT ?", (_SHOWN,)).fetchall()
        return Json({"sessions": sessions, "events": events, "latest": [_event(row) for row in latest]})

    def as_json(self, incoming: Incoming) -> Response:
        """`GET /_page/export.json?id=` or a filter: `{"events": […]}`, newest first."""
        return self._file(incoming, "otas-events.json", '{"events":[', "]}\n", finite)

    def as_har(self, incoming: Incoming) -> Response:
        """`GET /_page/export.har?id=` or a filter: an HTTP Archive, newest first."""
        head = '{"log":{"version":"1.2","creator":' + json.dumps(CREATOR) + ',"entries":['
        return self._file(incoming, "otas-events.har", head, "]}}\n", har_entry)

    def _file(
        self, incoming: Incoming, name: str, head: str, tail: str, form: Callable[[StoredEvent], dict[str, Any]]
    ) -> Response:
        wanted = read_filter(incoming)
        only = number(incoming, "id") if incoming.parameter("id") else None
        return StreamingResponse(
            self._written(wanted, only, head, tail, form),
            media_type="application/json",
            headers={**HEADERS, "content-disposition": f'attachment; filename="{name}"'},
        )

    async def _written(
        self, wanted: Filter, only: int | None, head: str, tail: str, form: Callable[[StoredEvent], dict[str, Any]]
    ) -> AsyncIterator[bytes]:
        before: int | None = 2**53 if only is None else only + 1
        after = 0 if only is None else only - 1
        separator = head
        while before is not None:
            events, before = await asyncio.to_thread(self._piece, wanted, before, after)
            for event in events:
                yield (separator + _to_json(form(event))).encode()
                separator = ",\n"
        yield ((head if separator is head else "") + tail).encode()

    def _piece(self, wanted: Filter, before: int, after: int) -> tuple[list[StoredEvent], int | None]:
        with self._store.reading() as connection:
            rows, rest = page_of(connection, wanted, "*", before=before, after=after, limit=_PIECE)
        return [to_event(row) for row in rows], rest


def largest_id(connection: sqlite3.Connection) -> int:
    """Return the newest event's id, which is their number too: ids count from 1, and all are deleted at once."""
    newest: int = connection.execute("SELECT max(id) FROM event").fetchone()[0] or 0
    return newest


def page_of(
    connection: sqlite3.Connection, wanted: Filter, columns: str, *, before: int, after: int = 0, limit: int
) -> tuple[list[sqlite3.Row], int | None]:
    """Read a page of events, newest first.

    Args:
        connection: Where to read.
        wanted: The filter.
        columns: What to read of each event; `id` among it.
        before: Only events with a smaller id.
        after: Only events with a larger id.
        limit: At most so many.

    Returns:
        The events, and the `before` with which to go on; None when there are no more.
    """
    deadline = time.monotonic() + _BUDGET
    where, values = wanted.where()
    newest = largest_id(connection)
    step = _WINDOW_OF_BODIES if wanted.reads_bodies else _WINDOW
    rows: list[sqlite3.Row] = []
    before = min(before, newest + 1)
    while before > after + 1:
        low = max(after + 1, before - step)
        rows += connection.execute(
            f"SELECT {columns} FROM {wanted.table} "  # noqa: S608  # our own columns and conditions
            f"WHERE id BETWEEN :low AND :high AND {where} ORDER BY id DESC LIMIT :most",
            {**values, "low": low, "high": before - 1, "most": limit - len(rows)},
        ).fetchall()
        if len(rows) == limit:
            before = rows[-1]["id"]
            break
        before = low
        if time.monotonic() > deadline:
            break
    return rows, before if before > after + 1 else None


def finite(record: Mapping[str, Any]) -> dict[str, Any]:
    """Write a latency that JSON cannot hold as text: `NaN` or `Infinity` (Brain stores both, and so do we)."""
    latency = record["latency_ms"]
    if latency is None or math.isnan(latency):
        return {**record, "latency_ms": "NaN"}
    return {**record, "latency_ms": latency if math.isfinite(latency) else "Infinity"}


_SHOWN = 50
_LONGEST_NAME = 300


def _event(row: sqlite3.Row) -> dict[str, Any]:
    """Name what matters of an event; `problem` is what a sender that means both forms and a session has got wrong."""
    body = json.loads(row["body"])
    lacking = {"first": "it satisfies only the first form", "second": "it satisfies only the second form"}
    return {
        "arrived_at": row["arrived_at"],
        "session": row["session_uuid"],
        "name": str(body.get("primitive_name", ""))[:_LONGEST_NAME],
        "success": body.get("success", True) is True,
        "latency": _milliseconds(body.get("latency")),
        "problem": lacking.get(row["forms"], "") if row["session_known"] else "its session was not captured before it",
    }


def _milliseconds(latency: object) -> int | None:
    return latency if isinstance(latency, int) and not isinstance(latency, bool) else None


_PIECE = 100


_to_json = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode
