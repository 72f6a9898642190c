"""Every event, counted: captured = delivered + spooled + dropped + queued at any moment; who waits for it."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._delivery.queue_item import QueueItem
    from otas_middleware._runtime import Deadline

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

    def recount(self, queued: int) -> None:
        """Make good that somebody was interrupted in counting what came in: so many wait."""
        self.captured = self.delivered + self.spooled + self.dropped.total() + queued

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


class _Flush:
    """That so many events up to a number leave."""

    __slots__ = ("number", "open")

    def __init__(self, number: int, still: int) -> None:
        self.number = number
        self.open = still


class PendingFlushes:
    """What `flush` waits for: that all events of a moment have left.

    Args:
        lock: The queue's, which all methods are called under.
    """

    def __init__(self, lock: threading.Lock) -> None:
        self._changed = threading.Condition(lock)
        self._flushes: list[_Flush] = []

    def left(self, number: int) -> None:
        """Note that an event has left."""
        for flush in self._flushes:
            flush.open -= number <= flush.number
            if flush.open <= 0:
                self._changed.notify_all()

    def recount(self, numbers: list[int]) -> None:
        """Make good that somebody was interrupted in noting who has left: those with these numbers have not."""
        for flush in self._flushes:
            flush.open = sum(number <= flush.number for number in numbers)
        self._changed.notify_all()

    def wake_waiters(self) -> None:
        """Have those who wait look whether they still should."""
        self._changed.notify_all()

    def wait(self, number: int, still: int, deadline: Deadline, unless: Callable[[], bool]) -> bool:
        """Wait until `still` events up to a number have left; return False if they have not by then.

        Args:
            number: The youngest event's.
            still: How many are here.
            deadline: When to stop waiting.
            unless: Stop as soon as this is so; looked at again at each `wake_waiters`.
        """
        flush = _Flush(number, still)
        self._flushes.append(flush)
        try:
            while flush.open > 0:
                seconds = deadline.left()
                if seconds <= 0 or unless():
                    return False
                self._changed.wait(seconds)
            return True
        finally:
            self._flushes.remove(flush)


class Account:
    """What is in a queue, and what became of what was there; changed under the queue's lock.

    Args:
        lock: It.
        max_events: How many may be there.
        max_bytes: How much they may weigh.
    """

    def __init__(self, lock: threading.Lock, max_events: int, max_bytes: int) -> None:
        self._lock = lock
        self._max_events = max_events
        self._max_bytes = max_bytes
        self.stats = DeliveryStats()
        self.flushes = PendingFlushes(lock)
        self.here = self.bytes = 0
        """How many are in the queue, and what they weigh."""
        self.rows = 0
        """How many of them are on disk too."""
        self.numbered = 0
        """How many of them were not read back from disk."""

    def is_fuller_than(self, share: float, more: int = 0) -> bool:
        """Say whether more than this share of the room would be taken with so many more events."""
        return self.here + more > share * self._max_events or self.bytes > share * self._max_bytes

    def entered(self, item: QueueItem) -> None:
        """Count an item that is here now."""
        self.here += 1
        self.bytes += item.weight
        self.rows += item.row is not None
        self.numbered += item.seq > 0

    def left(self, item: QueueItem) -> None:
        """Take an item that is gone for good out of the sums, and tell those who wait for it."""
        self.here -= 1
        self.bytes -= item.weight
        self.rows -= item.row is not None
        if item.seq > 0:
            self.numbered -= 1
            self.flushes.left(item.seq)

    def lost(self, item: QueueItem, reason: str) -> None:
        """Count an item as lost."""
        if item.row is not None:
            self.stats.spooled -= 1
        self.stats.dropped[reason] += 1
        self.left(item)
        item.settled(reason)

    def recount(self, here: list[QueueItem]) -> None:
        """Count anew what is here, where somebody was interrupted in counting."""
        numbers = [item.seq for item in here if item.seq > 0]
        self.here, self.bytes, self.numbered = len(here), sum(item.weight for item in here), len(numbers)
        self.rows = sum(item.row is not None for item in here)
        self.stats.recount(self.here - self.rows)
        self.flushes.recount(numbers)

    def copy(self) -> dict[str, Any]:
        """Return all counters as they are now."""
        return {**self.stats.copy(), "queued": self.here - self.rows, "queued_bytes": self.bytes}

    # ---- at any time

    def interrupt(self) -> None:
        """Have those who wait look again."""
        with self._lock:
            self.flushes.wake_waiters()

    def note(self, failure: str, *, resent: bool) -> None:
        """Count an attempt's failure, unless the reason is empty, and that the event was sent twice in it."""
        with self._lock:
            if failure:
                self.stats.failures[failure] += 1
            self.stats.possible_duplicates += resent

    def lease_lost(self, count: int) -> None:
        """Count events that were delivered after their lease had run out: another process may have sent them too."""
        with self._lock:
            self.stats.possible_duplicates += count
            self.stats.delivered -= count
            self.stats.spooled += count
