"""What waits to be sent, bounded by count and by bytes, and the account of it: both change in one step.

Four places, one owner: `waiting` events whose turn has not come, `returned` ones that go first again, `delayed` ones
that wait for their time, and those in `flight`, which somebody is sending or writing to disk.
"""

from __future__ import annotations

import heapq
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from otas_middleware._delivery.queue_item import TOKEN_WEIGHT, QueueItem
from otas_middleware._delivery.stats import DeliveryStats
from otas_middleware._delivery.waiting_line import NEVER, SHARE, WaitingLine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from otas_middleware._delivery.clock import Deadline


class _Goal:
    """What a flush waits for: that so many events up to a number leave."""

    __slots__ = ("left", "number")

    def __init__(self, number: int, left: int) -> None:
        self.number = number
        self.left = left


class Queue:
    """The four places and their account. Thread-safe: each method is a few list operations under one lock.

    Args:
        max_events: How many may be here.
        max_bytes: How much they may weigh.
        mark: The share of both from which on `add` reports pressure.
        trusting: Whether every token is as good as accepted.
    """

    def __init__(self, max_events: int, max_bytes: int, *, mark: float = 1.0, trusting: bool = False) -> None:
        self._settled = threading.Condition(threading.Lock())
        self._lock = self._settled
        self._stats = DeliveryStats()
        self._turns = WaitingLine(trusting=trusting)
        self._returned: deque[QueueItem] = deque()
        self._delayed: list[tuple[float, QueueItem]] = []
        self._flight: dict[int, QueueItem] = {}
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._mark_events = int(max_events * mark)
        self._mark_bytes = int(max_bytes * mark)
        self._seq = 0
        self._count = 0
        self._numbered = 0
        """How many of those here have come in through `add`."""
        self._bytes = 0
        self._rows = 0
        """How many of those here are on disk too."""
        self._goals: list[_Goal] = []
        self._let_go: list[QueueItem] = []
        self._watched = True

    # ---- the request path

    def add(self, item: QueueItem) -> tuple[bool, bool]:
        """Take in a new event, behind all others of its session. What does not fit pushes the oldest out.

        Returns:
            Whether somebody waits to be told of it, and whether the bounds are near.
        """
        with self._lock:
            self._seq += 1
            item.seq = self._seq
            self._stats.captured += 1
            if item.row is not None:
                self._stats.spooled += 1
            self._enter(item)
            pressed = self._count > self._mark_events or self._bytes > self._mark_bytes
            if pressed or len(self._turns.unjudged.items) * SHARE > self._max_events:
                self._make_room()
            watched, self._watched = self._watched, False
        return watched, pressed

    def refuse(self, reason: str, count: int = 1) -> None:
        """Count events that came in and were lost at once."""
        with self._lock:
            self._stats.captured += count
            self._stats.dropped[reason] += count

    def _enter(self, item: QueueItem) -> None:
        if not self._turns.has(item.token):
            item.overhead += TOKEN_WEIGHT
            item.weight += TOKEN_WEIGHT
        self._turns.add(item)
        self._count += 1
        self._numbered += item.seq > 0
        self._bytes += item.weight
        self._rows += item.row is not None

    def _make_room(self) -> None:
        while len(self._turns.unjudged.items) > max(1, self._max_events // SHARE):
            stranger = self._turns.pop_oldest_unjudged()
            if stranger is not None:
                self._evict(stranger, "unknown_token")
        while self._bytes > self._max_bytes or self._count > self._max_events:
            oldest = self._pop_oldest()
            if oldest is None:
                return  # all that is left is in flight
            self._evict(oldest, "queue_full")

    def _evict(self, item: QueueItem, reason: str) -> None:
        self._left(item)
        if item.row is None:
            self._stats.dropped[reason] += 1
            item.settled(reason)
        else:
            self._let_go.append(item)

    def _pop_oldest(self) -> QueueItem | None:
        """Take out one that nobody is sending: a suspect; one of the unjudged, if they have more than their share."""
        if self._delayed:
            return heapq.heappop(self._delayed)[1]
        unjudged = self._turns.unjudged
        if unjudged.bytes * SHARE > self._max_bytes or unjudged.count * SHARE > self._max_events:
            return self._turns.pop_oldest_unjudged()
        return self._returned.popleft() if self._returned else self._turns.pop_oldest()

    # ---- out: events to send

    def take(self, now: float, limit: int, *, early: bool, watch: bool) -> QueueItem | None:
        """Move the next event into flight, or return None.

        What was sent before goes first, then sessions in turn, then what waited long enough for its own time: suspects
        come last, so that a poisonous event does not hold up the others.

        Args:
            now: `time.monotonic`.
            limit: How many requests may be under way.
            early: Take one that waits for its time, if there is no other.
            watch: If there is none, have the next `add` say that it should be told of.
        """
        with self._lock:
            if self._returned:
                item = self._returned.popleft()
                self._turns.begin(item.token)
            else:
                found = self._turns.next(now, max(1, limit // SHARE))
                if found is not None:
                    item = found
                elif self._delayed and (early or self._delayed[0][0] <= now):
                    item = heapq.heappop(self._delayed)[1]
                    self._turns.begin(item.token)
                else:
                    self._watched = watch
                    return None
            self._flight[item.seq] = item
            return item

    def ready(self, limit: int) -> int:
        """Return how many could be sent now, with so many requests under way at most."""
        with self._lock:
            return len(self._returned) + self._turns.ready(max(1, limit // SHARE))

    def pause(self, now: float) -> float | None:
        """Return the seconds until an event's own time comes, or None when none waits for that."""
        with self._lock:
            due = min(self._turns.due, self._delayed[0][0] if self._delayed else NEVER)
            return None if due == NEVER else max(0.0, due - now)

    def watch(self) -> None:
        """Have the next `add` say that it should be told of."""
        with self._lock:
            self._watched = True

    # ---- what becomes of an event in flight; False: the end of the process has taken it over

    def flies(self, item: QueueItem) -> bool:
        """Say whether this very item is in flight."""
        with self._lock:
            return self._flight.get(item.seq) is item

    def begin(self, item: QueueItem) -> bool:
        """Count an attempt to send it."""
        with self._lock:
            if self._flight.get(item.seq) is not item:
                return False
            self._stats.retries += item.attempts > 0
            self._stats.possible_duplicates += item.possibly_stored
            item.attempts += 1
            item.possibly_stored = False
            return True

    def note(self, failure: str = "", *, resent: bool = False) -> None:
        """Count what an attempt came to beside the event's fate.

        Args:
            failure: The reason for which it failed; empty when it did not.
            resent: The event was sent twice in it.
        """
        with self._lock:
            if failure:
                self._stats.failures[failure] += 1
            self._stats.possible_duplicates += resent

    def reweigh(self, item: QueueItem, held: int) -> None:
        """Correct the weight of an item that holds so many bytes now."""
        with self._lock:
            if self._flight.get(item.seq) is item:  # else it was taken over at the weight it had
                self._bytes += held + item.overhead - item.weight
                item.weight = held + item.overhead

    def delivered(self, item: QueueItem, stored_as: str = "") -> bool:
        """Let it go as delivered, with the id that the destination gave it; its token is an accepted one."""
        with self._lock:
            if not self._land(item):
                return False
            self._turns.accept(item.token)
            self._stats.delivered += 1
            self._stats.spooled -= item.row is not None
            self._left(item)
            item.settled("delivered", stored_as)
            return True

    def lost(self, item: QueueItem, reason: str) -> bool:
        """Let it go as lost."""
        with self._lock:
            if not self._land(item):
                return False
            self._lose(item, reason)
            return True

    def reject(self, item: QueueItem, reason: str) -> list[QueueItem]:
        """Let it, and all that waits with the same token, go as lost; return what has left."""
        with self._lock:
            if not self._land(item):
                return []
            gone = [item, *(self._turns.take_all(item.token) if item.token else ())]
            for each in gone:
                self._lose(each, reason)
            return gone

    def give_back(self, item: QueueItem) -> bool:
        """Put it in front of all others."""
        with self._lock:
            if not self._land(item):
                return False
            if self._returned and self._returned[0].seq < item.seq:
                self._returned = deque(sorted((*self._returned, item)))
            else:
                self._returned.appendleft(item)
            return True

    def delay(self, item: QueueItem, due: float) -> bool:
        """Put it aside until a point in time (`time.monotonic`)."""
        with self._lock:
            if not self._land(item):
                return False
            heapq.heappush(self._delayed, (due, item))
            return True

    def hold(self, item: QueueItem, due: float) -> bool:
        """Put it aside, with all that comes with its token, until a point in time (`time.monotonic`)."""
        if not item.token:
            return self.delay(item, due)
        with self._lock:
            if not self._land(item):
                return False
            self._turns.put_first(item)
            self._turns.hold(item.token, due)
            return True

    def forget(self, item: QueueItem) -> bool:
        """Let it go uncounted: it is on disk, and no longer ours."""
        with self._lock:
            if not self._land(item):
                return False
            self._left(item)
            return True

    def _land(self, item: QueueItem) -> bool:
        if self._flight.get(item.seq) is not item:
            return False
        del self._flight[item.seq]
        self._turns.settle(item.token)
        if self._goals:
            self._settled.notify_all()
        return True

    def _lose(self, item: QueueItem, reason: str) -> None:
        self._stats.spooled -= item.row is not None
        self._stats.dropped[reason] += 1
        self._left(item)
        item.settled(reason)

    def _left(self, item: QueueItem) -> None:
        """Take an item that is gone for good out of the sums, and tell those who wait for it."""
        self._count -= 1
        self._bytes -= item.weight
        self._rows -= item.row is not None
        if item.seq <= 0:
            return
        self._numbered -= 1
        for goal in self._goals:
            goal.left -= item.seq <= goal.number
        if self._goals:
            self._settled.notify_all()

    # ---- to disk and back

    def grab(self, limit: int, keep: int) -> list[QueueItem]:
        """Move the oldest into flight, at most `limit`, as long as more than `keep` would be left waiting."""
        grabbed: list[QueueItem] = []
        with self._lock:
            while len(grabbed) < limit and self._count - len(self._flight) > keep:
                item = self._returned.popleft() if self._returned else self._turns.pop_oldest()
                if item is None:
                    item = heapq.heappop(self._delayed)[1]
                self._flight[item.seq] = item
                grabbed.append(item)
        return grabbed

    def stored(self, items: Iterable[QueueItem], evicted: int) -> None:
        """Let items go that are on disk now.

        Args:
            items: They are in flight.
            evicted: How many older events had to make room for them there.
        """
        with self._lock:
            for item in items:
                if self._land(item):
                    self._stats.spooled += item.row is None
                    self._left(item)
                    item.settled("spooled")
            self._evicted(evicted)

    def evicted(self, count: int) -> None:
        """Count events that had to make room on disk."""
        with self._lock:
            self._evicted(count)

    def _evicted(self, count: int) -> None:
        if count:
            self._stats.spooled -= count
            self._stats.dropped["spool_full"] += count

    def recall(self, items: Sequence[QueueItem], broken: int) -> None:
        """Take in what was read back from disk.

        Args:
            items: Their rows are ours.
            broken: How many rows held no event.
        """
        with self._lock:
            for item in items:
                self._enter(item)
            if broken:
                self._stats.spooled -= broken
                self._stats.dropped["unreadable"] += broken

    def lease_lost(self, count: int) -> None:
        """Count events that were delivered after their lease had run out: another process may have sent them too."""
        with self._lock:
            self._stats.possible_duplicates += count
            self._stats.delivered -= count
            self._stats.spooled += count

    def let_go(self) -> list[QueueItem]:
        """Return what memory had no more room for although it lies on disk, since the last call."""
        with self._lock:
            gone, self._let_go = self._let_go, []
        return gone

    @property
    def crowded(self) -> bool:
        """Whether it is more than half full."""
        return self._count * 2 > self._max_events or self._bytes * 2 > self._max_bytes

    @property
    def in_flight(self) -> int:
        """How many somebody is sending or writing to disk."""
        return len(self._flight)

    def keep_let_go(self, items: Iterable[QueueItem]) -> None:
        """Take back what `let_go` returned, for the next call."""
        with self._lock:
            self._let_go += items

    @property
    def recalled(self) -> int:
        """How many that were read back from disk wait for their turn."""
        return self._turns.recalled

    @property
    def rows(self) -> int:
        """How many of the events here are on disk too."""
        return self._rows

    # ---- the end, and what there is to see

    def take_over(self) -> list[QueueItem]:
        """Replace what is in flight by copies that only the caller has; the outcome of the originals is ignored."""
        with self._lock:
            copies = [item.copy() for item in self._flight.values()]
            self._flight.update((copy.seq, copy) for copy in copies)
        return copies

    def wait(self, deadline: Deadline, unless: Callable[[], bool]) -> bool:
        """Wait until everything that is here now has left; return False if it has not by then.

        Args:
            deadline: When to stop waiting.
            unless: Stop as soon as this is so; looked at again whenever an event leaves, and at each `interrupt`.
        """
        with self._lock:
            goal = _Goal(self._seq, self._numbered)
            self._goals.append(goal)
            try:
                while goal.left > 0:
                    left = deadline.left()
                    if left <= 0 or unless():
                        return False
                    self._settled.wait(left)
                return True
            finally:
                self._goals.remove(goal)

    def interrupt(self) -> None:
        """Have those who wait look again."""
        with self._lock:
            self._settled.notify_all()

    def clear(self) -> None:
        """Let go of what a forked child has from its parent, without touching the parent's lock."""
        self._turns = WaitingLine(trusting=True)

    def __len__(self) -> int:
        return self._count

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
        with self._lock:
            stats = self._stats
            return {
                "captured": stats.captured,
                "delivered": stats.delivered,
                "spooled": stats.spooled,
                "dropped": dict(stats.dropped),
                "queued": self._count - self._rows,
                "queued_bytes": self._bytes,
                "in_flight": len(self._flight),
                "retries": stats.retries,
                "possible_duplicates": stats.possible_duplicates,
                "failures": dict(stats.failures),
            }
