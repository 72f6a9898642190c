"""Whose turn it is: events wait by session token, tokens take turns, and those that nobody has judged get a quarter.

Anybody can invent a well-formed token; only the destination's answer tells. Until it has accepted a token, that token
has at most one event under way, and all such tokens share a quarter of the connections and of the turns.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otas_middleware._delivery.queue_item import QueueItem

_MOST_ACCEPTED = 1024
"""How many accepted tokens are remembered; a forgotten one is judged anew."""

SHARE = 4
"""Tokens that were not judged yet get one part in so many."""

NEVER = float("inf")


class _Line:
    """The events that wait for each token, oldest first, and the order in which the tokens come."""

    __slots__ = ("bytes", "count", "items", "order")

    def __init__(self) -> None:
        self.items: OrderedDict[str, deque[QueueItem]] = OrderedDict()
        self.order: OrderedDict[str, None] = OrderedDict()
        self.count = 0
        self.bytes = 0

    def take(self, token: str) -> QueueItem:
        """Take out the oldest event of a token."""
        items = self.items[token]
        item = items.popleft()
        self.count -= 1
        self.bytes -= item.weight
        if not items:
            del self.items[token]
            self.order.pop(token, None)
        return item

    def move(self, token: str, target: _Line) -> None:
        """Move a token with all that waits for it to the end of another line."""
        items = self.items.pop(token, None)
        if items is None:
            return
        self.order.pop(token, None)
        weight = sum(item.weight for item in items)
        self.count -= len(items)
        self.bytes -= weight
        target.items[token] = items
        target.order[token] = None
        target.count += len(items)
        target.bytes += weight


class WaitingLine:
    """The order in which waiting events leave. Not thread-safe: the queue calls it under its lock.

    Args:
        trusting: Take every token for accepted: its signature has been checked, or it is our own.
    """

    def __init__(self, *, trusting: bool) -> None:
        self._trusting = trusting
        self._arrived: OrderedDict[int, QueueItem] = OrderedDict()
        """All that wait, by number, in the order of arrival."""
        self.recalled = 0
        """How many of them were read back from disk."""
        self._known: OrderedDict[str, None] = OrderedDict()
        """Tokens that the destination has accepted, the latest last."""
        self._returned: deque[QueueItem] = deque()
        """What goes first again, the oldest first."""
        self._delayed: list[tuple[float, QueueItem]] = []
        """What waits for its own time (a heap)."""
        self._accepted = _Line()
        self.unjudged = _Line()
        """What waits for the judgement of its token."""
        self._under_way: set[str] = set()
        """Unjudged tokens of which an event is in flight."""
        self._held: dict[str, float] = {}
        self._held_until = NEVER
        """When the next held token may go on (`monotonic`)."""
        self._turn = 0

    @property
    def due(self) -> float:
        """When the next event's own time comes (`monotonic`)."""
        return min(self._held_until, self._delayed[0][0]) if self._delayed else self._held_until

    def is_unjudged(self, token: str) -> bool:
        """Say whether the destination has yet to accept a token."""
        return not self._trusting and token not in self._known

    @property
    def unjudged_tokens(self) -> int:
        """How many tokens wait for their judgement."""
        return len(self.unjudged.items)

    def ready(self, limit: int) -> int:
        """Return how many could leave now, when so many requests may be under way."""
        ready = len(self._returned) + self._accepted.count
        if self.unjudged.order:
            ready += max(0, min(max(1, limit // SHARE) - len(self._under_way), len(self.unjudged.order)))
        return ready

    def add(self, item: QueueItem) -> None:
        """Put an event behind all others of its token."""
        token = item.token
        line = self._accepted if self._trusting or token in self._known else self.unjudged
        items = line.items.get(token)
        if items is None:
            item.carry_token()  # first, for there may be no stack left to call it, and nothing has changed then
        self._arrived[item.seq] = item
        if item.seq < 0:
            self.recalled += 1
        line.count += 1
        line.bytes += item.weight
        if items is not None:
            items.append(item)
            return
        line.items[token] = deque((item,))
        if token not in self._under_way and token not in self._held:
            line.order[token] = None

    def rebuild(self) -> list[QueueItem]:
        """Put in order what somebody has left half done; return all that wait."""
        arrived = list(self._arrived.values())
        self._arrived, self._accepted, self.unjudged, self.recalled = OrderedDict(), _Line(), _Line(), 0
        for item in arrived:
            self.add(item)
        return [*arrived, *self._returned, *(item for _, item in self._delayed)]

    def put_first(self, item: QueueItem) -> None:
        """Put an event that had left back before all others of its token that came after it."""
        self.add(item)
        self._arrived.move_to_end(item.seq, last=False)
        items = self._line_of(item.token).items[item.token]
        items.rotate(1)
        if len(items) > 1 and items[1] < item:
            self._line_of(item.token).items[item.token] = deque(sorted(items))

    def give_back(self, item: QueueItem) -> None:
        """Put an event that had left before all others."""
        first = not self._returned or item < self._returned[0]
        self._returned.appendleft(item)
        if not first:
            self._returned = deque(sorted(self._returned))

    def holds(self, token: str) -> bool:
        """Say whether nothing of a token may leave for a while."""
        return token in self._held

    def delay(self, item: QueueItem, due: float) -> None:
        """Put an event aside until a point in time (`monotonic`)."""
        heapq.heappush(self._delayed, (due, item))

    def next(self, now: float, limit: int, *, early: bool) -> QueueItem | None:
        """Take out the next event, or return None when none may leave.

        What was sent before goes first, then sessions in turn, then what waited long enough for its own time: suspects
        come last, so that a poisonous event does not hold up the others.

        Args:
            now: `monotonic`.
            limit: How many requests may be under way.
            early: Take one that waits for its own time, if there is no other.
        """
        if self._returned:
            item = self._returned.popleft()
        else:
            found = self._next_in_turn(now, max(1, limit // SHARE))
            if found is not None:
                return found
            if not self._delayed or (self._delayed[0][0] > now and not early):
                return None
            item = heapq.heappop(self._delayed)[1]
        if self.is_unjudged(item.token):
            self._under_way.add(item.token)
            self.unjudged.order.pop(item.token, None)
        return item

    def _next_in_turn(self, now: float, most: int) -> QueueItem | None:
        if now >= self._held_until:
            self._release(now)
        accepted, unjudged = self._accepted, self.unjudged
        if unjudged.order and len(self._under_way) < most:
            self._turn += 1
            if not accepted.order or self._turn % SHARE == 0:
                token, _ = unjudged.order.popitem(last=False)
                self._under_way.add(token)
                return self._take(unjudged, token)
        return self._next_accepted() if accepted.order else None

    def next_more(self, most: int) -> list[QueueItem]:
        """Take out the events that come next and may leave together, so many at most.

        Those are of accepted tokens, and none of them overtakes one that goes first or a token that waits for its
        judgement.
        """
        found: list[QueueItem] = []
        while len(found) < most and self._accepted.order and not (self._returned or self.unjudged.order):
            found.append(self._next_accepted())
        return found

    def _next_accepted(self) -> QueueItem:
        accepted = self._accepted
        token, _ = accepted.order.popitem(last=False)
        item = self._take(accepted, token)
        if token in accepted.items:
            accepted.order[token] = None
        return item

    def _take(self, line: _Line, token: str) -> QueueItem:
        item = line.take(token)
        del self._arrived[item.seq]
        if item.seq < 0:
            self.recalled -= 1
        return item

    def settle(self, token: str) -> None:
        """Note that an event is no longer under way: the next one of its token may leave."""
        if token in self._under_way:
            self._under_way.discard(token)
            if token in self.unjudged.items and token not in self._held:
                self.unjudged.order[token] = None

    def hold(self, token: str, until: float) -> None:
        """Let nothing of a token that has something waiting leave until a moment (`monotonic`)."""
        self._under_way.discard(token)
        line = self._line_of(token)
        if token in line.items:
            line.order.pop(token, None)
            self._held[token] = until
            self._held_until = min(self._held_until, until)

    def _release(self, now: float) -> None:
        for token in [token for token, until in self._held.items() if until <= now]:
            del self._held[token]
            line = self._line_of(token)
            if token in line.items and token not in self._under_way:
                line.order[token] = None
        self._held_until = min(self._held.values(), default=NEVER)

    def accept(self, token: str) -> None:
        """Note that the destination took an event of a token."""
        if self._trusting:
            return
        self._under_way.discard(token)
        if token in self._known:
            self._known.move_to_end(token)
            return
        self._known[token] = None
        self._held.pop(token, None)
        self.unjudged.move(token, self._accepted)
        if len(self._known) > _MOST_ACCEPTED:
            oldest, _ = self._known.popitem(last=False)
            self._accepted.move(oldest, self.unjudged)

    def take_all(self, token: str) -> list[QueueItem]:
        """Take out everything that waits for a token, which is no longer an accepted one."""
        line = self._line_of(token)
        found = [self._take(line, token) for _ in range(len(line.items.get(token, ())))]
        self._held.pop(token, None)
        self._known.pop(token, None)
        return found

    def pop_oldest(self) -> QueueItem | None:
        """Take out the one that has waited longest; None when there are only suspects, or none."""
        if self._returned:
            return self._returned.popleft()
        for item in self._arrived.values():
            return self._pop(item.token)  # it is the first of its token
        return None

    def pop_one_too_many(self, max_events: int) -> QueueItem | None:
        """Take out an event of the token that has waited longest for its judgement, if too many such tokens wait.

        Args:
            max_events: How many events there is room for.
        """
        return self._pop_oldest_unjudged() if self.unjudged_tokens > max(1, max_events // SHARE) else None

    def pop_dispensable(self, max_events: int, max_bytes: int) -> QueueItem | None:
        """Take out a suspect; one of the unjudged, if they have more than their share of the room; or the oldest."""
        if self._delayed:
            return self.pop_delayed()
        if self.unjudged.bytes * SHARE > max_bytes or self.unjudged.count * SHARE > max_events:
            return self._pop_oldest_unjudged()
        return self.pop_oldest()

    def pop_delayed(self) -> QueueItem | None:
        """Take out the suspect whose time comes next."""
        return heapq.heappop(self._delayed)[1] if self._delayed else None

    def _pop_oldest_unjudged(self) -> QueueItem | None:
        """Take out one of the token that has waited longest for its judgement."""
        for token in self.unjudged.items:
            return self._pop(token)
        return None

    def _pop(self, token: str) -> QueueItem:
        line = self._line_of(token)
        item = self._take(line, token)
        if token not in line.items:
            self._held.pop(token, None)
        return item

    def _line_of(self, token: str) -> _Line:
        return self._accepted if token in self._accepted.items else self.unjudged
