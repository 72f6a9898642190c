"""Events as files: JSON as they were stored, or HAR for the tools that read it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from starlette.responses import StreamingResponse

from otas_middleware.localbrain.page.copies import CREATOR, har_entry
from otas_middleware.localbrain.page.filters import read_filter
from otas_middleware.localbrain.page.http import HEADERS, number
from otas_middleware.localbrain.page.listing import page_of, plain
from otas_middleware.localbrain.store import to_event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.responses import Response

    from otas_middleware.localbrain.incoming import Incoming
    from otas_middleware.localbrain.page.filters import Filter
    from otas_middleware.localbrain.schema import StoredEvent
    from otas_middleware.localbrain.store import Store

_PIECE = 100


class Exports:
    """Answers with files; of 100,000 events too, for they are written while they are read."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def as_json(self, incoming: Incoming) -> Response:
        """`GET /_page/export.json?id=` or a filter: `{"events": […]}`, newest first."""
        return self._file(incoming, "otas-events.json", '{"events":[', "]}\n", plain)

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


_to_json = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode
