"""How fast events may leave: how many requests may be under way, and whether the destination takes any.

The limit follows additive increase, multiplicative decrease.

Brain spends CPU on each event, so beyond a few connections more of them only make each one slower. So do the threads
that hold them here: they wait for the interpreter's lock. The limit grows while a backlog stands that would take long
and the latency holds, and shrinks when the latency rises or the destination fails. In a process that is busy already,
quick answers get one connection: what takes the time there is the lock, and more threads would only fight for it.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from otas_middleware._delivery.protocols import Verdict
from otas_middleware._delivery.retry import Breaker
from otas_middleware._runtime import runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._delivery.protocols import Outcome
    from otas_middleware._delivery.queue import Queue

_ROOM_UP_TO = 1.5
"""Up to this multiple of the base latency there is room for more."""

_TOO_SLOW_FROM = 2.5
"""From this multiple on there are too many."""

_NOISE = 0.005
"""Seconds that no ratio is drawn from: scheduling alone makes a reply of 1 ms take 4."""

SOON = 1.0
"""Seconds within which a backlog may be gone without another connection."""

_LOCK_WAIT = 0.02
"""Seconds; an answer that took longer was not only waiting for the interpreter's lock (5 ms at a time)."""

_BUSY = 0.7
"""From this share of one processor on, a process has no time for more threads."""

_LOAD_INTERVAL = 0.2
"""Seconds between two looks at that share."""

_BATCH, _BATCH_ALONE = 16, 64
"""Events that are built and sent in a row, and how many where nothing else is done: what runs after a wait is slow at
first, since the processor was asleep, and so is building right after sending."""

_FAR_TOO_SLOW = 5.0
"""From this multiple on the limit is halved."""

_LEARN = 0.3
"""The share by which a slower reply lifts the base while there is one request at a time."""


class Limiter:
    """An AIMD window over the number of requests under way.

    Not thread-safe: the exporter calls it under its lock. Times are seconds.

    Args:
        most: The largest limit.
        cpu: Tells the CPU seconds that this process has used.
    """

    def __init__(self, most: int, cpu: Callable[[], float] = time.process_time) -> None:
        self._most = float(most)
        self._cpu = cpu
        self._looked_at = float("-inf")
        self._used = 0.0
        self._crowded = False
        self._window = 1.0
        self._base = float("inf")
        self.latest = 0.0
        """Seconds that the last answer took; 0 before the first."""
        self._reduced_at = float("-inf")

    @property
    def limit(self) -> int:
        """How many requests may be under way."""
        return 1 if self._crowded else int(self._window)

    def wants_another(self, waiting: int, busy: int, *, soon: float = SOON) -> bool:
        """Say whether so many events, waiting behind so many requests under way, need one more at a time.

        Args:
            waiting: How many could be sent now.
            busy: How many requests are under way.
            soon: Seconds within which all should be on their way.
        """
        return busy < self.limit and waiting * self.latest > soon * busy

    def succeeded(self, latency: float, now: float, waiting: int) -> None:
        """Learn from an answer.

        Args:
            latency: Seconds from sending to the answer.
            now: `monotonic`.
            waiting: How many more events could be sent now; without them nothing is learnt about room for more.
        """
        base = self._base
        self.latest = latency
        if now - self._looked_at >= _LOAD_INTERVAL:
            self._measure_load(now)
        if latency < base:
            base = self._base = latency
        elif self._window < 2.0:
            # One request at a time does not slow itself down: the destination has become slow for good.
            self._base += (latency - base) * _LEARN
        if latency > base * _TOO_SLOW_FROM + _NOISE:
            self._shrink(now, latency, 0.5 if latency > base * _FAR_TOO_SLOW else 0.8)
        elif self._crowded:
            return
        elif waiting * latency > SOON * self._window and latency <= base * _ROOM_UP_TO + _NOISE:
            # One more per round trip of the whole window.
            self._window = min(self._most, self._window + 1.0 / self._window)

    def _measure_load(self, now: float) -> None:
        used = self._cpu()
        share = (used - self._used) / (now - self._looked_at)
        self._crowded = share > _BUSY and self.latest < _LOCK_WAIT
        self._looked_at, self._used = now, used

    def failed(self, now: float, latency: float) -> None:
        """Halve the limit, at most once per round trip, since one fault fails all that are under way."""
        self._shrink(now, latency, 0.5)

    def _shrink(self, now: float, latency: float, factor: float) -> None:
        # Requests that were sent before the last reduction say nothing about its effect.
        if now - latency >= self._reduced_at:
            self._window = max(1.0, self._window * factor)
            self._reduced_at = now


