"""The threads of one exporter: started with the first event, more while the limiter allows, all of them daemons."""

from __future__ import annotations

import contextlib
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from otas_middleware import _internal_errors
from otas_middleware._delivery import process
from otas_middleware._delivery import threads as _threads
from otas_middleware._delivery.limiter import SOON

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from otas_middleware._delivery.attempt import Attempt
    from otas_middleware._delivery.exporter import Exporter
    from otas_middleware._delivery.queue import QueueItem

BATCH_DELAY = 0.03
"""Seconds that a woken thread waits for company before it begins: fewer wake-ups, and the request goes first."""

IDLE = 10.0
"""Seconds after which a thread beyond the first ends for want of work."""


class WorkerPool:
    """Runs an exporter's threads.

    Attributes:
        sleeping: Somebody should be told of a new event. The request path clears it and calls `wake`.
    """

    def __init__(self, exporter: Exporter, attempt: Callable[[], Attempt]) -> None:
        self.sleeping = True
        self._exporter = exporter
        self._attempt = attempt
        self._work = threading.Condition(exporter.lock)
        self._settled = threading.Condition(exporter.lock)
        self._threads = 0
        self._waiting = 0
        self._batch_delay = False
        self._flushing = 0
        self._goals: list[int] = []
        self._dismissed = False
        self._deadline: float | None = None
        self.on_start: Callable[[], object] = lambda: None

    def wake(self) -> None:
        """Let one more thread look for work (request path, once per pause): wake one, or start one."""
        with self._exporter.lock:
            self._dismissed = False
            if self._waiting:
                self._batch_delay = True
                self._work.notify()
                return
            self._threads += 1
        self._start()

    def notice_settled(self) -> None:
        """Tell those who wait for an outcome. Called under the lock."""
        if self._goals and (self._exporter.queue.taken >= min(self._goals) or not self._exporter.breaker.closed):
            self._settled.notify_all()

    def target(self) -> int:
        """Return the number of the youngest event, for `flush`."""
        with self._exporter.lock:
            return self._exporter.queue.taken + len(self._exporter.queue.fresh)

    def flush(self, target: int, deadline: float, *, while_well: bool = False) -> bool:
        """Deliver now; return True when the first `target` events have left, False when the time was up first.

        Args:
            target: A number that the queue gives its entries.
            deadline: `time.monotonic` seconds.
            while_well: Return as soon as the destination is found to be away.
        """
        exporter = self._exporter
        with self._hurry(probe=not while_well):
            with exporter.lock:
                threadless = not self._threads and exporter.queue.count > 0
                self._threads += threadless
            if threadless and not self._start():
                self._drain(deadline, while_well=while_well)
            with exporter.lock:
                self._goals.append(target)
                try:
                    return self._wait_for(target, deadline, while_well=while_well)
                finally:
                    self._goals.remove(target)

    def _wait_for(self, target: int, deadline: float, *, while_well: bool) -> bool:
        queue = self._exporter.queue
        while not (queue.taken >= target and queue.oldest_number() > target):
            left = deadline - time.monotonic()
            if left <= 0 or (while_well and not self._exporter.breaker.closed):
                return False
            self._settled.wait(left)
        return True

    def last_chance(self, deadline: float, *, while_well: bool = False) -> bool:
        """Flush for the end of the process: no request that starts from now on may outlive the deadline."""
        self._deadline = deadline
        return self.flush(self.target(), deadline, while_well=while_well)

    def dismiss(self) -> None:
        """Let the threads end, each after what it is sending now. The next event starts a new one."""
        with self._exporter.lock:
            self._dismissed = self.sleeping = True
            self._deadline = None
            self._work.notify_all()

    @contextlib.contextmanager
    def _hurry(self, *, probe: bool) -> Generator[None]:
        """Nobody lingers, and, if wanted, the next probe goes out at once."""
        with self._exporter.lock:
            self._flushing += 1
            if probe:
                self._exporter.breaker.flush_now()
            self._work.notify_all()
        try:
            yield
        finally:
            with self._exporter.lock:
                self._flushing -= 1

    def _start(self) -> bool:
        """Start a thread that has been counted already; return False where threads cannot run."""
        process.hook_pool_worker()
        self.on_start()
        if _threads.start(self._run, f"otas-{self._exporter.name}"):
            return True
        with self._exporter.lock:
            self._threads -= 1
            self.sleeping = True  # the next event tries again: a thread may be had later
        return False

    def _run(self) -> None:
        exporter = self._exporter
        attempt = None
        ahead: list[QueueItem] = []
        try:
            with process.no_fork:  # it imports the HTTP client
                attempt = self._attempt()
            attempt.use_waits(partial(self._look_ahead, ahead))
            while (entry := self._seen(ahead) or self._next()) is not None:
                exporter.process(entry, attempt, self._patience())
        except Exception:  # report_internal_error logs it; the next event starts a new thread
            with exporter.lock:
                self._threads -= 1
                self.sleeping = True
                self._return(ahead)
            _internal_errors.report_internal_error("delivery.thread")
        finally:
            if attempt is not None:
                attempt.close()

    def _look_ahead(self, ahead: list[QueueItem]) -> QueueItem | None:
        """Take and build the next event while an answer is on its way, so that the thread need not sleep until then.

        Only where answers are quick: an event that has been taken waits for this thread.
        """
        exporter = self._exporter
        with exporter.lock:
            if ahead or self._dismissed or self._deadline is not None or not exporter.queue.ready:
                return None
            if not (exporter.limiter.quick and exporter.breaker.closed and self._wanted(self._busy() - 1)):
                return None
            entry, _ = exporter.take(time.monotonic())
            if entry is None:
                return None
            start = self._reinforce()
        if start:
            self._start()
        if not exporter.make(entry):
            return None
        ahead.append(entry)
        return entry

    def _seen(self, ahead: list[QueueItem]) -> QueueItem | None:
        """Return the entry that was made ready meanwhile, unless things have changed: then it goes back."""
        if not ahead:
            return None
        with self._exporter.lock:
            if self._exporter.breaker.closed and not self._dismissed:
                return ahead.pop()
            self._return(ahead)
        return None

    def _return(self, ahead: list[QueueItem]) -> None:
        queue = self._exporter.queue
        while ahead:
            entry = ahead.pop()
            if queue.flies(entry):  # else the end of the process has taken it over
                queue.give_back(entry)

    def _drain(self, deadline: float, *, while_well: bool) -> None:
        """Deliver in the calling thread, where no other can be had."""
        exporter = self._exporter
        attempt = self._attempt()
        try:
            while (left := deadline - time.monotonic()) > 0:
                with exporter.lock:
                    entry, pause = exporter.take(time.monotonic())
                if entry is not None:
                    exporter.process(entry, attempt, min(exporter.request_timeout, left))
                elif pause is None or (while_well and not exporter.breaker.closed):
                    return
                else:
                    time.sleep(min(pause, left))
        finally:
            attempt.close()

    def _patience(self) -> float:
        timeout = self._exporter.request_timeout
        deadline = self._deadline
        return timeout if deadline is None else max(0.05, min(timeout, deadline - time.monotonic()))

    def _next(self) -> QueueItem | None:
        """Wait for the next entry; None ends the thread."""
        exporter = self._exporter
        since = time.monotonic()
        stalled = False
        while True:
            with exporter.lock:
                if self._dismissed:
                    self._threads -= 1
                    return None
                now = time.monotonic()
                recall = exporter.recall_now(now)
                if not recall:
                    pause = None
                    if self._wanted(self._busy() - 1, stalled=stalled):
                        entry, pause = exporter.take(now)
                        if entry is not None:
                            start = self._reinforce()
                            break
                    if self._threads > 1 and now - since > IDLE:
                        self._threads -= 1
                        return None
                    ready = exporter.queue.ready
                    self._rest(pause)
                    stalled = ready > 0 and exporter.queue.ready >= ready
            if recall and exporter.disk_queue is not None:
                exporter.disk_queue.recall(recall)
        if start:
            self._start()
        return entry

    def _busy(self) -> int:
        return self._threads - self._waiting

    def _wanted(self, others: int, *, stalled: bool = False) -> bool:
        """Say whether one more thread should send what is ready, beside so many others."""
        if not others:
            return True
        ready = self._exporter.queue.ready
        soon = 0.0 if stalled or self._deadline is not None else SOON
        return self._exporter.limiter.wants_another(ready, others, soon=soon)

    def _reinforce(self) -> bool:
        """Before going off to send: see that somebody looks after what is left; return True to start a thread."""
        busy = self._busy()
        if not self._exporter.queue.ready:
            self.sleeping = self._exporter.limiter.wants_another(1, busy)
        elif self._wanted(busy):
            if not self._waiting:
                self._threads += 1
                return True
            self._work.notify()
        return False

    def _rest(self, pause: float | None) -> None:
        """Wait for work, and for more of it if a new event has broken the rest.

        Args:
            pause: Seconds until there may be work; None when only a new event makes any.
        """
        others = self._busy() - 1
        if self._exporter.breaker.closed:
            self.sleeping = not others or self._exporter.limiter.wants_another(1, others)
        # Beside others, look now and then whether they get on; alone, wait for as long as need be.
        longest = SOON if others else IDLE if self._threads > 1 else float("inf")
        seconds = min(longest, longest if pause is None else pause)
        self._wait(None if seconds == float("inf") else seconds)
        if self._batch_delay:
            self._batch_delay = False
            until = time.monotonic() + BATCH_DELAY
            while not self._flushing and (left := until - time.monotonic()) > 0:
                self._wait(left)

    def _wait(self, seconds: float | None) -> None:
        self._waiting += 1
        try:
            self._work.wait(seconds)
        finally:
            self._waiting -= 1
