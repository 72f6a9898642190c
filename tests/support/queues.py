"""Queues in memory, for tests of what waits in one, what is in flight, and their account."""

from __future__ import annotations

from typing import Any

from otas_middleware._delivery.queue import Queue
from otas_middleware._delivery.queue_item import QueueItem
from support.delivery import balance

ROOM = 10**9
NOTHING = {"queued": 0, "queued_bytes": 0, "in_flight": 0}


def queue_of(*tokens: str, **options: Any) -> Queue:
    """Return a queue that trusts its tokens, with one event of each of these."""
    queue = Queue(100, ROOM, **{"trusting": True, **options})
    for token in tokens:
        queue.add(QueueItem(token, 10))
    return queue


def taken(queue: Queue, now: float = 0.0) -> QueueItem:
    """Take the next event, which there must be."""
    (item,), _ = queue.take(now, 8, early=False, watch=False)
    return item


def nothing_left(queue: Queue, now: float = 0.0) -> bool:
    return queue.take(now, 8, early=False, watch=False) == ([], 0)


def on_disk(token: str = "a", row: int = 1) -> QueueItem:
    item = QueueItem(token, 10)
    item.row = row
    return item


def counted(queue: Queue, *names: str) -> dict[str, Any]:
    """Return these counters, once the account is seen to be right."""
    stats = queue.stats()
    assert balance(stats) == 0
    return {name: stats[name] for name in names}


class Receipts:
    """What became of the events that asked."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def item(self, token: str = "a") -> QueueItem:
        return QueueItem(
            token, 10, receipt=lambda disposition, stored_as="", _=(): self.told.append((disposition, stored_as))
        )
