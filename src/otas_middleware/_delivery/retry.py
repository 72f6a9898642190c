"""When to try again: backoff, the destination's clock, the circuit breaker, and what each verdict means for an event.

One policy for all who deliver: the exporters of a backend, and the tasks of a Celery worker.
"""

from __future__ import annotations

import random
import time
from email.utils import parsedate_to_datetime
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from otas_middleware._capture.session import read_claims
from otas_middleware._delivery.protocols import DELIVERED, Outcome, Verdict
from otas_middleware._runtime import monotonic

if TYPE_CHECKING:
    from otas_middleware._delivery.protocols import Response

BASE_DELAY = 0.5
"""Seconds; the first delay is drawn from 0 … this."""

LONGEST_RETRY_AFTER = 300.0
"""Seconds; a destination may not silence us for longer than this by one answer."""

LONGEST_HOLD = 600.0
"""Seconds for which a token from the future is held back at most; one from later on is left to the destination."""

CLOCK_TOLERANCE = 1.0
"""Seconds by which clocks may differ: as far as that, the destination decides."""

YOUNG_SECONDS = 60.0
"""A token that was issued within these seconds may be refused by a clock that is behind."""

YOUNG_TOKEN_DELAY = 3.0
"""Seconds before a young token that was refused is tried once more."""

_UNWELL = frozenset({408, 425, 429, 502, 503, 504})
PASSED_ON = frozenset({502, 504})
"""What a gateway says that has passed the event on and then got no answer: it may have been stored."""

_REFUSED = frozenset({401, 403, 404, 405, 407, 410, 501, 505})
_REJECTED = frozenset({400, 413, 414, 415, 422, 431})

_FAILURES_IN_A_ROW = 5
"""So many failures in a row that may be the events' own fault are taken for the destination's."""

_FLOOR = 0.05
"""Seconds; a probe never follows a failure sooner than this."""

_LEARN_EVERY = 5.0
"""Seconds between two looks at the `Date` of answers that say nothing about a token."""

_jitter = random.SystemRandom()  # forked children must not draw the same delays


def full_jitter(attempt: int, longest: float) -> float:
    """Return a delay between 0 and the exponential ceiling of this attempt, in seconds.

    "Full jitter" (Amazon Architecture Blog, "Exponential Backoff And Jitter") spreads clients that failed together.

    Args:
        attempt: 1 for the first failure.
        longest: The ceiling's ceiling, in seconds.
    """
    ceiling: float = min(longest, BASE_DELAY * 2.0 ** min(attempt - 1, 32))
    return _jitter.uniform(0.0, ceiling)


def retry_after(value: str | None, now: float | None = None) -> float | None:
    """Return the seconds that a `Retry-After` header asks for (RFC 9110, 10.2.3), or None when it says nothing.

    Args:
        value: Seconds or an HTTP date.
        now: Unix time in seconds; the clock when left out.
    """
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return bounded_pause(float(text[:9]))
    try:
        date = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return bounded_pause(date - (time.time() if now is None else now))


def bounded_pause(pause: float) -> float:
    """Return for how much of a pause that a destination asks for nothing is sent, in seconds; it may be any number."""
    return max(0.0, min(LONGEST_RETRY_AFTER, pause))


def by_status(response: Response) -> Outcome:
    """Judge an answer by its status alone (RFC 9110).

    2xx is a success. What concerns the event rejects it (400, 413, 422, …); what concerns us or the address keeps
    everything and tells the operator (redirects, 401, 403, 404, …); overload and gateways ask for patience (429, 503,
    …). Anything else may be the event's fault or the service's.

    Args:
        response: The answer.
    """
    status = response.status
    if 200 <= status < 300:
        return DELIVERED
    reason = f"http_{status}"
    wait = retry_after(response.headers.get("retry-after"))
    if status in _REJECTED:
        return Outcome(Verdict.REJECTED, reason)
    if status in _REFUSED or status < 400:
        return Outcome(Verdict.MISCONFIGURED, reason, "Check the address and the credentials.", wait)
    verdict = Verdict.UNAVAILABLE if status in _UNWELL else Verdict.RETRYABLE
    return Outcome(verdict, reason, "", wait, ambiguous=status in PASSED_ON)


