"""When to try again: full-jitter backoff, and what `Retry-After` says."""

from __future__ import annotations

import random
import time
from email.utils import parsedate_to_datetime

BASE_DELAY = 0.5
"""Seconds; the first delay is drawn from 0 … this."""

LONGEST_RETRY_AFTER = 300.0
"""Seconds; a destination may not silence us for longer than this by one answer."""

_jitter = random.SystemRandom()  # forked children must not draw the same delays


def full_jitter(attempt: int, longest: float, base: float = BASE_DELAY) -> float:
    """Return a delay between 0 and the exponential ceiling of this attempt, in seconds.

    "Full jitter" (Amazon Architecture Blog, "Exponential Backoff And Jitter") spreads clients that failed together.

    Args:
        attempt: 1 for the first failure.
        longest: The ceiling's ceiling, in seconds.
        base: The ceiling of the first delay, in seconds.
    """
    ceiling: float = min(longest, base * 2.0 ** min(attempt - 1, 32))
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
        return min(float(text[:9]), LONGEST_RETRY_AFTER)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    seconds = date.timestamp() - (time.time() if now is None else now)
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)
