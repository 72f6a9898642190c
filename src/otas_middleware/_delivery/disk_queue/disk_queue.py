"""An exporter's use of its spool: what goes to disk, when it comes back, and what that does to the account.

Events go to disk when memory fills up, when the destination stays away, and at the end of the process. They come back
when the destination answers. Nothing here runs on the request path, except `write_through` for `durability="spool"`.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Literal

from otas_middleware._delivery.disk_queue.file import SpoolError
from otas_middleware._delivery.disk_queue.store import LEASE, Held, Record
from otas_middleware._delivery.queue import QueueItem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otas_middleware._delivery.disk_queue.store import Spool
    from otas_middleware._delivery.exporter import Exporter
    from otas_middleware._event.model import Envelope

BATCH = 100
"""Events per transaction."""

POLL = 5.0
"""Seconds between two looks for events that other processes have left."""

RETRY = 5.0
"""Seconds without the spool after it failed."""


class DiskQueue:
    """Moves entries between an exporter's queue and its spool.

    Args:
        exporter: The exporter.
        spool: Its spool.
        where: The spool's directory, for the log.
    """

    def __init__(self, exporter: Exporter, spool: Spool, where: str) -> None:
        self._exporter = exporter
        self._spool = spool
        self._where = where
        self._look_at = 0.0
        """When to look for events on disk, by `time.monotonic`."""
        self._looking = False
        self._failed_until = 0.0
        self._renewed = time.monotonic()
        self._forking = False
        self._unacknowledged: list[int] = []
        self._to_release: list[Held] = []
        """What memory had to let go."""

    # ---- out: memory to disk

    def spill(self, keep: int, now: float) -> None:
        """Write the oldest to disk until only `keep` are left in memory, those in flight not counted."""
        exporter = self._exporter
        while now >= self._failed_until:
            with exporter.lock:
                batch = exporter.queue.grab(BATCH, keep)
            if not batch or not self.store(batch):
                return
            now = time.monotonic()

    def store(self, batch: Sequence[QueueItem]) -> bool:
        """Write entries that are in flight to disk; on failure they go back to the queue, and False is returned."""
        exporter = self._exporter
        new = [
            _record(entry, entry.envelope)
            for entry in batch
            if entry.row is None and exporter.make(entry) and entry.envelope is not None
        ]
        held = [found for entry in batch if (found := _held_by(entry)) is not None]
        try:
            evicted = self._spool.write(new)[1] if new else 0
            if held:
                self._spool.release(held)
        except SpoolError as error:
            self._fail(error)
            with exporter.lock:
                for entry in reversed(batch):
                    if entry.seq in exporter.queue.flight:
                        exporter.queue.give_back(entry)
            return False
        with exporter.lock:
            for entry in batch:
                if exporter.queue.flight.pop(entry.seq, None) is not None:
                    exporter.counters.spooled += entry.row is None
                    entry.settled("spooled")
                    exporter.queue.forget(entry)
            self._evicted(evicted)
            self._look_at = 0.0
            exporter.workers.notice_settled()
        return True

    def write_through(self, entry: QueueItem, envelope: Envelope) -> bool:
        """Write a built entry to disk and keep it for this process (request path, `durability="spool"`)."""
        try:
            rows, evicted = self._spool.write([_record(entry, envelope)], leased=True)
        except SpoolError as error:
            self._fail(error)
            return False
        entry.row = rows[0]
        with self._exporter.lock:
            self._evicted(evicted)
        return True

    def _evicted(self, count: int) -> None:
        if count:
            self._exporter.counters.spooled -= count
            self._exporter.counters.lose("spool_full", count)

    # ---- in: disk to memory

    def wait(self, now: float) -> float | None:
        """Return the seconds until the disk should be looked at; None while somebody does. Called under the lock."""
        if self._looking or self._exporter.queue.recalled:
            return None
        return max(0.0, max(self._look_at, self._failed_until) - now)

    def recall(self, limit: int) -> None:
        """Bring the oldest events from disk into memory. Called with nothing locked."""
        exporter = self._exporter
        with exporter.lock:
            if self._looking:
                return
            self._looking = True
        found: list[tuple[int, Record]] = []
        try:
            found = self._spool.claim(limit)
        except SpoolError as error:
            self._fail(error)
        entries, broken = _entries(found)
        with exporter.lock:
            self._looking = False
            for entry in entries:
                exporter.queue.recall(entry)
            self._look_at = 0.0 if len(found) == limit else time.monotonic() + POLL
            exporter.counters.spooled -= len(broken)
            if broken:
                exporter.counters.lose("unreadable", len(broken))
        for row in broken:
            self.acknowledge(row)
        if self._spool.unreadable:
            exporter.log.say(
                "unreadable",
                logging.WARNING,
                "otas: %d events in the spool %s were encrypted with another OTAS_SPOOL_KEY; they stay there until it "
                "is among the keys again.",
                self._spool.unreadable,
                self._where,
            )

    def acknowledge(self, row: int) -> None:
        """Delete an event that has been delivered or given up."""
        rows = [*self._unacknowledged, row]
        self._unacknowledged = []
        try:
            held = self._spool.acknowledge(rows)
        except SpoolError as error:
            self._unacknowledged = rows
            self._fail(error)
            return
        if held < len(rows):  # our lease had run out: another process may have sent it too
            with self._exporter.lock:
                counters = self._exporter.counters
                counters.possible_duplicates += len(rows) - held
                counters.delivered -= len(rows) - held
                counters.spooled += len(rows) - held

    # ---- keeping

    def let_go(self, entry: QueueItem) -> None:
        """Note that memory has no room for an entry that lies on disk too; `tend` gives it back."""
        held = _held_by(entry)
        if held is not None:
            self._to_release.append(held)

    def tend(self, now: float) -> None:
        """Renew leases, give back what memory had to let go, and repeat acknowledgements that failed."""
        if self._to_release and now >= self._failed_until:
            held, self._to_release = self._to_release, []
            try:
                self._spool.release(held)
            except SpoolError as error:
                self._to_release += held
                self._fail(error)
        if not self._exporter.queue.rows and not self._unacknowledged:
            self._renewed = now
            return
        if now - self._renewed < LEASE / 4 or now < self._failed_until:
            return
        try:
            self._spool.renew()
            self._renewed = now
            if self._unacknowledged:
                rows, self._unacknowledged = self._unacknowledged, []
                self._spool.acknowledge(rows)
        except SpoolError as error:
            self._fail(error)

    def lease_is_good(self, now: float) -> bool:
        """Say whether what we hold is still ours for as long as a delivery takes."""
        return now - self._renewed < LEASE - self._exporter.request_timeout - 1.0

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        with self._spool.lock:
            self._spool.close()

    def before_fork(self) -> None:
        """Close the file and keep it closed until `after_fork`.

        SQLite forbids carrying a connection into a child: it remembers the file's locks by process, and the child
        would believe in locks that only the parent has.
        """
        self._forking = self._spool.lock.acquire(timeout=3.0)  # longer than SQLite waits for a lock of its own
        if self._forking:
            self._spool.close()

    def after_fork(self) -> None:
        """Let the parent use the file again."""
        if self._forking:
            self._spool.lock.release()

    def _fail(self, error: SpoolError) -> None:
        self._failed_until = time.monotonic() + RETRY
        self._exporter.log.say(
            "spool",
            logging.ERROR,
            "otas: the spool in %s cannot be used: %s. Until it can, events wait in memory only.",
            self._where,
            error,
        )


def _held_by(entry: QueueItem) -> Held | None:
    """Return what the spool is to know of an entry that goes back to it, or None when it does not lie there."""
    return None if entry.row is None else Held(entry.row, entry.failures, entry.possibly_stored)


def _record(entry: QueueItem, envelope: Envelope) -> Record:
    return Record(
        envelope.event.to_json(),
        envelope.token,
        envelope.session_id,
        envelope.agent_id,
        envelope.source,
        entry.failures,
        entry.possibly_stored,
    )


def _entries(found: Sequence[tuple[int, Record]]) -> tuple[list[QueueItem], list[int]]:
    """Return the entries of what was read, and the rows that hold no event."""
    entries: list[QueueItem] = []
    broken: list[int] = []
    for row, record in found:
        try:
            entries.append(_entry(row, record))
        except ValueError:
            broken.append(row)
    return entries, broken


def _entry(row: int, record: Record) -> QueueItem:
    from otas_middleware._event.model import BackendEvent, Envelope  # noqa: PLC0415  # pydantic, in the worker only

    event = BackendEvent.model_validate_json(record.body)
    source: Literal["backend", "agent"] = "agent" if record.source == "agent" else "backend"
    envelope = Envelope(event, record.token, record.session_id, record.agent_id, source)
    entry = QueueItem(envelope=envelope, weight=2048 + 2 * len(record.body), seq=-row, row=row)
    entry.failures = record.failures
    entry.possibly_stored = record.possibly_stored
    entry.attempts = int(record.possibly_stored or record.failures > 0)
    return entry
