"""What waits to be sent, bounded by count and by bytes, and the account of it: both change in one step.

An event waits in line (`waiting_line.py`) or is in flight: somebody is sending it or writing it to disk.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from otas_middleware._delivery.stats import LONGEST_LOOK, DeliveryStats, Goals
from otas_middleware._delivery.waiting_line import NEVER, SHARE, WaitingLine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from otas_middleware._delivery.clock import Deadline
    from otas_middleware._delivery.queue_item import QueueItem


class Queue:
    """What waits, what is in flight, and their account. Thread-safe: each method is a few steps under one lock.

    Args:
        max_events: How many may be here.
        max_bytes: How much they may weigh.
        mark: The share of both from which on `add` reports pressure.
        trusting: Whether every token is as good as accepted.
    """

    def __init__(self, max_events: int, max_bytes: int, *, mark: float = 1.0, trusting: bool = False) -> None:
        self.count = self.bytes = self.rows = self.in_flight = 0  # here, their weight, also on disk, being sent
        self._lock = threading.Lock()
        self._goals = Goals(self._lock)
        self._stats = DeliveryStats()
        self._line = WaitingLine(trusting=trusting)
        self._flight: dict[int, QueueItem] = {}
        self._max_events = max_events
        self.max_bytes = max_bytes
        self._mark_events = int(max_events * mark)
        self._mark_bytes = int(max_bytes * mark)
        self._seq = 0
        self._numbered = 0
        """How many of those here have come in through `add`."""
        self._let_go: list[QueueItem] = []
        self._watched = True

    # ---- the request path

    def add(self, item: QueueItem) -> tuple[bool, bool]:
        """Take in a new event, behind all others of its session. What does not fit pushes the oldest out.

        Returns:
            Whether somebody waits to be told of it, and whether the bounds are near.

        Raises:
            RecursionError: There is hardly any stack left. The item is here if it has a number.
        """
        with self._lock:
            item.seq = self._seq + 1
            try:
                self._enter(item)
            except RecursionError:
                item.seq = 0
                raise
            self._seq = item.seq
            self._stats.captured += 1
            self._numbered += 1
            self._stats.spooled += item.row is not None
            pressed = self.count > self._mark_events or self.bytes > self._mark_bytes
            if pressed or self._line.strangers * SHARE > self._max_events:
                self._make_room()
            watched, self._watched = self._watched, False
        return watched, pressed

    def refuse(self, reason: str) -> None:
        """Count an event that came in and was lost at once."""
        with self._lock:
            self._stats.dropped[reason] += 1
            self._stats.captured += 1

    def _enter(self, item: QueueItem) -> None:
        self._line.add(item)
        self.count += 1
        self.bytes += item.weight
        self.rows += item.row is not None

    def _make_room(self) -> None:
        while (stranger := self._line.pop_one_too_many(self._max_events)) is not None:
            self._evict(stranger, "unknown_token")
        while self.is_fuller_than(1.0):
            oldest = self._line.pop_dispensable(self._max_events, self.max_bytes)
            if oldest is None:
                return  # all that is left is in flight
            self._evict(oldest, "queue_full")

    def _evict(self, item: QueueItem, reason: str) -> None:
        if item.row is None:
            self._lose(item, reason)
        else:
            self._left(item)
            self._let_go.append(item)

    # ---- out: events to send

    def take(self, now: float, limit: int, most: int = 1, *, early: bool, watch: bool) -> tuple[list[QueueItem], int]:
        """Move the next events into flight, and return them, in their order, and how many more could be sent.

        Args:
            now: `time.monotonic`.
            limit: How many requests may be under way.
            most: How many events; more than one where they may leave together.
            early: Take one that waits for its time, if there is no other.
            watch: If there is none, have the next `add` say that it should be told of.
        """
        with self._lock:
            item = self._line.next(now, limit, early=early)
            if item is None:
                self._watched = watch
                return [], 0
            return self._fly([item, *self._line.next_more(most - 1)]), self._line.ready(limit)

    def _fly(self, items: list[QueueItem]) -> list[QueueItem]:
        self._flight.update((item.seq, item) for item in items)
        self.in_flight = len(self._flight)
        return items

    def ready(self, limit: int) -> int:
        """Return how many could be sent now, with so many requests under way at most; looks without the lock."""
        return self._line.ready(limit)

    def pause(self, now: float) -> float | None:
        """Return the seconds until an event's own time comes, or None when none waits for that."""
        with self._lock:
            due = self._line.due
            return None if due == NEVER else max(0.0, due - now)

    def watch(self) -> None:
        """Have the next `add` say that it should be told of."""
        with self._lock:
            self._watched = True

    # ---- what becomes of an event in flight; nothing, when the end of the process has taken it over

    def begin(self, item: QueueItem) -> bool:
        """Count an attempt to send it; return False when it has been taken over."""
        with self._lock:
            if self._flight.get(item.seq) is not item:
                return False
            if item.attempts:
                self._stats.retries += 1
                self._stats.possible_duplicates += item.possibly_stored
                item.possibly_stored = False
            item.attempts += 1
            return True

    def note(self, failure: str, *, resent: bool) -> None:
        """Count an attempt's failure, unless the reason is empty, and that the event was sent twice in it."""
        with self._lock:
            if failure:
                self._stats.failures[failure] += 1
            self._stats.possible_duplicates += resent

    def delivered(self, item: QueueItem, stored_as: str = "") -> list[QueueItem]:
        """Let it go as delivered, with the id that the destination gave it; return what has left.

        Its token is an accepted one from now on.
        """
        with self._lock:
            if not self._land(item):
                return []
            self._line.accept(item.token)
            self._stats.delivered += 1
            if item.row is not None:
                self._stats.spooled -= 1
            self._left(item)
            if item.receipt is not None:
                item.settled("delivered", stored_as)
            return [item]

    def lost(self, item: QueueItem, reason: str, *, others: bool = False) -> list[QueueItem]:
        """Let it go as lost, and with `others` all that waits with the same token; return what has left."""
        with self._lock:
            if not self._land(item):
                return []
            gone = [item, *self._line.take_all(item.token)] if others and item.token else [item]
            for each in gone:
                self._lose(each, reason)
            return gone

    def give_back(self, item: QueueItem) -> None:
        """Put it in front of all others; where its token is held back, of all that come with that."""
        with self._lock:
            if self._land(item):
                (self._put_first if self._line.holds(item.token) else self._line.give_back)(item)

    def delay(self, item: QueueItem, due: float) -> None:
        """Put it aside until a point in time (`time.monotonic`)."""
        with self._lock:
            if self._land(item):
                self._line.delay(item, due)

    def hold(self, item: QueueItem, due: float) -> None:
        """Put it aside, with all that comes with its token, until a point in time (`time.monotonic`)."""
        if not item.token:
            self.delay(item, due)
            return
        with self._lock:
            if self._land(item):
                self._put_first(item)
                self._line.hold(item.token, due)

    def _put_first(self, item: QueueItem) -> None:
        self.bytes -= item.weight
        self._line.put_first(item)
        self.bytes += item.weight

    def reweigh(self, item: QueueItem, held: int) -> None:
        """Correct the weight of an item that holds so many bytes now."""
        with self._lock:
            if self._flight.get(item.seq) is item:
                self.bytes += held + item.overhead - item.weight
                item.weight = held + item.overhead

    def _land(self, item: QueueItem) -> bool:
        if self._flight.get(item.seq) is not item:
            return False
        del self._flight[item.seq]
        self.in_flight = len(self._flight)
        self._line.settle(item.token)
        return True

    def _lose(self, item: QueueItem, reason: str) -> None:
        if item.row is not None:
            self._stats.spooled -= 1
        self._stats.dropped[reason] += 1
        self._left(item)
        item.settled(reason)

    def _left(self, item: QueueItem) -> None:
        """Take an item that is gone for good out of the sums, and tell those who wait for it."""
        self.count -= 1
        self.bytes -= item.weight
        self.rows -= item.row is not None
        if item.seq > 0:
            self._numbered -= 1
            self._goals.left(item.seq)

    # ---- to disk and back

    def grab(self, limit: int, keep: int) -> list[QueueItem]:
        """Move the oldest into flight, at most `limit`, as long as more than `keep` would be left waiting."""
        grabbed: list[QueueItem] = []
        with self._lock:
            most = min(limit, self.count - self.in_flight - keep)
            while len(grabbed) < most and (item := self._line.pop_oldest() or self._line.pop_delayed()) is not None:
                grabbed.append(item)
            return self._fly(grabbed)

    def stored(self, items: Iterable[QueueItem], evicted: int) -> None:
        """Let items in flight go that are on disk now, where so many older events had to make room for them."""
        with self._lock:
            for item in items:
                if self._land(item):
                    self._stats.spooled += item.row is None
                    self._left(item)
                    item.settled("spooled")
            self._stats.evict(evicted)

    def recall(self, items: Iterable[QueueItem], broken: int) -> None:
        """Take in what was read back from disk, where so many rows held no event."""
        with self._lock:
            for item in items:
                self._enter(item)
            if broken:
                self._stats.spooled -= broken
                self._stats.dropped["unreadable"] += broken

    def leave_on_disk(self, item: QueueItem) -> None:
        """Let an item in flight go that lies on disk too, where anybody may take it as soon as it is given back."""
        with self._lock:
            if self._land(item):
                self._evict(item, "queue_full")

    @property
    def recalled(self) -> int:
        """How many that were read back from disk wait for their turn."""
        return self._line.recalled

    def lease_lost(self, count: int) -> None:
        """Count events that were delivered after their lease had run out: another process may have sent them too."""
        with self._lock:
            self._stats.possible_duplicates += count
            self._stats.delivered -= count
            self._stats.spooled += count

    def let_go(self, back: Iterable[QueueItem] = ()) -> list[QueueItem]:
        """Return what has been left on disk and is to be given back there; `back` is for the next call."""
        with self._lock:
            gone, self._let_go = self._let_go, [*back]
        return gone

    # ---- the end, and what there is to see

    def take_over(self) -> list[QueueItem]:
        """Replace what is in flight by copies that only the caller has; the outcome of the originals is ignored."""
        with self._lock:
            copies = [item.copy() for item in self._flight.values()]
            self._flight.update((copy.seq, copy) for copy in copies)
        return copies

    def wait(self, deadline: Deadline, unless: Callable[[], bool]) -> bool:
        """Wait until everything that is here now has left; return False if it has not by then, or if `unless` is so."""
        with self._lock:
            return self._goals.wait(self._seq, self._numbered, deadline, unless)

    def interrupt(self) -> None:
        """Have those who wait look again."""
        with self._lock:
            self._goals.look_again()

    def clear(self) -> None:
        """Let go of what a forked child has from its parent, without touching the parent's lock."""
        self._line = WaitingLine(trusting=True)

    def is_fuller_than(self, share: float) -> bool:
        """Say whether more than this share of its room is taken; looks without the lock."""
        return self.count > share * self._max_events or self.bytes > share * self.max_bytes

    @property
    def delivered_count(self) -> int:
        """How many have been delivered."""
        return self._stats.delivered

    def dropped(self) -> dict[str, int]:
        """Return how many were lost, by reason."""
        if not self._stats.dropped:
            return {}
        with self._lock:
            return dict(self._stats.dropped)

    def stats(self) -> dict[str, Any]:
        """Return the counters, all taken at one moment."""
        held = self._lock.acquire(timeout=LONGEST_LOOK)
        try:
            here = {"queued": self.count - self.rows, "queued_bytes": self.bytes, "in_flight": self.in_flight}
            return {**self._stats.copy(), **here}
        finally:
            if held:
                self._lock.release()
