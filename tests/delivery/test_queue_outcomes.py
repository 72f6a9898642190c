"""What becomes of an event after the queue gave it out: it is tried, goes to disk, or ends; once, and counted."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from otas_middleware._delivery.queue_item import QUEUE_WEIGHT, TOKEN_WEIGHT, QueueItem
from otas_middleware._runtime import Deadline
from support.delivery import eventually
from support.queues import NOTHING, Receipts, counted, nothing_left, on_disk, queue_of, taken

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._delivery.queue import Queue


class TestComingBack:
    def test_what_was_given_back_keeps_its_order(self) -> None:
        queue = queue_of("a", "b", "c")
        items = [taken(queue) for _ in range(3)]
        for item in (items[1], items[2], items[0]):
            queue.give_back(item)
        assert queue.in_flight == 0
        assert [taken(queue) for _ in range(3)] == items

    def test_what_is_not_in_flight_is_not_given_back(self) -> None:
        queue = queue_of("a")
        item = taken(queue)
        queue.give_back(item)
        queue.give_back(item)
        queue.delay(item, 0.0)
        queue.hold(item, 0.0)
        assert taken(queue) is item
        assert nothing_left(queue, 1.0)

    def test_a_delayed_one_waits_for_its_time_and_others_go_first(self) -> None:
        queue = queue_of("a", "b")
        item = taken(queue)
        queue.delay(item, 5.0)
        assert taken(queue).token == "b"
        assert nothing_left(queue, 4.9)
        assert (queue.pause(3.0), queue.pause(5.0), queue.pause(9.0)) == (2.0, 0.0, 0.0)
        assert taken(queue, 5.0) is item
        assert queue.pause(3.0) is None

    def test_a_delayed_one_can_be_taken_early(self) -> None:
        queue = queue_of("a")
        item = taken(queue)
        queue.delay(item, 5.0)
        assert queue.take(0.0, 8, early=True, watch=False) == ([item], 0)

    def test_a_held_one_waits_with_all_that_comes_with_its_token_and_stays_the_first(self) -> None:
        queue = queue_of("a", "b", "a")
        item = taken(queue)
        before = queue.stats()["queued_bytes"]
        queue.hold(item, 5.0)
        assert queue.stats()["queued_bytes"] == before
        assert taken(queue).token == "b"
        assert nothing_left(queue, 4.9)
        assert queue.pause(3.0) == 2.0
        assert [taken(queue, 5.0) is item, taken(queue, 5.0).token] == [True, "a"]

    def test_a_held_one_weighs_its_token_when_it_is_the_first_again_that_waits_with_it(self) -> None:
        queue = queue_of("a", "a")
        taken(queue)
        second = taken(queue)
        queue.hold(second, 5.0)
        assert queue.stats()["queued_bytes"] == 2 * (10 + QUEUE_WEIGHT) + 2 * TOKEN_WEIGHT
        queue.delivered(taken(queue, 5.0))
        assert queue.stats()["queued_bytes"] == 10 + QUEUE_WEIGHT + TOKEN_WEIGHT

    def test_one_whose_token_is_not_known_yet_waits_by_itself(self) -> None:
        queue = queue_of("", "")
        item = taken(queue)
        queue.hold(item, 5.0)
        assert taken(queue) is not item
        assert queue.pause(0.0) == 5.0

    def test_the_weight_of_one_in_flight_can_be_corrected(self) -> None:
        queue = queue_of("a", "b")
        item = taken(queue)
        queue.reweigh(item, 1000)
        assert item.weight == 1000 + QUEUE_WEIGHT + TOKEN_WEIGHT
        assert queue.stats()["queued_bytes"] == 1010 + 2 * (QUEUE_WEIGHT + TOKEN_WEIGHT)
        queue.delivered(item)
        queue.reweigh(item, 5)
        assert queue.stats()["queued_bytes"] == 10 + QUEUE_WEIGHT + TOKEN_WEIGHT


class TestAttempts:
    def test_only_those_after_the_first_are_retries(self) -> None:
        queue = queue_of("a")
        item = taken(queue)
        assert queue.begin(item)
        assert (item.attempts, queue.stats()["retries"]) == (1, 0)
        assert queue.begin(item)
        assert queue.begin(item)
        assert (item.attempts, queue.stats()["retries"]) == (3, 2)
        assert queue.stats()["possible_duplicates"] == 0

    def test_a_retry_of_what_may_be_stored_is_a_possible_duplicate_once(self) -> None:
        queue = queue_of("a")
        item = taken(queue)
        item.possibly_stored = True
        queue.begin(item)
        assert queue.stats()["possible_duplicates"] == 0, "it is the first attempt"
        assert item.possibly_stored
        queue.begin(item)
        queue.begin(item)
        assert queue.stats()["possible_duplicates"] == 1

    def test_one_that_has_been_taken_over_is_not_begun(self) -> None:
        queue = queue_of("a")
        item = taken(queue)
        queue.take_over()
        assert not queue.begin(item)
        assert item.attempts == 0

    def test_failures_are_counted_by_reason_and_what_was_sent_twice(self) -> None:
        queue = queue_of()
        queue.account.note("timeout", resent=False)
        queue.account.note("timeout", resent=True)
        queue.account.note("", resent=True)
        assert counted(queue, "failures", "possible_duplicates") == {
            "failures": {"timeout": 2},
            "possible_duplicates": 2,
        }


class TestTheDisk:
    def test_the_oldest_are_moved_there_and_some_stay(self) -> None:
        queue = queue_of("a", "b", "a", "c")
        assert [item.token for item in queue.grab(2, 3)] == ["a"]
        assert [item.token for item in queue.grab(2, 0)] == ["b", "a"]
        assert [item.token for item in queue.grab(9, 0)] == ["c"]
        assert queue.grab(9, 0) == []
        assert queue.in_flight == 4

    def test_suspects_are_moved_there_last(self) -> None:
        queue = queue_of("a", "b")
        suspect = taken(queue)
        queue.delay(suspect, 5.0)
        assert [item.token for item in queue.grab(9, 0)] == ["b", "a"]

    def test_what_is_stored_is_no_longer_queued(self) -> None:
        receipts = Receipts()
        queue = queue_of("b")
        queue.add(receipts.item())
        queue.stored(queue.grab(2, 0), 0)
        assert receipts.told == [("spooled", "")]
        assert queue.count == 0
        assert counted(queue, *NOTHING, "spooled", "dropped") == {**NOTHING, "spooled": 2, "dropped": {}}

    def test_what_was_on_disk_already_is_not_counted_twice(self) -> None:
        queue = queue_of()
        queue.add(on_disk())
        queue.stored(queue.grab(1, 0), 0)
        assert (queue.count, queue.account.rows) == (0, 0)
        assert counted(queue, *NOTHING, "spooled") == {**NOTHING, "spooled": 1}

    def test_one_that_lies_there_too_can_be_left_there(self) -> None:
        queue = queue_of()
        queue.add(on_disk())
        item = taken(queue)
        queue.leave_on_disk(item)
        queue.leave_on_disk(item)
        assert queue.let_go() == [item]
        assert (queue.count, queue.account.rows) == (0, 0)
        assert counted(queue, *NOTHING, "spooled", "dropped") == {**NOTHING, "spooled": 1, "dropped": {}}

    def test_what_has_been_delivered_meanwhile_is_not_stored(self) -> None:
        queue = queue_of("a", "b")
        items = queue.grab(2, 0)
        queue.delivered(items[0])
        queue.stored(items, 0)
        assert counted(queue, "spooled", "delivered") == {"spooled": 1, "delivered": 1}

    def test_older_ones_that_had_to_make_room_there_are_lost(self) -> None:
        queue = queue_of("a", "b", "c")
        queue.stored(queue.grab(3, 0), 2)
        assert counted(queue, "spooled", "dropped") == {"spooled": 1, "dropped": {"spool_full": 2}}

    def test_what_is_read_back_waits_for_its_turn_and_was_captured_before(self) -> None:
        queue = queue_of("a")
        queue.stored(queue.grab(1, 0), 0)
        back = on_disk()
        back.seq = -1
        queue.recall([back], 0)
        assert (queue.recalled, queue.count, queue.account.rows) == (1, 1, 1)
        assert counted(queue, "captured", "queued", "spooled") == {"captured": 1, "queued": 0, "spooled": 1}
        assert taken(queue) is back
        assert queue.recalled == 0
        queue.delivered(back)
        assert counted(queue, "spooled", "delivered") == {"spooled": 0, "delivered": 1}

    def test_rows_that_hold_no_event_are_lost(self) -> None:
        queue = queue_of("a", "b")
        queue.stored(queue.grab(2, 0), 0)
        queue.recall([], 0)
        assert queue.dropped() == {}
        queue.recall([], 1)
        queue.recall([], 1)
        assert counted(queue, "spooled", "dropped") == {"spooled": 0, "dropped": {"unreadable": 2}}

    def test_what_was_delivered_after_its_lease_may_have_been_delivered_twice(self) -> None:
        queue = queue_of("a", "b", "c", "d")
        for _ in range(4):
            queue.delivered(taken(queue))
        queue.account.lease_lost(1)
        queue.account.lease_lost(1)
        assert counted(queue, "delivered", "spooled", "possible_duplicates") == {
            "delivered": 2,
            "spooled": 2,
            "possible_duplicates": 2,
        }


class TestTheEnd:
    def test_what_is_in_flight_is_taken_over_and_the_originals_count_no_more(self) -> None:
        queue = queue_of("a", "b", "c")
        originals = [taken(queue), taken(queue)]
        queue.begin(originals[0])
        copies = queue.take_over()
        assert [(copy.token, copy.possibly_stored) for copy in copies] == [("a", True), ("b", False)]
        assert queue.delivered(originals[0]) == []
        assert queue.lost(originals[1], "x") == []
        assert queue.in_flight == 2
        assert queue.delivered(copies[0]) == [copies[0]]
        queue.give_back(copies[1])
        assert counted(queue, "queued", "in_flight", "delivered") == {"queued": 2, "in_flight": 0, "delivered": 1}

    def test_a_forked_child_has_nothing_of_its_parents(self) -> None:
        queue = queue_of("a", "b", trusting=False)
        queue.clear()
        assert nothing_left(queue)
        for _ in range(20):
            queue.add(QueueItem("c", 10))
        assert queue.ready(8) == 20, "it judges no token: nothing is sent from it"

    def test_who_waits_is_told_when_all_that_was_here_has_left(self) -> None:
        queue = queue_of("a", "b", "c")
        first, second, third = taken(queue), taken(queue), taken(queue)
        with Waiting(queue) as waiting:
            queue.add(QueueItem("d", 10))
            queue.delivered(third)
            queue.lost(second, "http_400")
            assert waiting.is_alive()
            queue.stored([first], 0)
        assert waiting.result is True
        assert queue.count == 1

    def test_who_waits_waits_for_what_came_in_after_others_had_left(self) -> None:
        queue = queue_of("a", "b")
        for _ in range(2):
            queue.delivered(taken(queue))
        for token in ("c", "d"):
            queue.add(QueueItem(token, 10))
        queue.delivered(taken(queue))
        assert not queue.wait(Deadline(0.0), lambda: False)
        queue.delivered(taken(queue))
        assert queue.wait(Deadline(0.0), lambda: False)

    def test_nobody_waits_for_what_is_read_back_from_disk(self) -> None:
        queue = queue_of()
        back = on_disk()
        back.seq = -1
        queue.recall([back], 0)
        assert queue.wait(Deadline(0.0), lambda: False)
        queue.add(QueueItem("a", 10))
        assert not queue.wait(Deadline(0.0), lambda: False)
        assert taken(queue) is not None
        queue.delivered(taken(queue))
        assert queue.count == 1

    def test_who_waits_stops_when_there_is_no_more_reason_to(self) -> None:
        queue = queue_of("a")
        stop = threading.Event()
        with Waiting(queue, stop.is_set) as waiting:
            queue.account.interrupt()
            assert waiting.is_alive()
            stop.set()
            queue.account.interrupt()
        assert waiting.result is False


class Waiting(threading.Thread):
    """Somebody who waits in `flush` until the end of the block, and what came of that."""

    def __init__(self, queue: Queue, unless: Callable[[], bool] = lambda: False) -> None:
        super().__init__(daemon=True)
        self.result: bool | None = None
        self._queue = queue
        self._unless = unless

    def __enter__(self) -> Self:
        self.start()
        eventually(lambda: self._queue.account.flushes._flushes)
        return self

    def __exit__(self, *error: object) -> None:
        self.join(30)
        assert not self.is_alive()

    def run(self) -> None:
        self.result = self._queue.wait(Deadline(30.0), self._unless)
