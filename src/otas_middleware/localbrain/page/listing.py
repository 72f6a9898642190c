"""The list of events, newest first, one event in full, and events as files: JSON as stored, or HAR.

A page of the list begins behind the last event of the page before it (keyset pagination), so that it costs the same at
any depth and new arrivals shift nothing. Most filters are answered from the narrow index `event_summary`. Where bodies
have to be read, a page looks at so many events as a quarter of a second allows, and says how far it came.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from typing import TYPE_CHECKING, Any

from starlette.responses import StreamingResponse

from otas_middleware.localbrain.page.copies import CREATOR, har_entry, to_curl, to_python
from otas_middleware.localbrain.page.filters import read_filter
from otas_middleware.localbrain.page.http import HEADERS, Json, number
from otas_middleware.localbrain.store import to_event

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator, Callable, Mapping

    from starlette.responses import Response

    from otas_middleware.localbrain.django_http import Incoming
    from otas_middleware.localbrain.page.filters import Filter
    from otas_middleware.localbrain.schema import StoredEvent
    from otas_middleware.localbrain.store import Store

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
