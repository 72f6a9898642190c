"""The threads of one exporter: started with the first event, more while there is work for them, all of them daemons."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from otas_middleware._delivery import process
from otas_middleware._delivery.protocols import Outcome, Verdict
from otas_middleware._errors import report_internal_error
from otas_middleware._runtime import monotonic, runtime

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Generator, Sequence

    from otas_middleware._delivery.queue_item import QueueItem
    from otas_middleware._delivery.transports import Attempt
    from otas_middleware._runtime import Deadline

BATCH_DELAY = 0.03
"""Seconds that a woken thread waits for company before it begins: fewer wake-ups, and the request goes first."""

IDLE = 10.0
"""Seconds after which a thread beyond the first ends for want of work."""

_AFTER_A_FAULT = 1.0
"""Seconds until a thread asks again after a fault of ours."""

_NO_WAY = Outcome(Verdict.UNAVAILABLE, "transport_failed", "The log names the place; events are kept meanwhile.")


class Work(NamedTuple):
    """What a worker should do next."""

    items: deque[QueueItem] | tuple[()]
    """The events to deliver, one after the other; empty for nothing."""
    pause: float | None = None
    """Without events: seconds after which to ask again; None for when it is woken."""
    more: bool = False
    """Another worker should come and help."""


class WorkSource(Protocol):
    """Who gives the workers what to do: an exporter."""

    def next_work(self) -> Work:
        """Return what one more worker should do now."""
        ...

    def deliver(self, items: deque[QueueItem], attempt: Attempt) -> None:
        """Deliver the events that `next_work` gave, and let go of each when it is sent; raises no `Exception`."""
        ...

    def return_unsent(self, items: Sequence[QueueItem], outcome: Outcome) -> None:
        """Take events back, since there is no way of delivering."""
        ...


class _Rest:
    """One thread's rest: others end it, or time does.

    Others end it in one step, which the release of a lock is: a signal's handler may raise in the middle of
    `threading.Event.set`.
    """

    __slots__ = ("_lock", "woken")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self.woken = False

    def wait(self, seconds: float | None) -> None:
        """Rest for so long, or until somebody ends it."""
        self._lock.acquire(timeout=-1 if seconds is None else max(0.0, seconds))

    def end(self) -> None:
        """End it."""
        with contextlib.suppress(RuntimeError):  # it has ended
            self._lock.release()


class WorkerPool:
    """Runs an exporter's threads.

    The thread that rested last is woken first, so that those that are one too many rest until they end.

    Args:
        name: For the threads' names.
        source: Who gives them what to do.
        make_attempt: Makes one thread's way of delivering.
        most: How many threads there may be.
    """

    def __init__(self, name: str, source: WorkSource, make_attempt: Callable[[], Attempt], most: int) -> None:
        self.on_start: Callable[[], object] = lambda: None
        """Called before a thread is started."""
        self._name = name
        self._source = source
        self._make_attempt = make_attempt
        self._most = most
        self._lock = threading.Lock()
        self._resting: list[_Rest] = []
        self._threads = 0
        self._calls = 0
        """Wake-ups that came while no thread was resting but one was about to."""
        self._asking = 0
        self._woken = 0
        """Threads whose rest an event has ended, and that have not looked for work yet."""
        self._flushing = 0
        self._hurry = threading.Event()
        """Set while somebody flushes."""
        self._generation = 0

    def wake(self) -> None:
        """Let one more thread look for work: one that rests, one that is about to, or a new one."""
        with self._void_if_interrupted():
            with self._lock:
                if self._resting:
                    rest = self._resting[-1]
                    rest.end()  # first, for there may be no stack left to do it
                    self._resting.pop()
                    rest.woken = True
                    self._woken += 1
                    return
                if self._asking > self._calls:
                    self._calls += 1
                    return
                if self._threads >= self._most:
                    return  # each looks for work again when it has done its own
                self._threads += 1
                generation = self._generation
            self._start(generation)

    def ensure_one(self) -> bool:
        """See that there is a thread; return False where none can run."""
        with self._void_if_interrupted():
            with self._lock:
                if self._threads:
                    return True
                self._threads += 1
                generation = self._generation
            return self._start(generation)

    @contextlib.contextmanager
    def _void_if_interrupted(self) -> Generator[None]:
        """Begin anew with the next event where a signal's handler raises: what is known of the threads is void then."""
        try:
            yield
        except BaseException:
            self.dismiss()
            raise

    @contextlib.contextmanager
    def flushing(self) -> Generator[None]:
        """Have nobody wait for company while the block runs."""
        with self._lock:
            self._flushing += 1
            self._hurry.set()
            self._wake_all()
        try:
            yield
        finally:
            with self._lock:
                self._flushing -= 1
                if not self._flushing:
                    self._hurry.clear()

    def dismiss(self) -> None:
        """Let the threads end, each after what it is sending now. The next event starts a new one."""
        with self._lock:
            self._generation += 1
            self._threads = self._asking = self._calls = self._woken = 0
            self._wake_all()

    def _wake_all(self) -> None:
        while self._resting:
            self._resting.pop().end()

    def deliver_in_caller(self, deadline: Deadline, unless: Callable[[], bool]) -> None:
        """Deliver in the calling thread, where no other can be had.

        Args:
            deadline: When to stop.
            unless: Stop as soon as this is so.
        """
        attempt = self._make_attempt()
        try:
            while (left := deadline.left()) > 0:
                items, pause, _ = self._source.next_work()
                if items:
                    self._source.deliver(items, attempt)
                elif pause is None or unless():
                    return
                else:
                    time.sleep(min(pause, left))
        finally:
            _close(attempt)

    def _start(self, generation: int) -> bool:
        """Start a thread that has been counted already; return False where threads cannot run."""
        started = False
        try:
            process.hook_pool_worker()
            self.on_start()
            started = process.start_thread(lambda: self._run(generation), f"otas-{self._name}")
        finally:
            if not started:
                with self._lock:
                    if generation == self._generation:
                        self._threads -= 1
        return started

    def _run(self, generation: int) -> None:
        attempt: Attempt | None = None
        busy_at = monotonic()
        try:
            while self._asks(generation):
                items, pause, more = self._next_work()
                if not items:
                    if not self._wait_for_work(generation, pause, busy_at):
                        return
                    continue
                self._found(generation)
                if more:
                    self.wake()
                attempt = attempt or self._made_attempt()
                if attempt is None:
                    self._source.return_unsent(items, _NO_WAY)
                else:
                    self._deliver(items, attempt)
                busy_at = monotonic()
        except BaseException:  # ours; with it, what is known of the threads is void, and the next event starts anew
            self.dismiss()
            raise
        finally:
            if attempt is not None:
                _close(attempt)

    def _next_work(self) -> Work:
        try:
            return self._source.next_work()
        except Exception:  # ours; the thread goes on, a little later
            report_internal_error("delivery.next_work")
            return Work((), _AFTER_A_FAULT)

    def _deliver(self, items: deque[QueueItem], attempt: Attempt) -> None:
        try:
            self._source.deliver(items, attempt)
        except BaseException:  # not even `sys.exit`, or a time-out of gevent's, in an extension ends a thread of ours
            report_internal_error("delivery.deliver")

    def _made_attempt(self) -> Attempt | None:
        """Return this thread's way of delivering; None when there is none now."""
        try:
            with runtime.no_fork:  # it imports the HTTP client
                return self._make_attempt()
        except BaseException:  # a transport of the user's own; as above
            report_internal_error("delivery.transport")
            return None

    def _asks(self, generation: int) -> bool:
        """Note that a thread looks for work; return False when it has been dismissed."""
        with self._lock:
            if generation != self._generation:
                return False
            self._asking += 1
            return True

    def _found(self, generation: int) -> None:
        """Note that a thread has found work."""
        with self._lock:
            if generation == self._generation:
                self._asking -= 1
                self._calls = min(self._calls, self._asking)

    def _wait_for_work(self, generation: int, pause: float | None, busy_at: float) -> bool:
        """Wait for work, and for more of it if an event has ended the rest; return False to end the thread.

        Args:
            generation: The thread's.
            pause: Seconds until there may be work; None when only a new event makes any.
            busy_at: `monotonic` when it last had some.
        """
        with self._lock:
            if generation != self._generation:
                return False
            self._asking -= 1
            if self._calls > self._asking:  # somebody called while we asked
                self._calls -= 1
                return True
        while True:
            with self._lock:
                if generation != self._generation:
                    return False
                alone = self._threads == 1
                if not alone and monotonic() - busy_at > IDLE:
                    self._threads -= 1
                    return False
                rest = _Rest()
                self._resting.append(rest)
            longest = None if alone else IDLE
            rest.wait(longest if pause is None else pause if longest is None else min(pause, longest))
            with self._lock:
                timed_out = rest in self._resting
                if timed_out:
                    self._resting.remove(rest)
                if not (timed_out and self._woken):
                    break
            # One that was woken, and waits for company, will look. To take its event away would keep both of us busy.
            pause = None if pause is None else max(pause, BATCH_DELAY)
        if rest.woken:
            self._hurry.wait(BATCH_DELAY)
            with self._lock:
                if generation == self._generation:
                    self._woken -= 1
        return True


def _close(attempt: Attempt) -> None:
    try:
        attempt.close()
    except BaseException:  # a transport of the user's own, once more
        report_internal_error("delivery.close")
