"""The exporter of one destination: takes events in, says which one goes next, and ends in time.

The request path only calls `offer`. The worker pool asks for work with `next_work` and hands it to `deliver`; the
maintenance thread calls `maintain`; whoever ends the process calls `end`. One that stands still holds up no other.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from otas_middleware._delivery.limiter import SOON, Pace
from otas_middleware._delivery.log import DeliveryLog
from otas_middleware._delivery.queue import Queue
from otas_middleware._delivery.queue_item import QueueItem, built, token_of
from otas_middleware._delivery.retry import PeerClock, RetryPolicy
from otas_middleware._delivery.sender import Sender
from otas_middleware._delivery.worker_pool import Work, WorkerPool
from otas_middleware._errors import report_internal_error
from otas_middleware._runtime import Deadline, monotonic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._delivery.disk_queue import DiskQueue
    from otas_middleware._delivery.protocols import Outcome, Receipt, Weighted
    from otas_middleware._delivery.spooler import Spooler
    from otas_middleware._delivery.transports import Attempt
    from otas_middleware._event import Envelope

PATIENCE = 1.0
"""Seconds that a destination may be away before what waits for it goes to disk."""

_DISK_SECONDS, _DISK_WAIT = 0.5, 5.0
"""What writing to disk has at the end of the process even when there is no time left: seconds of the processor, of
which a busy machine grants few at a time, within so many by the clock."""

_EVENT_SECONDS, _BYTE_SECONDS = 0.0005, 2e-8
"""What writing takes, building included: twice of what it takes where nothing else is to be done."""

_EXIT_BATCH = 50
"""Events that the end of the process writes to disk between two looks at the clock."""

_LATENCY_MARGIN = 1.25
"""By so much an answer may take longer than the last one."""


class Exporter:
    """The way of all events to one destination, in one process.

    Args:
        name: The destination's name, for logs and counters.
        settings: Limits and times.
        build: Makes an envelope of what the request path left; None drops the event.
        make_attempt: Makes one thread's way of delivering, which learns the destination's clock.
        trusting: Take every session token for accepted: its signature has been checked, or it is our own.
        disk: Where to put what memory should not hold.
    """

    def __init__(
        self,
        name: str,
        settings: OtasSettings,
        build: Callable[[Any], Envelope | None],
        make_attempt: Callable[[PeerClock], Attempt],
        *,
        trusting: bool = False,
        disk: DiskQueue | None = None,
    ) -> None:
        self.name = name
        self.log = DeliveryLog(name, settings.on_loss, self.waiting)
        clock = PeerClock()
        # From half of its bounds on, memory is relieved by the disk.
        mark = 1.0 if disk is None else 0.5
        self._queue = Queue(settings.queue_max_events, settings.queue_max_bytes, mark=mark, trusting=trusting)
        self._pace = Pace(settings.max_connections, settings.max_retry_delay)
        policy = RetryPolicy(settings.max_retries, settings.max_retry_delay, clock)
        self._sender = Sender(self._queue, self._pace, policy, clock, self.log, build)
        self.hooks = self._sender.hooks
        self._spooler: Spooler | None = None
        if disk is not None:
            from otas_middleware._delivery.spooler import Spooler  # noqa: PLC0415  # sqlite3, for those who spool

            self._spooler = self._sender.spooler = Spooler(
                self._queue, disk, self._sender.build, self.log, settings.request_timeout
            )
        self._workers = WorkerPool(name, self, lambda: make_attempt(clock), settings.max_connections)
        self._asking = threading.Lock()
        """Held while a worker is given work: one at a time."""
        self._most = settings.queue_max_events
        self._request_timeout = settings.request_timeout
        self._pressed = False
        self._ending: Deadline | None = None

    def on_start(self, start: Callable[[], object]) -> None:
        """Have something done before a worker thread is started."""
        self._workers.on_start = start

    # ---- the request path

    def offer(self, captured: Weighted, receipt: Receipt | None = None) -> None:
        """Queue what the request path left, and what is told of it; what does not fit pushes the oldest out."""
        try:
            item = QueueItem(token_of(captured), int(captured.weight), captured, receipt)
        except Exception:  # whatever the application put into a request
            self.refuse("internal_error", receipt)
            report_internal_error("delivery.weigh")
        else:
            self._offer(item)

    def offer_built(self, envelope: Envelope, *, durably: bool = False) -> None:
        """Queue a finished event, `durably` when it is on disk, if there is one. Never raises."""
        try:
            item = built(envelope)
            if durably and self._spooler is not None:
                self._spooler.write_through(item)
        except Exception:
            self.refuse("internal_error")
            report_internal_error("delivery.store")
        else:
            self._offer(item)

    def _offer(self, item: QueueItem) -> None:
        taken = False
        try:
            watched, pressed = self._queue.add(item)
            taken = True
            if watched:
                self._workers.wake()
            if pressed:
                self._call_maintenance()
        except BaseException as error:  # no stack left, or a signal's handler that raises
            self._queue.watch()  # the next event has somebody look
            if not (taken and isinstance(error, RecursionError)):
                raise

    def _call_maintenance(self) -> None:
        if not self._pressed:
            self._pressed = True
            self.hooks.pressed()

    def refuse(self, reason: str, receipt: Receipt | None = None) -> None:
        """Count an event that came in and was lost at once."""
        self._queue.refuse(reason)
        if receipt is not None:
            receipt(reason)

    @property
    def crowded(self) -> bool:
        """Whether the queue is more than half full. Looks without a lock: a figure of a moment ago does as well."""
        return self._queue.is_fuller_than(0.5)

    # ---- what the workers ask for

    def next_work(self) -> Work:
        """Return what one more worker should do now; an event that it gets must be given to `deliver`."""
        now = monotonic()
        with self._asking:
            if self._spooler is None or self._until_recall(now) != 0.0 or self._pace.pause(now) > 0.0:
                work = self._work(now)
                if self._queue.was_pressed():
                    self._call_maintenance()
                return work
        self._spooler.recall(self._spooler.BATCH if self._pace.closed else 1)  # the one is a probe
        return Work((), 0.0)

    def _work(self, now: float) -> Work:
        pace, queue, limit = self._pace, self._queue, self._pace.limit
        pause = pace.pause(now)
        if pause > 0:
            return Work((), pause if pause < SOON or not pace.sending else SOON)
        if pace.sending and not self._wanted(queue.ready(limit), now):
            return Work((), SOON)  # look now and then whether the others get on
        if self._is_too_late():
            queue.account.interrupt()
            return Work(())
        # While it is away, an event that waits for its own time will do as a probe, if there is no other.
        items, left = queue.take(now, limit, pace.most_at_once, early=not pace.closed, watch=pace.wants_news())
        if not items:
            pauses = [queue.pause(now), self._until_recall(now)]
            return Work((), min((pause for pause in pauses if pause is not None), default=None))
        pace.begin(items[0].seq, now)
        if not left and pace.wants_news():
            queue.watch()
        return Work(deque(items), more=left > 0 and self._wanted(left, now))

    def _wanted(self, ready: int, now: float) -> bool:
        return self._pace.wants_another(ready, now, at_once=self._ending is not None)

    def _is_too_late(self) -> bool:
        """Say whether an answer would come after the end, so that the disk is the better place: it would come twice."""
        ending = self._ending
        return ending is not None and self._spooler is not None and ending.left() < self._pace.latency * _LATENCY_MARGIN

    def _until_recall(self, now: float) -> float | None:
        """Return the seconds until events should be read back from disk; None while there is no room or no use."""
        if self._spooler is None or self._ending is not None:
            return None
        room = not self._queue.is_fuller_than(0.25 if self._pace.closed else 0.0)
        return self._spooler.pause(now) if room else None

    def deliver(self, items: deque[QueueItem], attempt: Attempt) -> None:
        """Deliver what `next_work` gave; after a slow or a failed one the rest goes back. Raises no `Exception`."""
        number, longest, taken = items[0].seq, self._request_timeout, True
        try:
            while items and taken and not self._is_too_late():
                ending = self._ending
                timeout = longest if ending is None else max(0.05, min(longest, ending.left()))
                taken = self._sender.deliver(items, attempt, timeout) and self._pace.most_at_once > 1
        finally:
            self._sender.give_back(items)
            self._pace.done(number)

    def return_unsent(self, items: Sequence[QueueItem], outcome: Outcome) -> None:
        """Take events back from a worker that found no way of delivering."""
        self._pace.done(items[0].seq)
        opened, _ = self._pace.learn(outcome, 0.0, monotonic(), self._queue)
        self._sender.give_back(items)
        self._queue.account.interrupt()
        self.log.outcome(outcome, opened=opened)

    # ---- the maintenance thread

    def maintain(self, now: float) -> float:
        """Do what the workers may be too busy for; return the seconds until it is needed again."""
        pressed, self._pressed = self._pressed, False
        if self._queue.count > self._queue.account.here:
            self._workers.wake()  # who put it there may have been kept from that
        if self._spooler is not None:
            if self._pace.seconds_down(now) >= PATIENCE:
                self._spill(self._spooler, 0, now)
            elif pressed:
                self._spill(self._spooler, self._most // 4, now)
            self._spooler.maintain(now)
        self.log.losses(self._queue.dropped())
        return 15.0 if self._pace.closed else 0.5

    def _spill(self, spooler: Spooler, keep: int, now: float) -> None:
        """Write events to disk; who found none because these were on their way there looks again."""
        if spooler.spill(keep, now):
            self._workers.wake()

    # ---- flush, and the end of the process

    def flush(self, deadline: Deadline) -> bool:
        """Deliver what is queued, or write it to disk when the destination is away; return False if time was up."""
        if self._spooler is None:
            return self._drain(deadline)
        while not self._drain(deadline, while_well=True):
            if not deadline.left():
                return False
            self._spill(self._spooler, 0, monotonic())
            time.sleep(0.01)  # what is still in flight, or a disk that fails
        return True

    def _drain(self, deadline: Deadline, *, while_well: bool = False) -> bool:
        """Deliver now; return False when the time was up first, or `while_well` the destination is found to be away."""
        if not while_well:
            self._pace.flush_now()
        with self._workers.flushing():
            if self._queue.count and not self._workers.ensure_one():
                self._workers.deliver_in_caller(deadline, unless=lambda: while_well and not self._pace.closed)
            return self._queue.wait(deadline, lambda: while_well and self._is_hopeless())

    def _is_hopeless(self) -> bool:
        """Say whether nothing more will be delivered now."""
        return not self._pace.closed or (self._is_too_late() and not self._queue.in_flight)

    def end(self, deadline: Deadline) -> None:
        """Deliver or write to disk until the deadline, then count what remains as lost."""
        reserve = 0.0
        if self._spooler is not None:
            writing = self._queue.count * _EVENT_SECONDS + self._queue.account.bytes * _BYTE_SECONDS
            reserve = min(0.7 * deadline.left(), _DISK_SECONDS + writing)
        self._ending = Deadline(deadline.left() - reserve)
        try:
            self._drain(self._ending, while_well=self._spooler is not None)
            self._sender.finish_deleting(deadline)
        finally:  # somebody may interrupt that: what is here is written all the same
            self._spool_and_stop(deadline)
            self._count_rest_as_lost()

    def _count_rest_as_lost(self) -> None:
        for item in [*self._take_over(), *self._queue.grab(self._queue.count, 0)]:
            if item.row is not None:
                self._queue.leave_on_disk(item)
            else:
                self._queue.lost(item, "exit")
        self.log.losses(self._queue.dropped())

    def store(self, deadline: Deadline) -> None:
        """Write to disk what is here and being sent, if there is a disk; a worker delivers it from there, as ever."""
        if self._spooler is not None:
            self._ending = deadline
            self._spool_and_stop(deadline)
            self._workers.wake()

    def _spool_and_stop(self, deadline: Deadline) -> None:
        self._workers.dismiss()  # else its threads would bring back what is now written
        if self._spooler is not None:
            self._spool_rest(self._spooler, deadline)
        self._ending = None
        self._queue.watch()

    def _spool_rest(self, spooler: Spooler, deadline: Deadline) -> None:
        taken, last, begun = self._take_over(), Deadline(deadline.left() + _DISK_WAIT), time.thread_time()
        while deadline.left() or (last.left() and time.thread_time() - begun < _DISK_SECONDS):
            batch, taken = [*taken, *self._queue.grab(_EXIT_BATCH, 0)], []
            if not batch or not spooler.store(batch):
                break
        spooler.close()

    def _take_over(self) -> list[QueueItem]:
        self._pace.forget()
        return self._queue.take_over()

    # ---- forks, and what there is to see

    def before_fork(self) -> None:
        """Close the spool's file, and keep it closed."""
        if self._spooler is not None:
            self._spooler.before_fork()

    def after_fork(self) -> None:
        """Let the parent use the file again."""
        if self._spooler is not None:
            self._spooler.after_fork()

    def forget(self) -> None:
        """Let go of what a forked child has from its parent."""
        self._queue.clear()

    def waiting(self) -> int:
        """Return how many events wait here and on disk."""
        on_disk = 0 if self._spooler is None else self._spooler.count()
        return self._queue.count - (self._queue.account.rows if on_disk else 0) + on_disk

    def stats(self) -> dict[str, Any]:
        """Return the counters and the state."""
        return {**self._queue.stats(), "connections": self._pace.limit, "state": self._pace.reason or "ok"}