class PeerClock:
    """The destination's clock, as far as the `Date` of its answers tells; ours until one has.

    `Date` has whole seconds, cut off, so the destination is never taken to be further than it is.
    """

    def __init__(self) -> None:
        self.offset = 0.0
        """Seconds by which the destination's clock is ahead of ours; negative when it is behind."""
        self._learnt_at: float | None = None

    def learn(self, date: str | None, *, urgent: bool = False) -> None:
        """Take note of an answer's `Date` header.

        Args:
            date: Its value (RFC 9110, 6.6.1), or None when there was none.
            urgent: Look at it even though one was looked at a moment ago.
        """
        now = monotonic()
        if not date or (not urgent and self._learnt_at is not None and now - self._learnt_at < _LEARN_EVERY):
            return
        try:
            theirs = parsedate_to_datetime(date).timestamp()
        except (ValueError, TypeError, OverflowError):
            return
        self._learnt_at = now
        offset = theirs - time.time()
        # Within a second the clocks agree: that much is cut off.
        self.offset = 0.0 if -1.0 <= offset <= 0.5 else offset

    def until(self, moment: float) -> float:
        """Return the seconds until the destination's clock shows a moment (Unix seconds); 0 when it has passed."""
        return max(0.0, moment - time.time() - self.offset)


class Disposition(Enum):
    """What becomes of an event after an attempt."""

    DELIVERED = "delivered"
    LOST = "lost"
    """It will never be taken."""
    TOKEN_REJECTED = "token_rejected"  # noqa: S105  # no secret
    """It is lost, and so is all that comes with its token for a while."""
    RETURNED = "returned"
    """It is as good as before; the destination is not."""
    DELAYED = "delayed"
    """It is tried again by itself, and others go first."""
    HELD = "held"
    """All that comes with its token waits until the destination's clock has reached the token."""


class Decision(NamedTuple):
    """A disposition with its reason."""

    disposition: Disposition
    reason: str
    delay: float = 0.0
    """Seconds, for `DELAYED` and `HELD`."""


class RetryPolicy:
    """Decides what an outcome means for the event.

    Args:
        max_retries: Failures of its own after which an event is given up, once others have passed.
        longest: The longest delay, in seconds.
        clock: The destination's.
    """

    def __init__(self, max_retries: int, longest: float, clock: PeerClock) -> None:
        self.max_retries = max_retries
        self.longest = longest
        self._clock = clock

    def decide(self, outcome: Outcome, token: str, *, attempts: int, failures: int, others_passed: bool) -> Decision:
        """Return the disposition of an event.

        Args:
            outcome: What came of the attempt.
            token: The event's session token.
            attempts: How often it was tried, this time included.
            failures: How often it failed by what may be its own fault, this time not included.
            others_passed: Whether the destination has taken others since the first of these failures.
        """
        verdict, reason = outcome.verdict, outcome.reason
        if verdict == Verdict.DELIVERED:
            return Decision(Disposition.DELIVERED, reason)
        if verdict == Verdict.REJECTED:
            return Decision(Disposition.LOST, reason)
        if verdict == Verdict.BAD_TOKEN:
            delay = self._wait_for(token, attempts)
            return (
                Decision(Disposition.TOKEN_REJECTED, "bad_token")
                if delay is None
                else Decision(Disposition.HELD, reason, delay)
            )
        if verdict in {Verdict.UNAVAILABLE, Verdict.MISCONFIGURED}:
            return Decision(Disposition.RETURNED, reason)
        if failures + 1 > self.max_retries and (others_passed or reason == "internal_error"):
            return Decision(Disposition.LOST, "internal_error" if reason == "internal_error" else "retries_exhausted")
        pause = outcome.retry_after
        delay = full_jitter(failures + 1, self.longest) if pause is None else bounded_pause(pause)
        return Decision(Disposition.DELAYED, reason, delay)

    def ahead(self, token: str) -> float:
        """Return the seconds to hold a token back because the destination's clock has not reached its `iat`."""
        issued = issued_at(token)
        wait = 0.0 if issued is None else self._clock.until(issued)
        return wait if CLOCK_TOLERANCE < wait <= LONGEST_HOLD else 0.0

    def _wait_for(self, token: str, attempts: int) -> float | None:
        """Return the seconds after which a refused token is tried again, or None when it was refused for good."""
        issued = issued_at(token)
        if issued is None:
            return None
        wait = self._clock.until(issued)
        if 0.0 < wait <= LONGEST_HOLD:
            return wait + CLOCK_TOLERANCE
        return YOUNG_TOKEN_DELAY if attempts == 1 and abs(time.time() - issued) < YOUNG_SECONDS else None


@lru_cache(maxsize=1024)
def issued_at(token: str) -> float | None:
    """Return a token's `iat` (Unix seconds), or None when it does not say."""
    issued = (read_claims(token) or {}).get("iat")
    return float(issued) if isinstance(issued, int | float) and abs(issued) < 1e15 else None


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
