"""The end of a wait, and the destination's clock."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

from otas_middleware._runtime import monotonic

_LEARN_EVERY = 5.0
"""Seconds between two looks at the `Date` of answers that say nothing about a token."""

_LONGEST = 1e9
"""Seconds; no lock can be waited for until infinity."""


class Deadline:
    """The moment at which a wait ends.

    Args:
        seconds: From now on.
    """

    __slots__ = ("_at",)

    def __init__(self, seconds: float) -> None:
        self._at = monotonic() + min(seconds, _LONGEST)

    def left(self) -> float:
        """Return the seconds that are left; 0 when the time is up."""
        return max(0.0, self._at - monotonic())


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
        self._offset = 0.0 if -1.0 <= offset <= 0.5 else offset

    def until(self, moment: float) -> float:
        """Return the seconds until the destination's clock shows a moment (Unix seconds); 0 when it has passed."""
        return max(0.0, moment - time.time() - self._offset)
