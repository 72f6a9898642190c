"""What goes from memory to disk, when it comes back, and what that does to the account.

Events go to disk when memory fills up, when the destination stays away, and at the end of the process. They come back
when the destination answers. Nothing here runs on the request path, except `write_through` for `durability="spool"`.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import TYPE_CHECKING

from otas_middleware._delivery.codec import item_of, record_of
from otas_middleware._delivery.disk_queue import LEASE, Held
from otas_middleware._delivery.disk_queue.file import SpoolError
from otas_middleware._delivery.protocols import is_header_value
from otas_middleware._errors import report_internal_error
from otas_middleware._runtime import monotonic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otas_middleware._delivery.codec import Record
    from otas_middleware._delivery.disk_queue import DiskQueue
    from otas_middleware._delivery.log import DeliveryLog
    from otas_middleware._delivery.queue import Queue
    from otas_middleware._delivery.queue_item import QueueItem

POLL = 5.0
"""Seconds between two looks for events that other processes have left."""

RETRY = 5.0
"""Seconds without the disk after it failed."""


class Spooler:
    """Moves events between a queue in memory and one on disk.

    Args:
        queue: The one in memory.
        disk: The one on disk.
        build: Builds the event of an item in flight; returns False when that ended it.
        log: Who tells the operator.
        request_timeout: Seconds that one delivery takes at most.
    """

    BATCH = 100
    """Events per transaction."""

    def __init__(
        self,
        queue: Queue,
        disk: DiskQueue,
        build: Callable[[QueueItem], bool],
        log: DeliveryLog,
        request_timeout: float,
    ) -> None:
        self._queue = queue
        self._disk = disk
        self._build = build
        self._log = log
        self._request_timeout = request_timeout
        self._lock = threading.Lock()
        self._look_at = 0.0
        """When to look for events on disk, by `monotonic`."""
        self._looking = False
        self._failed_until = 0.0
        self._renewed = monotonic()
        self._forking = False
        self._unacknowledged: list[int] = []
        self._looked_around = False

    # ---- out: memory to disk

    def spill(self, keep: int, now: float) -> bool:
        """Write the oldest to disk until only `keep` are left in memory, those in flight not counted.

        Returns:
            Whether any were taken, for which a worker may have looked meanwhile, and for what they left room for.
        """
        took = False
        while now >= self._failed_until:
            batch = self._queue.grab(self.BATCH, keep)
            took = took or bool(batch)
            if not batch or not self.store(batch):
                break
            now = monotonic()
        return took

    def store(self, batch: Sequence[QueueItem]) -> bool:
        """Write events that are in flight to disk; what cannot be goes back to the queue, and False is returned."""
        written = self._put([item for item in batch if item.row is None], self._write)
        return self._put([item for item in batch if item.row is not None], self._release) and written

    def _put(self, items: Sequence[QueueItem], put: Callable[[Sequence[QueueItem]], int]) -> bool:
        try:
            evicted = put(items) if items else 0
        except SpoolError as error:
            self._fail(error)
        except Exception:  # ours
            report_internal_error("delivery.store")
        else:
            self._queue.stored(items, evicted)
            self._look_at = 0.0
            return True
        finally:
            for item in reversed(items):
                self._queue.give_back(item)  # what has not been stored
        return False

    def _write(self, items: Sequence[QueueItem]) -> int:
        """Write events that are in memory only; return how many older ones had to make room."""
        records = [found for item in items if (found := self._record(item)) is not None]
        return self._disk.write(records)[1] if records else 0

    def _release(self, items: Sequence[QueueItem]) -> int:
        """Give back events that lie on disk already."""
        self._disk.release([Held(it.row, it.failures, it.possibly_stored) for it in items if it.row is not None])
        return 0

    def _record(self, item: QueueItem) -> Record | None:
        """Return what is written of an event; None for one that has ended, and for one that cannot be written."""
        if not self._build(item) or item.envelope is None:
            return None
        if not is_header_value(item.envelope.token):
            self._queue.lost(item, "bad_token")
            return None
        try:
            return record_of(item, item.envelope)
        except Exception:  # a value that is no JSON: this event's own fault
            self._queue.lost(item, "internal_error")
            report_internal_error("delivery.store")
            return None

    def write_through(self, item: QueueItem) -> bool:
        """Write a built event to disk and keep it for this process (request path, `durability="spool"`)."""
        if item.envelope is None or not is_header_value(item.envelope.token):
            return False
        try:
            rows, evicted = self._disk.write([record_of(item, item.envelope)], leased=True)
        except SpoolError as error:
            self._fail(error)
            return False
        item.row = rows[0]
        self._queue.stored((), evicted)
        return True

    # ---- in: disk to memory

    def pause(self, now: float) -> float | None:
        """Return the seconds until the disk should be looked at; None while that is done, or its events wait here."""
        if self._looking or self._queue.recalled > self.BATCH // 2:
            return None
        return max(0.0, max(self._look_at, self._failed_until) - now)

    def recall(self, limit: int) -> None:
        """Bring the oldest events from disk into memory."""
        with self._lock:
            if self._looking:
                return
            self._looking = True
        found: list[tuple[int, Record]] = []
        broken: list[int] = []
        unreadable = self._disk.unreadable
        try:
            found = self._disk.claim(limit, self._queue.max_bytes // 4)
            items, broken = _items(found)
            self._queue.recall(items, len(broken))
            passed = found or self._disk.unreadable > unreadable  # behind those there may be others
            self._look_at = 0.0 if passed else monotonic() + POLL
        except SpoolError as error:
            self._fail(error)
        except BaseException:  # no memory, or no descriptor for an import: who holds them must have them
            with contextlib.suppress(SpoolError):
                self._disk.release([Held(row, record.failures, record.possibly_stored) for row, record in found])
            raise
        finally:
            self._looking = False
        if broken:
            self.acknowledge(broken)
        if not self._looked_around:
            self._looked_around = True
            self._tell_what_is_left_behind()
        if self._disk.unreadable:
            self._log.say(
                "unreadable",
                logging.WARNING,
                "otas: %d events in the spool %s were encrypted with another OTAS_SPOOL_KEY; they stay there until it "
                "is among the keys again.",
                self._disk.unreadable,
                self._disk.directory,
            )

    def _tell_what_is_left_behind(self) -> None:
        for name, count in self._disk.left_behind():
            self._log.say(
                f"left behind {name}",
                logging.WARNING,
                "otas: events (%d) wait in %s, which this process does not deliver. If they are of this project, "
                "before OTAS_SDK_KEY, OTAS_BRAIN_URL or OTAS_PROJECT_ID changed: stop the application when %s is "
                "empty, and give that name to the other one.",
                count,
                self._disk.directory / name,
                self._disk.name,
            )

    def acknowledge(self, rows: Sequence[int]) -> None:
        """Delete events that have been delivered or given up."""
        with self._lock:
            todo, self._unacknowledged = [*self._unacknowledged, *rows], []
        try:
            held = self._disk.acknowledge(todo)
        except SpoolError as error:
            with self._lock:
                self._unacknowledged += todo
            self._fail(error)
            return
        if held < len(todo):
            self._queue.account.lease_lost(len(todo) - held)

    # ---- keeping

    def maintain(self, now: float) -> None:
        """Renew leases, give back what memory had to let go, and repeat acknowledgements that failed."""
        gone = self._queue.let_go() if now >= self._failed_until else []
        try:
            if gone:
                self._release(gone)
                self._look_at = 0.0
        except SpoolError as error:
            self._queue.let_go(back=gone)
            self._fail(error)
        if not self._queue.account.rows and not self._unacknowledged:
            self._renewed = now
            return
        if now - self._renewed < LEASE / 4 or now < self._failed_until:
            return
        try:
            self._disk.renew()
            self._renewed = now
        except SpoolError as error:
            self._fail(error)
            return
        if self._unacknowledged:
            self.acknowledge([])

    def lease_is_good(self, now: float) -> bool:
        """Say whether what we hold is still ours for as long as a delivery takes, or until the next renewal."""
        return now - self._renewed < LEASE - min(self._request_timeout, LEASE / 2) - 1.0

    def count(self) -> int:
        """Return how many events lie on disk; 0 when nobody can tell."""
        try:
            return self._disk.count()
        except SpoolError:
            return 0

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        with self._disk.lock:
            self._disk.close()

    def before_fork(self) -> None:
        """Close the file and keep it closed until `after_fork`.

        SQLite forbids carrying a connection into a child: it remembers the file's locks by process, and the child
        would believe in locks that only the parent has.
        """
        self._forking = self._disk.lock.acquire(timeout=3.0)  # longer than SQLite waits for a lock of its own
        if self._forking:
            self._disk.close()

    def after_fork(self) -> None:
        """Let the parent use the file again."""
        if self._forking:
            self._disk.lock.release()

    def _fail(self, error: SpoolError) -> None:
        self._failed_until = monotonic() + RETRY
        self._log.say(
            "spool",
            logging.ERROR,
            "otas: the spool in %s cannot be used: %s. Until it can, events wait in memory only.",
            self._disk.directory,
            error,
        )


def _items(found: Sequence[tuple[int, Record]]) -> tuple[list[QueueItem], list[int]]:
    """Return the items of what was read, and the rows that hold no event."""
    items: list[QueueItem] = []
    broken: list[int] = []
    for row, record in found:
        try:
            items.append(item_of(record, row))
        except ValueError:
            broken.append(row)
    return items, broken
