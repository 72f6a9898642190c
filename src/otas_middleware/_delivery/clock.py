"""Two clocks: a deadline that comes even where somebody has stopped Python's clock, and the destination's own."""

from __future__ import annotations

import os
import time
from email.utils import parsedate_to_datetime

_LEARN_EVERY = 5.0
"""Seconds between two looks at the `Date` of answers that say nothing about a token."""

_LONGEST = 1e9
"""Seconds; no lock can be waited for until infinity."""

_SLACK = 0.05
"""Seconds by which the system's clock, which is coarse, may call a deadline later than `time.monotonic` does."""


def _elapsed() -> float:
    """Return seconds since some fixed moment, by a clock that libraries which freeze time leave alone."""
    return os.times().elapsed if os.name == "posix" else time.monotonic()


class Deadline:
    """The moment at which a wait ends.

    Libraries that stop or shift the clock in tests replace `time.monotonic`; a wait that counts by it alone would then
    never end. The time is up as soon as either clock says so.

    Args:
        seconds: From now on.
    """

    __slots__ = ("_at", "_elapsed_at")

    def __init__(self, seconds: float) -> None:
        seconds = min(seconds, _LONGEST)
        self._at = time.monotonic() + seconds
        self._elapsed_at = _elapsed() + seconds + _SLACK

    def left(self) -> float:
        """Return the seconds that are left; 0 when the time is up."""
        return max(0.0, min(self._at - time.monotonic(), self._elapsed_at - _elapsed()))

    def earlier(self, seconds: float) -> Deadline:
        """Return a deadline that is so many seconds before this one."""
        return Deadline(self.left() - seconds)


class PeerClock:
    """The destination's clock, as far as the `Date` of its answers tells; ours until one has.

    `Date` has whole seconds, cut off, so the destination is never taken to be further than it is.
    """

    def __init__(self) -> None:
        self._offset = 0.0
        self._learnt_at: float | None = None

    @property
    def offset(self) -> float:
        """Seconds by which the destination's clock is ahead of ours; negative when it is behind."""
        return self._offset

    def learn(self, date: str | None, *, urgent: bool = False) -> None:
        """Take note of an answer's `Date` header.

        Args:
            date: Its value (RFC 9110, 6.6.1), or None when there was none.
            urgent: Look at it even though one was looked at a moment ago.
        """
        now = time.monotonic()
        if not date or (not urgent and self._learnt_at is not None and now - self._learnt_at < _LEARN_EVERY):
            return
        try:
            theirs = parsedate_to_datetime(date).timestamp()
        except (ValueError, TypeError, OverflowError):
            return
        self._learnt_at = now
        offset = theirs - time.time()
        # Within a second the clocks agree: that much is cut off.
        self._offset = 0.0 if -1.0 <= offset <= 0.5 else offset

    def until(self, moment: float) -> float:
        """Return the seconds until the destination's clock shows a moment (Unix seconds); 0 when it has passed."""
        return max(0.0, moment - time.time() - self._offset)
