"""How many requests may be under way: additive increase, multiplicative decrease.

Brain spends CPU on each event, so beyond a few connections more of them only make each one slower. So do the threads
that hold them here: they wait for the interpreter's lock. The limit grows while a backlog stands that would take long
and the latency holds, and shrinks when the latency rises or the destination fails. In a process that is busy already,
quick answers get one connection: what takes the time there is the lock, and more threads would only fight for it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_HOLDS = 1.5
"""Up to this multiple of the base latency there is room for more."""

_SLOWS = 2.5
"""From this multiple on there are too many."""

_NOISE = 0.005
"""Seconds that no ratio is drawn from: scheduling alone makes a reply of 1 ms take 4."""

SOON = 1.0
"""Seconds within which a backlog may be gone without another connection."""

_PERHAPS_OURS = 0.02
"""Seconds; an answer that took longer was not only waiting for the interpreter's lock (5 ms at a time)."""

_BUSY = 0.7
"""From this share of one processor on, a process has no time for more threads."""

_GLANCE = 0.2
"""Seconds between two looks at that share."""

_QUICK = 0.05
"""Seconds; for an answer that comes within them, the next event may wait."""

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
        self._latest = 0.0
        self._reduced_at = float("-inf")

    @property
    def limit(self) -> int:
        """How many requests may be under way."""
        return 1 if self._crowded else int(self._window)

    @property
    def quick(self) -> bool:
        """Whether the last answer came so quickly that an event may as well wait for the next."""
        return 0.0 < self._latest < _QUICK

    def wants_another(self, waiting: int, busy: int, *, soon: float = SOON) -> bool:
        """Say whether so many events, waiting behind so many requests under way, need one more at a time.

        Args:
            waiting: How many could be sent now.
            busy: How many requests are under way.
            soon: Seconds within which all should be on their way.
        """
        return busy < self.limit and waiting * self._latest > soon * busy

    def succeeded(self, latency: float, now: float, waiting: int) -> None:
        """Learn from an answer.

        Args:
            latency: Seconds from sending to the answer.
            now: `time.monotonic`.
            waiting: How many more events could be sent now; without them nothing is learnt about room for more.
        """
        base = self._base
        self._latest = latency
        if now - self._looked_at >= _GLANCE:
            self._glance(now)
        if latency < base:
            base = self._base = latency
        elif self._window < 2.0:
            # One request at a time does not slow itself down: the destination has become slow for good.
            self._base += (latency - base) * _LEARN
        if latency > base * _SLOWS + _NOISE:
            self._shrink(now, latency, 0.5 if latency > base * _FAR_TOO_SLOW else 0.8)
        elif self._crowded:
            return
        elif waiting * latency > SOON * self._window and latency <= base * _HOLDS + _NOISE:
            # One more per round trip of the whole window.
            self._window = min(self._most, self._window + 1.0 / self._window)

    def _glance(self, now: float) -> None:
        used = self._cpu()
        share = (used - self._used) / (now - self._looked_at)
        self._crowded = share > _BUSY and self._latest < _PERHAPS_OURS
        self._looked_at, self._used = now, used

    def failed(self, now: float, latency: float) -> None:
        """Halve the limit, at most once per round trip, since one fault fails all that are under way."""
        self._shrink(now, latency, 0.5)

    def _shrink(self, now: float, latency: float, factor: float) -> None:
        # Requests that were sent before the last reduction say nothing about its effect.
        if now - latency >= self._reduced_at:
            self._window = max(1.0, self._window * factor)
            self._reduced_at = now
