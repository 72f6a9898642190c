"""The exporter of one destination: its queue, its pace, its counters. One that stands still does not hold up another.

The request path only calls `offer`. The worker threads (`worker_pool.py`) call `take` and `process`; the maintenance
thread (`maintenance.py`) calls `tend`; whoever ends the process calls `end`.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from otas_middleware import _internal_errors
from otas_middleware._delivery import process as _process
from otas_middleware._delivery import verdicts
from otas_middleware._delivery.circuit_breaker import Breaker
from otas_middleware._delivery.limiter import Limiter
from otas_middleware._delivery.log import DeliveryLog
from otas_middleware._delivery.protocols import Outcome, Verdict
from otas_middleware._delivery.queue import Queue, QueueItem
from otas_middleware._delivery.rejected_tokens import BadTokens
from otas_middleware._delivery.stats import DeliveryStats
from otas_middleware._delivery.worker_pool import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._delivery.attempt import Attempt
    from otas_middleware._delivery.disk_queue.disk_queue import DiskQueue
    from otas_middleware._delivery.disk_queue.store import Spool
    from otas_middleware._delivery.protocols import Weighted
    from otas_middleware._event.model import Envelope

_ITEM_WEIGHT = 2048
"""Bytes that a built entry takes beside its text, estimated."""

BATCH = 100
"""Events that are read back from disk at once."""

PATIENCE = 1.0
"""Seconds that a destination may be away before what waits for it goes to disk."""

_DISK_SECONDS = 0.2
"""Seconds for writing to disk at the end of the process, even when there is no time left."""

_EXIT_BATCH = 50
"""Events that the end of the process writes to disk between two looks at the clock."""


class Exporter:
    """The way of all events to one destination, in one process.

    Args:
        name: The destination's name, for logs and counters.
        settings: Limits and times.
        build: Makes an envelope of what the request path left; None drops the event.
        attempt: Makes one thread's way of delivering.
    """

    def __init__(
        self,
        name: str,
        settings: OtasSettings,
        build: Callable[[Any], Envelope | None],
        attempt: Callable[[], Attempt],
    ) -> None:
        self.name = name
        self.lock = threading.Lock()
        self.queue = Queue()
        self.counters = DeliveryStats()
        self.breaker = Breaker(settings.max_retry_delay)
        self.limiter = Limiter(settings.max_connections)
        self.bad_tokens = BadTokens()
        self.log = DeliveryLog(name, settings.on_loss)
        self.disk_queue: DiskQueue | None = None
        self.workers = WorkerPool(self, attempt)
        self.request_timeout = settings.request_timeout
        self.max_retries = settings.max_retries
        self.longest = settings.max_retry_delay
        self.on_bad_token: Callable[[str], object] = _ignore
        self.on_refused: Callable[[Outcome], object] = _ignore
        self.on_delivered: Callable[[Envelope, Outcome], object] = _ignore
        self.wake_maintenance: Callable[[], object] = _ignore
        self._build = build
        self._max_events = self._mark_events = settings.queue_max_events
        self._max_bytes = self._mark_bytes = settings.queue_max_bytes
        self._pressed = False

    def use_spool(self, spool: Spool, where: str) -> None:
        """Write to disk what memory should not hold: from half of its bounds on, and while the destination is away."""
        from otas_middleware._delivery.disk_queue.disk_queue import DiskQueue  # noqa: PLC0415  # sqlite3, for those who spool

        self.disk_queue = DiskQueue(self, spool, where)
        self._mark_events = self._max_events // 2
        self._mark_bytes = self._max_bytes // 2

    # ---- the request path

    def offer(self, item: Weighted | QueueItem) -> None:
        """Queue an item. What does not fit pushes the oldest out."""
        queue = self.queue
        with self.lock:
            self.counters.captured += 1
            queue.add(item)
            if type(item) is QueueItem and item.row is not None:
                self.counters.spooled += 1
            pressed = queue.count > self._mark_events or queue.bytes > self._mark_bytes
            if pressed:
                self._overflow()
            wake, self.workers.sleeping = self.workers.sleeping, False
        if wake:
            self.workers.wake()
        if pressed and not self._pressed:
            self._pressed = True
            self.wake_maintenance()

    def offer_durably(self, entry: QueueItem, envelope: Envelope) -> bool:
        """Write a built entry to disk, then queue it; return False when it could only be queued."""
        durable = self.disk_queue is not None and self.disk_queue.write_through(entry, envelope)
        self.offer(entry)
        return durable

    def refuse(self, reason: str) -> None:
        """Count an event that came in and was lost at once."""
        with self.lock:
            self.counters.captured += 1
            self.counters.lose(reason)

    def _overflow(self) -> None:
        queue = self.queue
        while queue.bytes > self._max_bytes or queue.count > self._max_events:
            oldest = queue.pop_oldest()
            if oldest is None:
                return  # all that is left is in flight
            if oldest.row is None:
                self.counters.lose("queue_full")
                oldest.settled("queue_full")
            elif self.disk_queue is not None:
                self.disk_queue.let_go(oldest)

    # ---- the exporter's threads

    def take(self, now: float) -> tuple[QueueItem | None, float | None]:
        """Return the next entry to send, or the seconds until there may be one (None: until something arrives).

        Called under the lock. The entry is in flight from here on and must be given to `process`.
        """
        pause = self.breaker.wait(now)
        if pause > 0:
            return None, pause
        # While it is away, an entry that waits for its own time will do as a probe, if there is no other.
        entry = self.queue.take(now if self.breaker.closed else float("inf"))
        if entry is None:
            waits = (self.queue.due(now), self.disk_queue.wait(now) if self.disk_queue is not None else None)
            return None, min((wait for wait in waits if wait is not None), default=None)
        self.breaker.sent()
        return entry, None

    def recall_now(self, now: float) -> int:
        """Return how many events should be read back from disk at once; 0 for none. Called under the lock."""
        if self.disk_queue is None or self.disk_queue.wait(now) != 0.0:
            return 0
        if self.breaker.closed:
            return BATCH if self.queue.count * 2 < self._mark_events else 0
        return int(self.breaker.wait(now) == 0.0 and self.queue.count == 0)  # a probe

    def process(self, entry: QueueItem, attempt: Attempt, timeout: float) -> None:
        """Build an entry, try to deliver it, and settle what comes of it. Takes as long as the destination needs."""
        if not self.make(entry) or not self._is_ours(entry):
            return
        if entry.envelope is not None and entry.envelope.token in self.bad_tokens:
            self.drop(entry, "bad_token")
            return
        with self.lock:
            if not self.queue.flies(entry):
                return  # the end of the process has taken it over
            self.counters.retries += entry.attempts > 0
            self.counters.possible_duplicates += entry.possibly_stored
            entry.attempts += 1
            entry.possibly_stored = False
        started = time.monotonic()
        try:
            outcome = attempt(entry, timeout)
        except Exception:  # a transport or destination of the user's own; report_internal_error logs it
            self._settle(entry, Outcome(Verdict.RETRYABLE, "internal_error", ambiguous=True), started)
            _internal_errors.report_internal_error("delivery.attempt")
        else:
            self._settle(entry, outcome, started)

    def make(self, entry: QueueItem) -> bool:
        """Build the envelope of an entry in flight, unless it has one; return False when that ended the entry."""
        if entry.envelope is not None:
            return True
        try:
            with _process.no_fork:  # it imports what it needs for each kind of body
                envelope = self._build(entry.item)
        except Exception:  # rendering meets whatever a client sent; report_internal_error logs it
            self.drop(entry, "build_failed")
            _internal_errors.report_internal_error("delivery.build")
            return False
        if envelope is None:
            self.drop(entry, "filtered")
            return False
        entry.envelope = envelope
        entry.item = None
        event = envelope.event
        with self.lock:
            if self.queue.flies(entry):  # else the end of the process has taken it over, at the weight it had
                self.queue.reweigh(entry, 2 * (len(event.request_body) + len(event.response_body)) + _ITEM_WEIGHT)
        return True

    def _is_ours(self, entry: QueueItem) -> bool:
        """Say whether an entry may be sent: not when it lies on disk and its lease has run out."""
        if entry.row is None or self.disk_queue is None or self.disk_queue.lease_is_good(time.monotonic()):
            return True
        with self.lock:
            if self.queue.flies(entry):
                self.breaker.unsent()
                self.queue.leave(entry)
        return False

    def drop(self, entry: QueueItem, reason: str) -> None:
        """End an entry that was not sent."""
        with self.lock:
            if not self.queue.flies(entry):
                return
            self.breaker.unsent()
            self.lose(entry, reason)
            self.workers.notice_settled()
        self._delete_row(entry)

    def lose(self, entry: QueueItem, reason: str) -> None:
        """Count an entry in flight as lost. Called under the lock."""
        self.queue.leave(entry)
        self.counters.spooled -= entry.row is not None
        self.counters.lose(reason)
        entry.settled(reason)

    def _settle(self, entry: QueueItem, outcome: Outcome, started: float) -> None:
        now = time.monotonic()
        if outcome.verdict is Verdict.DELIVERED and entry.envelope is not None:
            self.on_delivered(entry.envelope, outcome)  # before `flush` can see that it has left
        with self.lock:
            if not self.queue.flies(entry):
                return  # the end of the process has taken it over
            change = verdicts.apply(self, entry, outcome, now - started, now)
            self.workers.notice_settled()
            waiting = self.queue.count
        if change.ended:
            self._delete_row(entry)
        if change.bad_token and entry.envelope is not None:
            self.on_bad_token(entry.envelope.token)
        if change.opened:
            self.wake_maintenance()
            if outcome.verdict is Verdict.MISCONFIGURED:
                self.on_refused(outcome)
        self.log.outcome(outcome, change, waiting)
        if self.counters.dropped:
            self.log.losses(self.counters.dropped)

    def _delete_row(self, entry: QueueItem) -> None:
        if entry.row is not None and self.disk_queue is not None:
            self.disk_queue.acknowledge(entry.row)

    # ---- the maintenance thread

    def tend(self, now: float) -> float:
        """Do what the exporter's threads may be too busy for; return the seconds until it is needed again."""
        with self.lock:
            away = not self.breaker.closed and now - self.breaker.since >= PATIENCE
            closed = self.breaker.closed
            pressed, self._pressed = self._pressed, False
        if self.disk_queue is not None:
            if away:
                self.disk_queue.spill(0, now)
            elif pressed:
                self.disk_queue.spill(self._max_events // 4, now)
            self.disk_queue.tend(now)
        if self.counters.dropped:
            self.log.losses(self.counters.dropped)
        return 15.0 if closed else 0.5

    # ---- the end of the process

    def flush(self, deadline: float) -> bool:
        """Deliver what is queued, or write it to disk when the destination is away; return False if time was up.

        Args:
            deadline: `time.monotonic` seconds.
        """
        target = self.workers.target()
        if self.disk_queue is None:
            return self.workers.flush(target, deadline)
        while not self.workers.flush(target, deadline, while_well=True):
            if time.monotonic() >= deadline:
                return False
            self.disk_queue.spill(0, time.monotonic())
            time.sleep(0.01)  # what is still in flight, or a disk that fails
        return True

    def end(self, deadline: float) -> None:
        """Deliver or write to disk until the deadline (`time.monotonic` seconds), then count what remains as lost."""
        if self.disk_queue is None:
            self.workers.last_chance(deadline)
            self.workers.dismiss()
        else:
            self._end_on_disk(self.disk_queue, deadline)
        with self.lock:
            for entry in [*self._take_over(), *self.queue.grab(self.queue.count, 0)]:
                if entry.row is not None:
                    self.queue.leave(entry)
                else:
                    self.lose(entry, "exit")
        if self.counters.dropped:
            self.log.losses(self.counters.dropped)

    def _take_over(self) -> list[QueueItem]:
        self.breaker.unsent()  # a probe among them would tell nobody any more
        return self.queue.take_over()

    def _end_on_disk(self, disk_queue: DiskQueue, deadline: float) -> None:
        # Writing takes half a millisecond for each event, building included.
        reserve = min(0.7 * (deadline - time.monotonic()), 0.2 + self.queue.count * 0.0005)
        self.workers.last_chance(deadline - reserve, while_well=True)
        self.workers.dismiss()  # else its threads would bring back what is now written
        with self.lock:
            batch = self._take_over()
        deadline = max(deadline, time.monotonic() + _DISK_SECONDS)  # others may have used up the time before us
        while time.monotonic() < deadline:
            with self.lock:
                batch = batch or self.queue.grab(_EXIT_BATCH, 0)
            if not batch or not disk_queue.store(batch):
                break
            batch = []
        disk_queue.close()

    def stats(self) -> dict[str, Any]:
        """Return the counters and the state, all taken at one moment."""
        with self.lock:
            counters, queue = self.counters, self.queue
            return {
                "captured": counters.captured,
                "delivered": counters.delivered,
                "spooled": counters.spooled,
                "dropped": dict(counters.dropped),
                "queued": queue.count - queue.rows,
                "queued_bytes": queue.bytes,
                "in_flight": len(queue.flight),
                "retries": counters.retries,
                "possible_duplicates": counters.possible_duplicates,
                "failures": dict(counters.failures),
                "connections": self.limiter.limit,
                "state": self.breaker.reason or "ok",
            }


def _ignore(*_: object) -> None:
    """Take the place of a hook that nobody has set."""
