"""Whatever is done to a queue, each event has one disposition, and the account adds up."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from otas_middleware._delivery.queue import Queue
from otas_middleware._delivery.queue_item import QueueItem
from otas_middleware._runtime import Deadline
from support.delivery import balance

if TYPE_CHECKING:
    from collections.abc import Callable


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["add", "take", "deliver", "lose", "back", "delay", "hold", "reject", "grab", "store"]),
            st.integers(0, 3),
        ),
        max_size=80,
    ),
    trusting=st.booleans(),
    max_events=st.sampled_from([20, 500, 2000]),  # the inbox takes none, three, fifteen
)
def test_every_event_has_one_disposition(steps: list[tuple[str, int]], trusting: bool, max_events: int) -> None:
    queue = Queue(max_events, 10**9, trusting=trusting)
    flying: list[QueueItem] = []
    now = 0.0
    for step, number in steps:
        now += 1.0
        if step == "add":
            queue.add(QueueItem(f"token-{number}", 10))
        elif step == "take":
            flying += queue.take(now, 8, 1 + number, early=False, watch=False)[0]
        elif step == "grab":
            flying += queue.grab(number, 0)
        elif flying:
            item = flying.pop(number % len(flying))
            ways: dict[str, Callable[[QueueItem], object]] = {
                "deliver": queue.delivered,
                "lose": lambda item: queue.lost(item, "x"),
                "back": queue.give_back,
                "delay": partial(queue.delay, due=now + 2.0),
                "hold": partial(queue.hold, due=now + 2.0),
                "reject": lambda item: queue.lost(item, "bad_token", others=True),
                "store": lambda item: queue.stored([item], 0),
            }
            ways[step](item)
        assert balance(queue.stats()) == 0
        assert queue.stats()["in_flight"] == len(flying)
    for item in flying:
        queue.delivered(item)
    while items := queue.take(now + 100.0, 8, early=False, watch=False)[0]:
        queue.delivered(items[0])
    stats = queue.stats()
    assert (stats["queued"], stats["queued_bytes"], stats["in_flight"], balance(stats)) == (0, 0, 0, 0)
    assert queue.wait(Deadline(0.0), lambda: False)
