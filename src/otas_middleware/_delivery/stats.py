"""Every event's fate, counted: captured = delivered + spooled + dropped + queued at any moment; who waits for it."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._delivery.clock import Deadline

LONGEST_LOOK = 1.0
"""Seconds that whoever looks at the counters waits for a change that is under way: a signal's handler that asks in the
middle of one keeps it from ending."""


class DeliveryStats:
    """The counters of one exporter.

    Not thread-safe: the queue changes them under its lock, in the same step as its content.
    """

    __slots__ = ("captured", "delivered", "dropped", "failures", "possible_duplicates", "retries", "spooled")

    def __init__(self) -> None:
        self.captured = 0
        """Events that came in."""
        self.delivered = 0
        """Events that the destination (or the broker) took."""
        self.spooled = 0
        """Events written to the spool less events that left it through this process; below zero in a process that
        delivers what others have spooled. Over all processes of a host the sum is what lies in the file."""
        self.dropped: Counter[str] = Counter()
        """Events lost, by reason."""
        self.retries = 0
        """Attempts after the first one of an event."""
        self.possible_duplicates = 0
        """Events sent again although an earlier attempt may have been stored."""
        self.failures: Counter[str] = Counter()
        """Attempts that did not succeed, by reason."""

    def evict(self, count: int) -> None:
        """Count events that had to make room on disk."""
        if count:
            self.spooled -= count
            self.dropped["spool_full"] += count

    def copy(self) -> dict[str, Any]:
        """Return all counters as they are now."""
        return {
            "captured": self.captured,
            "delivered": self.delivered,
            "spooled": self.spooled,
            "dropped": dict(self.dropped),
            "retries": self.retries,
            "possible_duplicates": self.possible_duplicates,
            "failures": dict(self.failures),
        }


class _Goal:
    """That so many events up to a number leave."""

    __slots__ = ("number", "open")

    def __init__(self, number: int, still: int) -> None:
        self.number = number
        self.open = still


class Goals:
    """What `flush` waits for: that all events of a moment have left.

    Args:
        lock: The queue's, which all methods are called under.
    """

    def __init__(self, lock: threading.Lock) -> None:
        self._changed = threading.Condition(lock)
        self._goals: list[_Goal] = []

    def left(self, number: int) -> None:
        """Note that an event has left."""
        for goal in self._goals:
            goal.open -= number <= goal.number
            if goal.open <= 0:
                self._changed.notify_all()

    def look_again(self) -> None:
        """Have those who wait look whether they still should."""
        self._changed.notify_all()

    def wait(self, number: int, still: int, deadline: Deadline, unless: Callable[[], bool]) -> bool:
        """Wait until `still` events up to a number have left; return False if they have not by then.

        Args:
            number: The youngest event's.
            still: How many are here.
            deadline: When to stop waiting.
            unless: Stop as soon as this is so; looked at again at each `look_again`.
        """
        goal = _Goal(number, still)
        self._goals.append(goal)
        try:
            while goal.open > 0:
                seconds = deadline.left()
                if seconds <= 0 or unless():
                    return False
                self._changed.wait(seconds)
            return True
        finally:
            self._goals.remove(goal)
