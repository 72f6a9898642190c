"""The circuit breaker: when a destination counts as away, how long nothing is sent then, and what ends that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otas_middleware._delivery.protocols import Verdict
from otas_middleware._delivery.retry import bounded_pause, full_jitter

if TYPE_CHECKING:
    from otas_middleware._delivery.protocols import Outcome

_FAILURES_IN_A_ROW = 5
"""So many failures in a row that may be the events' own fault are taken for the destination's."""

_FLOOR = 0.05
"""Seconds; a probe never follows a failure sooner than this."""


class Breaker:
    """Closed while the destination answers; open after failures; half open while one probe is on its way.

    Not thread-safe: its owner calls it under a lock. Times are `monotonic` seconds.

    Args:
        longest: Upper bound of the pause between two probes, in seconds.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._failures = 0
        self._suspects = 0
        self._until = 0.0
        self._probing = False
        self.reason = ""
        """Why it is open; empty while it is closed."""
        self.since = 0.0
        """When it opened."""

    @property
    def closed(self) -> bool:
        """Whether events may flow freely."""
        return not self.reason

    def wait(self, now: float) -> float:
        """Return the seconds until an event may be sent: 0 for now, infinity while a probe is out."""
        if self.closed:
            return 0.0
        if self._probing:
            return float("inf")
        return max(0.0, self._until - now)

    def sent(self) -> None:
        """Note that an event goes out; while open, it is the probe."""
        self._probing = not self.closed

    def unsent(self) -> None:
        """Note that what went out did not tell anything about the destination."""
        self._probing = False

    def learn(self, outcome: Outcome, now: float) -> tuple[bool, bool]:
        """Learn from an outcome; return whether that opened the breaker, and whether it closed it."""
        verdict = outcome.verdict
        if verdict == Verdict.DELIVERED:
            return False, self.succeeded()
        if outcome.reason == "internal_error":
            self.unsent()  # a fault of ours tells nothing about the destination
            return False, False
        if verdict in {Verdict.UNAVAILABLE, Verdict.MISCONFIGURED}:
            return self.failed(outcome.reason, now, outcome.retry_after), False
        if verdict == Verdict.RETRYABLE:
            # No answer at all says more about the destination than an answer of 500.
            if outcome.ambiguous:
                return self.failed(outcome.reason, now, outcome.retry_after), False
            return self.suspect(outcome.reason, now), False
        return False, self.succeeded()

    def succeeded(self) -> bool:
        """Note an answer that shows the destination well; return True when that closed the breaker."""
        was_open = self.reason != ""
        self._failures = self._suspects = 0
        self._probing = False
        self.reason = ""
        return was_open

    def suspect(self, reason: str, now: float) -> bool:
        """Note a failure that may be the event's own; return True when it opened the breaker."""
        self._suspects += 1
        if self.closed and self._suspects < _FAILURES_IN_A_ROW:
            return False
        return self.failed(reason, now)

    def failed(self, reason: str, now: float, pause: float | None = None) -> bool:
        """Note a failure of the destination; return True when it opened the breaker.

        Args:
            reason: The outcome's reason.
            now: The clock.
            pause: Seconds that the destination asked for; the backoff's delay when None.
        """
        opened = self.closed
        if not opened and not self._probing:
            return False  # sent before it opened: one outage is one failure, however many requests it met
        self._probing = False
        self._failures += 1
        if opened:
            self.since = now
        self.reason = reason
        wait = full_jitter(self._failures, self._longest) if pause is None else bounded_pause(pause)
        self._until = now + max(_FLOOR, wait)
        return opened

    def flush_now(self) -> None:
        """Allow the next probe at once (someone waits in `flush`)."""
        self._until = 0.0
