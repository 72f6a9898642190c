"""Every event's fate, counted: captured = delivered + spooled + dropped + queued, at any moment."""

from __future__ import annotations

from collections import Counter


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