class Pace:
    """A limiter and a circuit breaker, for all threads of one exporter. What only looks, looks without the lock.

    Args:
        most: The largest number of connections.
        longest: Upper bound of the pause between two probes, in seconds.
    """

    def __init__(self, most: int, longest: float) -> None:
        self._lock = threading.Lock()
        self._breaker = Breaker(longest)
        self._limiter = Limiter(most)
        self._out: set[int] = set()
        """The numbers of the events that workers are sending."""
        self._began_at = 0.0

    @property
    def closed(self) -> bool:
        """Whether the destination takes events, as far as is known."""
        return not self._breaker.reason

    @property
    def reason(self) -> str:
        """Why it takes none; empty when it does."""
        return self._breaker.reason

    @property
    def limit(self) -> int:
        """How many requests may be under way."""
        return self._limiter.limit

    @property
    def latency(self) -> float:
        """Seconds that the last answer took; 0 before the first."""
        return self._limiter.latest

    @property
    def most_at_once(self) -> int:
        """How many events a worker takes at once: several where a single connection gets quick answers."""
        if self._limiter.limit != 1 or not 0.0 < self._limiter.latest < _LOCK_WAIT:
            return 1
        return _BATCH_ALONE if runtime.only_delivers else _BATCH

    @property
    def sending(self) -> int:
        """How many events are being sent."""
        return len(self._out)

    def seconds_down(self, now: float) -> float:
        """Return the seconds since the destination went away; 0 while it is there."""
        with self._lock:
            return 0.0 if self._breaker.closed else now - self._breaker.since

    def pause(self, now: float) -> float:
        """Return the seconds until an event may be sent: 0 for now, infinity while a probe is out."""
        if not self._breaker.reason:
            return 0.0
        with self._lock:
            return self._breaker.wait(now)

    def wants_another(self, ready: int, now: float, *, at_once: bool = False) -> bool:
        """Say whether one more worker should send, beside those that do.

        Args:
            ready: How many events could be sent now.
            now: `monotonic`.
            at_once: Nothing may wait, as at the end of the process.
        """
        stalled = now - self._began_at >= SOON
        return self._limiter.wants_another(ready, len(self._out), soon=0.0 if stalled or at_once else SOON)

    def wants_news(self) -> bool:
        """Say whether the next event should be told of at once, rather than be found by those that send."""
        return not self._out or self._limiter.wants_another(1, len(self._out))

    def begin(self, number: int, now: float) -> None:
        """Note that a worker goes off with an event; while the destination is away, it is the probe."""
        self._out.add(number)
        self._began_at = now
        if self._breaker.reason:
            with self._lock:
                self._breaker.sent()

    def done(self, number: int) -> None:
        """Note that a worker has come back."""
        self._out.discard(number)

    def forget(self) -> None:
        """Count those that are sending now no longer: what comes of it is nothing to us any more."""
        with self._lock:
            self._breaker.unsent()
            self._out.clear()

    def unsent(self) -> None:
        """Note that what went out did not tell anything about the destination."""
        with self._lock:
            self._breaker.unsent()

    def flush_now(self) -> None:
        """Allow the next probe at once."""
        with self._lock:
            self._breaker.flush_now()

    def learn(self, outcome: Outcome, latency: float, now: float, queue: Queue) -> tuple[bool, bool]:
        """Learn from an outcome; return whether the destination went away with it, and whether it came back.

        Args:
            outcome: It.
            latency: Seconds that it took.
            now: `monotonic`.
            queue: Tells how many more could be sent: without a backlog nothing is learnt about room for more.
        """
        ready = queue.ready(self._limiter.limit)
        with self._lock:
            if outcome.verdict == Verdict.DELIVERED:
                self._limiter.succeeded(latency, now, ready)
            elif outcome.verdict not in {Verdict.REJECTED, Verdict.BAD_TOKEN} and outcome.reason != "internal_error":
                self._limiter.failed(now, latency)
            return self._breaker.learn(outcome, now)
