"""What waits to be sent, bounded by count and by bytes, and the account of it: both change in one step.

What comes in is put into an inbox, in one step that nothing can interrupt: a signal's handler may raise anywhere. The
workers, or who finds much in it, sort it in: from then on an event waits in line (`waiting_line.py`) or is in flight,
while somebody is sending it or writing it to disk.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from otas_middleware._delivery.stats import LONGEST_LOOK, Account
from otas_middleware._delivery.waiting_line import NEVER, SHARE, WaitingLine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from otas_middleware._delivery.queue_item import QueueItem
    from otas_middleware._runtime import Deadline


class Queue:
    """What waits, what is in flight, and their account. Thread-safe: each method is a few steps under one lock.

    Args:
        max_events: How many may be here.
        max_bytes: How much they may weigh.
        mark: The share of both from which on `add` reports pressure.
        trusting: Whether every token is as good as accepted.
    """

    def __init__(self, max_events: int, max_bytes: int, *, mark: float = 1.0, trusting: bool = False) -> None:
        self._lock = threading.Lock()
        self.account = Account(self._lock, max_events, max_bytes)
        """What is here but for the inbox; the queue's to change, and anybody's to read."""
        self._stats = self.account.stats
        self._line = WaitingLine(trusting=trusting)
        self._inbox: deque[QueueItem | str] = deque()
        """What has come in, and the reasons for which events were lost at once."""
        self._inbox_events, self._inbox_bytes = max_events // 128, max_bytes // 1024
        """How many may lie there, and how much each may weigh; what is more is sorted in at once."""
        self._half_done = False  # true while the inbox is sorted in, and for good where that was interrupted
        self._flight: dict[int, QueueItem] = {}
        self._max_events, self.max_bytes, self._mark = max_events, max_bytes, mark
        self._seq = 0
        self._let_go: list[QueueItem] = []
        self._watched, self._pressed = True, False

    # ---- the request path

    def add(self, item: QueueItem) -> tuple[bool, bool]:
        """Take in a new event, behind all others of its session. What does not fit pushes the oldest out.

        Returns:
            Whether somebody waits to be told of it, and whether the bounds are near.
        """
        self._put(item, at_once=item.weight > self._inbox_bytes or item.row is not None)
        watched, self._watched = self._watched, False
        return watched, self.was_pressed()

    def refuse(self, reason: str) -> None:
        """Count an event that came in and was lost at once."""
        self._put(reason, at_once=False)

    def _put(self, what: QueueItem | str, *, at_once: bool) -> None:
        self._inbox.append(what)
        if at_once or len(self._inbox) > self._inbox_events:
            with suppress(RecursionError), self._lock:  # without any stack left: the next one does it
                self._sort_in()

    @property
    def count(self) -> int:
        """How many are here, about; looks without the lock."""
        return self.account.here + len(self._inbox)

    def was_pressed(self) -> bool:
        """Say whether the bounds have been near since this was said last."""
        pressed, self._pressed = self._pressed, False
        return pressed

    def _sort_in(self) -> None:
        """Sort in what has come in; called under the lock."""
        if self._half_done:
            self._count_anew()
        self._half_done = True
        while self._inbox:
            item = self._inbox[0]
            self._stats.captured += 1
            if isinstance(item, str):
                self._stats.dropped[item] += 1
            else:
                item.seq = self._seq = self._seq + 1
                self._line.add(item)
                self.account.entered(item)
                self._stats.spooled += item.row is not None
                near = self.account.is_fuller_than(self._mark)
                if near or self._line.unjudged_tokens * SHARE > self._max_events:
                    self._pressed = self._pressed or near
                    self._make_room()
            self._inbox.popleft()
        self._half_done = False

    def _count_anew(self) -> None:
        """Make good what was left half done: a signal's handler raised in the middle of `_sort_in`."""
        here = [*self._line.rebuild(), *self._flight.values()]
        if self._inbox and any(item is self._inbox[0] for item in here):
            self._inbox.popleft()
        self.account.recount(here)

    def _make_room(self) -> None:
        while (stranger := self._line.pop_one_too_many(self._max_events)) is not None:
            self._evict(stranger, "unknown_token")
        while self.account.is_fuller_than(1.0):
            oldest = self._line.pop_dispensable(self._max_events, self.max_bytes)
            if oldest is None:
                return  # all that is left is in flight
            self._evict(oldest, "queue_full")

    def _evict(self, item: QueueItem, reason: str) -> None:
        if item.row is None:
            self.account.lost(item, reason)
        else:
            self.account.left(item)
            self._let_go.append(item)

    # ---- out: events to send

    def take(self, now: float, limit: int, most: int = 1, *, early: bool, watch: bool) -> tuple[list[QueueItem], int]:
        """Move the next events into flight, and return them, in their order, and how many more could be sent.

        Args:
            now: `monotonic`.
            limit: How many requests may be under way.
            most: How many events; more than one where they may leave together.
            early: Take one that waits for its time, if there is no other.
            watch: If there is none, have the next `add` say that it should be told of.
        """
        with self._lock:
            self._sort_in()
            item = self._line.next(now, limit, early=early)
            if item is None:
                self._watched = watch  # before a last look: whoever comes later says so
                self._sort_in()
                item = self._line.next(now, limit, early=early)
                if item is None:
                    return [], 0
            return self._add_in_flight([item, *self._line.next_more(most - 1)]), self._line.ready(limit)

    def _add_in_flight(self, items: list[QueueItem]) -> list[QueueItem]:
        self._flight.update((item.seq, item) for item in items)
        return items

    def ready(self, limit: int) -> int:
        """Return how many could be sent now, with so many requests under way at most."""
        with self._lock:
            self._sort_in()
            return self._line.ready(limit)

    def pause(self, now: float) -> float | None:
        """Return the seconds until an event's own time comes, or None when none waits for that."""
        with self._lock:
            return None if (due := self._line.due) == NEVER else max(0.0, due - now)

    def watch(self) -> None:
        """Have the next `add` say that it should be told of."""
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

    def delivered(self, item: QueueItem, stored_as: str = "") -> list[QueueItem]:
        """Let it go as delivered, with the id that the destination gave it; return what has left.

        Its token is an accepted one from now on.
        """
        with self._lock:
            if not self._end_flight(item):
                return []
            self._line.accept(item.token)
            self._stats.delivered += 1
            if item.row is not None:
                self._stats.spooled -= 1
            self.account.left(item)
            item.settled("delivered", stored_as)
            return [item]

    def lost(self, item: QueueItem, reason: str, *, others: bool = False) -> list[QueueItem]:
        """Let it go as lost, and with `others` all that waits with the same token; return what has left."""
        with self._lock:
            if not self._end_flight(item):
                return []
            self._sort_in()
            gone = [item, *self._line.take_all(item.token)] if others and item.token else [item]
            for each in gone:
                self.account.lost(each, reason)
            return gone

    def give_back(self, item: QueueItem) -> None:
        """Put it in front of all others; where its token is held back, of all that come with that."""
        with self._lock:
            if self._end_flight(item):
                (self._put_first if self._line.holds(item.token) else self._line.give_back)(item)

    def delay(self, item: QueueItem, due: float) -> None:
        """Put it aside until a point in time (`monotonic`)."""
        with self._lock:
            if self._end_flight(item):
                self._line.delay(item, due)

    def hold(self, item: QueueItem, due: float) -> None:
        """Put it aside, with all that comes with its token, until a point in time (`monotonic`)."""
        if not item.token:
            self.delay(item, due)
            return
        with self._lock:
            if self._end_flight(item):
                self._put_first(item)
                self._line.hold(item.token, due)

    def _put_first(self, item: QueueItem) -> None:
        self.account.bytes -= item.weight
        self._line.put_first(item)
        self.account.bytes += item.weight

    def reweigh(self, item: QueueItem, held: int) -> None:
        """Correct the weight of an item that holds so many bytes now."""
        with self._lock:
            if self._flight.get(item.seq) is item:
                self.account.bytes += held + item.overhead - item.weight
                item.weight = held + item.overhead

    def _end_flight(self, item: QueueItem) -> bool:
        if self._flight.get(item.seq) is not item:
            return False
        del self._flight[item.seq]
        self._line.settle(item.token)
        return True

    # ---- to disk and back

    def grab(self, limit: int, keep: int) -> list[QueueItem]:
        """Move the oldest into flight, at most `limit`, as long as more than `keep` would be left waiting."""
        grabbed: list[QueueItem] = []
        with self._lock:
            self._sort_in()
            most = min(limit, self.account.here - self.in_flight - keep)
            while len(grabbed) < most and (item := self._line.pop_oldest() or self._line.pop_delayed()) is not None:
                grabbed.append(item)
            return self._add_in_flight(grabbed)

    def stored(self, items: Iterable[QueueItem], evicted: int) -> None:
        """Let items in flight go that are on disk now, where so many older events had to make room for them."""
        with self._lock:
            for item in items:
                if self._end_flight(item):
                    self._stats.spooled += item.row is None
                    self.account.left(item)
                    item.settled("spooled")
            self._stats.evict(evicted)

    def recall(self, items: Iterable[QueueItem], broken: int) -> None:
        """Take in what was read back from disk, where so many rows held no event."""
        with self._lock:
            for item in items:
                self._line.add(item)
                self.account.entered(item)
            if broken:
                self._stats.spooled -= broken
                self._stats.dropped["unreadable"] += broken

    def leave_on_disk(self, item: QueueItem) -> None:
        """Let an item in flight go that lies on disk too, where anybody may take it as soon as it is given back."""
        with self._lock:
            if self._end_flight(item):
                self._evict(item, "queue_full")

    @property
    def recalled(self) -> int:
        """How many that were read back from disk wait for their turn."""
        return self._line.recalled

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
            self._sort_in()
            return self.account.flushes.wait(self._seq, self.account.numbered, deadline, unless)

    def clear(self) -> None:
        """Let go of what a forked child has from its parent, without touching the parent's lock."""
        self._line = WaitingLine(trusting=True)
        self._inbox.clear()

    @property
    def in_flight(self) -> int:
        """How many are being sent, or written to disk."""
        return len(self._flight)

    def is_fuller_than(self, share: float) -> bool:
        """Say whether more than this share of its room is taken; looks without the lock."""
        return self.account.is_fuller_than(share, len(self._inbox))

    def dropped(self) -> dict[str, int]:
        """Return how many were lost, by reason."""
        if not self._stats.dropped and not self._inbox:
            return {}
        with self._lock:
            self._sort_in()
            return dict(self._stats.dropped)

    def stats(self) -> dict[str, Any]:
        """Return the counters, all taken at one moment."""
        held = self._lock.acquire(timeout=LONGEST_LOOK)
        try:
            if held:
                self._sort_in()
            return {**self.account.copy(), "in_flight": self.in_flight}
        finally:
            if held:
                self._lock.release()
