"""Groups events that arrive together into one transaction, and answers each when it is committed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from otas_middleware.localbrain.schema import EVENT_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otas_middleware.localbrain.store import Store

    Row = tuple[object, ...]
    Stored = Callable[[Sequence[Row]], None]


class Batch:
    """Saves rows from the event loop.

    All rows of one turn of the loop share a transaction. The insert itself runs on the loop: it takes some 15 µs an
    event, less than handing it to a thread and back, and without a file's sync it never waits for the disk.

    Args:
        store: Where the rows go.
        stored: Called on the loop with the rows that were committed.
    """

    def __init__(self, store: Store, stored: Stored) -> None:
        self._store = store
        self._stored = stored
        self._waiting: list[tuple[Row, asyncio.Future[None]]] = []

    async def save(self, row: Row) -> None:
        """Store a row; returns when it is committed.

        Raises:
            sqlite3.Error: It could not be stored.
        """
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._flush)
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.append((row, done))
        await done

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        failed: dict[int, Exception] = {}
        try:
            self._store.insert_events([row for row, _ in waiting])
        except Exception:  # one bad row must not take the others with it
            for index, (row, _) in enumerate(waiting):
                try:
                    self._store.insert_events([row])
                except Exception as error:  # the request that waits gets it
                    failed[index] = error
        for index, (_, done) in enumerate(waiting):
            if done.done():
                continue  # the request was cancelled meanwhile; its event is stored all the same
            if index in failed:
                done.set_exception(failed[index])
            else:
                done.set_result(None)
        self._stored([row for index, (row, _) in enumerate(waiting) if index not in failed])


def named(row: Row) -> dict[str, object]:
    """Name the values of a row."""
    return dict(zip(EVENT_COLUMNS, row, strict=True))
