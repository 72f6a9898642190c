"""What waits to be sent, in order, bounded by count and by bytes.

Five places, one owner: `fresh` captures as the request path left them, `returned` entries that go first again,
`delayed` entries that wait for their time, `recalled` entries read back from the spool, and entries in `flight`.
Nothing here locks: the exporter calls every method under its own lock, for a few list operations at a time.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otas_middleware._delivery.protocols import Receipt, Request, Weighted
    from otas_middleware._event.model import Envelope


class QueueItem:
    """One event on its way to one destination.

    Attributes:
        seq: Its place in the order of arrival, counted from 1; negative for what was read back from the spool.
        attempts: How often it was tried.
        item: What the request path left, until it is built.
        envelope: The built event.
        request: The request that delivers it, made at the first attempt and kept for the next.
        weight: Bytes it holds on to, estimated.
        failures: Failed attempts that may be its own fault.
        delivered_before: How many events its exporter had delivered when it failed first; more since then prove that
            the destination is well and the event is not.
        possibly_stored: An attempt ended without an answer after everything was sent.
        receipt: Told what became of it, for an item that has a `receipt` (see `protocols.Receipt`).
        row: Its row in the spool, when it is there too.
    """

    __slots__ = (
        "attempts",
        "delivered_before",
        "envelope",
        "failures",
        "item",
        "possibly_stored",
        "receipt",
        "request",
        "row",
        "seq",
        "weight",
    )

    def __init__(
        self,
        item: Weighted | None = None,
        envelope: Envelope | None = None,
        *,
        weight: int,
        seq: int = 0,
        row: int | None = None,
    ) -> None:
        self.seq = seq
        self.attempts = 0
        self.item = item
        self.envelope = envelope
        self.request: Request | None = None
        self.weight = weight
        self.failures = 0
        self.delivered_before = -1
        self.possibly_stored = False
        self.row = row
        self.receipt: Receipt | None = getattr(item, "receipt", None)

    def settled(self, fate: str, stored_as: str = "") -> None:
        """Say what became of it, once, to whoever asked for a receipt."""
        receipt, self.receipt = self.receipt, None
        if receipt is not None:
            receipt(fate, stored_as)

    def __lt__(self, other: QueueItem) -> bool:
        return self.seq < other.seq


class Queue:
    """The five places and their sums."""

    __slots__ = (
        "_prefer_fresh",
        "bytes",
        "count",
        "delayed",
        "flight",
        "fresh",
        "recalled",
        "returned",
        "rows",
        "taken",
    )

    def __init__(self) -> None:
        self.fresh: deque[Weighted | QueueItem] = deque()
        self.returned: deque[QueueItem] = deque()
        self.delayed: list[tuple[float, QueueItem]] = []
        self.recalled: deque[QueueItem] = deque()
        self.flight: dict[int, QueueItem] = {}
        self.bytes = 0
        """Bytes of everything here, in flight included."""
        self.count = 0
        """How many are here, in flight included."""
        self.taken = 0
        """How many of all that ever arrived have left `fresh`."""
        self.rows = 0
        """How many of the entries here are in the spool too."""
        self._prefer_fresh = False

    @property
    def ready(self) -> int:
        """How many could be sent now."""
        return len(self.fresh) + len(self.returned) + len(self.recalled)

    def add(self, item: Weighted | QueueItem) -> None:
        """Take in a new one, behind all others."""
        self.fresh.append(item)
        self.count += 1
        self.bytes += item.weight
        if type(item) is QueueItem and item.row is not None:
            self.rows += 1

    def recall(self, entry: QueueItem) -> None:
        """Take in one that was read back from the spool."""
        self.recalled.append(entry)
        self.count += 1
        self.bytes += entry.weight
        self.rows += 1

    def take(self, now: float) -> QueueItem | None:
        """Move the next one into flight: what was sent before, then old and new in turn, then what waited long enough.

        Suspects come last, so that a poisonous event does not hold up the others.
        """
        if self.returned:
            return self._fly(self.returned.popleft())
        if self.recalled and not (self._prefer_fresh and self.fresh):
            self._prefer_fresh = True
            return self._fly(self.recalled.popleft())
        self._prefer_fresh = False
        if self.fresh:
            return self._fly(self.pop_fresh())
        if self.delayed and self.delayed[0][0] <= now:
            return self._fly(heapq.heappop(self.delayed)[1])
        return None

    def _fly(self, entry: QueueItem) -> QueueItem:
        self.flight[entry.seq] = entry
        return entry

    def pop_fresh(self) -> QueueItem:
        """Take the oldest of `fresh` out and give it its number."""
        item = self.fresh.popleft()
        self.taken += 1
        if isinstance(item, QueueItem):
            item.seq = self.taken
            return item
        return QueueItem(item, weight=item.weight, seq=self.taken)

    def due(self, now: float) -> float | None:
        """Return the seconds until the next delayed entry may go, or None when there is none."""
        return max(0.0, self.delayed[0][0] - now) if self.delayed else None

    def flies(self, entry: QueueItem) -> bool:
        """Say whether this very entry is in flight; the end of the process replaces entries by copies."""
        return self.flight.get(entry.seq) is entry

    def leave(self, entry: QueueItem) -> None:
        """Let an entry in flight go for good."""
        del self.flight[entry.seq]
        self.forget(entry)

    def give_back(self, entry: QueueItem) -> None:
        """Put an entry from flight in front of all others."""
        del self.flight[entry.seq]
        if self.returned and self.returned[0].seq < entry.seq:
            self.returned = deque(sorted((*self.returned, entry)))
        else:
            self.returned.appendleft(entry)

    def delay(self, entry: QueueItem, due: float) -> None:
        """Put an entry from flight aside until a point in time."""
        del self.flight[entry.seq]
        heapq.heappush(self.delayed, (due, entry))

    def reweigh(self, entry: QueueItem, weight: int) -> None:
        """Correct an entry's weight when it has been built."""
        self.bytes += weight - entry.weight
        entry.weight = weight

    def forget(self, entry: QueueItem) -> None:
        """Take the sums of an entry that has left for good out of ours."""
        self.count -= 1
        self.bytes -= entry.weight
        if entry.row is not None:
            self.rows -= 1

    def grab(self, limit: int, keep: int) -> list[QueueItem]:
        """Move the oldest into flight, at most `limit`, as long as more than `keep` would be left waiting."""
        grabbed: list[QueueItem] = []
        while len(grabbed) < limit and self.count - len(self.flight) > keep:
            if self.returned:
                entry = self.returned.popleft()
            elif self.fresh:
                entry = self.pop_fresh()
            elif self.delayed:
                entry = heapq.heappop(self.delayed)[1]
            else:
                entry = self.recalled.popleft()
            grabbed.append(self._fly(entry))
        return grabbed

    def take_over(self) -> list[QueueItem]:
        """Replace what is in flight by copies that only the caller has; the outcome of the originals is ignored."""
        copies: list[QueueItem] = []
        for original in self.flight.values():
            item = original.item  # before the envelope: the worker sets that first
            copy = QueueItem(item, original.envelope, weight=original.weight, seq=original.seq, row=original.row)
            copy.receipt, original.receipt = original.receipt, None
            copy.failures = original.failures
            copy.possibly_stored = original.possibly_stored or original.attempts > 0
            copies.append(copy)
        self.flight.update((copy.seq, copy) for copy in copies)
        return copies

    def pop_oldest(self) -> QueueItem | None:
        """Take out one that nobody is sending: a suspect, else the oldest; None when there is none."""
        if self.delayed:
            entry = heapq.heappop(self.delayed)[1]
        elif self.returned:
            entry = self.returned.popleft()
        elif self.fresh:
            entry = self.pop_fresh()
        elif self.recalled:
            entry = self.recalled.popleft()
        else:
            return None
        self.forget(entry)
        return entry

    def oldest_number(self) -> int:
        """Return the number below which everything has left for good."""
        return min((entry.seq for entry in self._numbered() if entry.seq > 0), default=self.taken + 1)

    def _numbered(self) -> Iterator[QueueItem]:
        yield from self.returned
        yield from (entry for _, entry in self.delayed)
        yield from self.flight.values()
