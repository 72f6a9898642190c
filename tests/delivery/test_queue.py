"""What waits to be sent, what is in flight, and the account of both: each has one disposition, which is counted."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from hypothesis import given
from hypothesis import strategies as st

from otas_middleware._delivery.queue import Queue
from otas_middleware._delivery.queue_item import QUEUE_WEIGHT, TOKEN_WEIGHT, QueueItem
from otas_middleware._runtime import Deadline
from support.delivery import balance, eventually

if TYPE_CHECKING:
    from collections.abc import Callable

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


class TestComingIn:
    def test_a_new_queue_holds_nothing(self) -> None:
        queue = Queue(100, ROOM)
        assert (queue.count, queue.account.rows, queue.in_flight, queue.recalled, queue.account.stats.delivered) == (
            0,
            0,
            0,
            0,
            0,
        )
        assert counted(queue, *NOTHING, "captured", "delivered", "dropped") == {
            **NOTHING,
            "captured": 0,
            "delivered": 0,
            "dropped": {},
        }
        assert queue.dropped() == {}
        assert queue.let_go() == []
        assert nothing_left(queue)

    def test_events_are_numbered_from_one(self) -> None:
        queue = queue_of("a", "b")
        assert [taken(queue).seq, taken(queue).seq] == [1, 2]

    def test_each_is_counted_and_weighed_with_what_its_token_costs(self) -> None:
        queue = queue_of("a", "a", "b")
        assert queue.count == 3
        assert counted(queue, "captured", "queued", "queued_bytes") == {
            "captured": 3,
            "queued": 3,
            "queued_bytes": 3 * (10 + QUEUE_WEIGHT) + 2 * TOKEN_WEIGHT,
        }

    def test_what_is_lost_at_once_is_captured_and_dropped(self) -> None:
        queue = queue_of("a")
        queue.refuse("not_text")
        queue.refuse("not_text")
        assert counted(queue, "captured", "dropped") == {"captured": 3, "dropped": {"not_text": 2}}
        assert queue.dropped() == {"not_text": 2}

    def test_what_lies_on_disk_already_counts_as_spooled(self) -> None:
        queue = queue_of("a")
        for _ in range(2):
            queue.add(on_disk())
        assert (queue.count, queue.account.rows) == (3, 2)
        assert counted(queue, "captured", "queued", "spooled") == {"captured": 3, "queued": 1, "spooled": 2}

    def test_the_first_event_is_told_of_and_the_next_when_somebody_waits_again(self) -> None:
        queue = Queue(100, ROOM, trusting=True)
        assert [queue.add(QueueItem("a", 1))[0] for _ in range(3)] == [True, False, False]
        queue.watch()
        assert [queue.add(QueueItem("a", 1))[0] for _ in range(2)] == [True, False]
        for _ in range(5):
            taken(queue)
        assert queue.add(QueueItem("a", 1))[0] is False, "who found something is not waiting"
        taken(queue)
        queue.take(0.0, 8, early=False, watch=True)
        assert queue.add(QueueItem("a", 1))[0] is True
        taken(queue)
        queue.watch()
        queue.take(0.0, 8, early=False, watch=False)
        assert queue.add(QueueItem("a", 1))[0] is False, "who did not find anything will not wait"


class TestPressure:
    def test_it_is_reported_beyond_the_marked_share_of_the_count(self) -> None:
        queue = Queue(10, ROOM, mark=0.5, trusting=True)
        assert [queue.add(QueueItem("a", 1))[1] for _ in range(7)] == [False] * 5 + [True] * 2
        assert queue.count == 7

    def test_it_is_reported_beyond_the_marked_share_of_the_bytes(self) -> None:
        queue = Queue(100, 20_000, mark=0.5, trusting=True)
        first = 10_000 - QUEUE_WEIGHT - TOKEN_WEIGHT
        assert queue.add(QueueItem("a", first)) == (True, False)
        assert queue.add(QueueItem("a", 1)) == (False, True)

    def test_without_a_mark_it_is_reported_when_something_has_to_go(self) -> None:
        queue = Queue(3, ROOM, trusting=True)
        assert [queue.add(QueueItem("a", 1))[1] for _ in range(4)] == [False, False, False, True]
        assert counted(queue, "queued", "dropped") == {"queued": 3, "dropped": {"queue_full": 1}}

    def test_how_full_it_is_is_said_by_count_and_by_bytes(self) -> None:
        queue = Queue(10, 10_000, trusting=True)
        for _ in range(5):
            queue.add(QueueItem("a", 1))
        assert queue.is_fuller_than(0.49)
        assert not queue.is_fuller_than(0.5)
        queue = Queue(100, 10_000, trusting=True)
        queue.add(QueueItem("a", 5000 - QUEUE_WEIGHT - TOKEN_WEIGHT))
        assert queue.is_fuller_than(0.49)
        assert not queue.is_fuller_than(0.5)


class TestFullness:
    def test_the_oldest_gives_way_to_what_does_not_fit(self) -> None:
        receipts = Receipts()
        queue = Queue(2, ROOM, trusting=True)
        queue.add(receipts.item())
        for token in ("b", "c"):
            queue.add(QueueItem(token, 10))
        assert [taken(queue).token, taken(queue).token] == ["b", "c"]
        assert counted(queue, "dropped") == {"dropped": {"queue_full": 1}}
        assert receipts.told == [("queue_full", "")]

    def test_as_many_give_way_as_the_bytes_of_one_need(self) -> None:
        one = 10 + QUEUE_WEIGHT + TOKEN_WEIGHT
        queue = Queue(100, 4 * one, trusting=True)
        for token in "abcd":
            queue.add(QueueItem(token, 10))
        assert counted(queue, "queued", "dropped") == {"queued": 4, "dropped": {}}
        queue.add(QueueItem("e", one + 10))
        assert counted(queue, "queued", "queued_bytes", "dropped") == {
            "queued": 3,
            "queued_bytes": 4 * one,
            "dropped": {"queue_full": 2},
        }

    def test_what_is_in_flight_does_not_give_way(self) -> None:
        queue = Queue(1, ROOM, trusting=True)
        queue.add(QueueItem("a", 10))
        flying = taken(queue)
        queue.add(QueueItem("b", 10))
        assert counted(queue, "queued", "in_flight", "dropped") == {
            "queued": 1,
            "in_flight": 1,
            "dropped": {"queue_full": 1},
        }
        assert queue.delivered(flying) == [flying]

    def test_one_that_is_too_large_for_all_of_it_is_lost_itself(self) -> None:
        queue = Queue(100, 10_000, trusting=True)
        queue.add(QueueItem("a", 20_000))
        assert counted(queue, *NOTHING, "dropped") == {**NOTHING, "dropped": {"queue_full": 1}}

    def test_what_lies_on_disk_too_is_let_go_and_not_lost(self) -> None:
        queue = Queue(1, ROOM, trusting=True)
        spooled = on_disk()
        queue.add(spooled)
        queue.add(QueueItem("b", 10))
        assert (queue.count, queue.account.rows) == (1, 0)
        assert counted(queue, "queued", "spooled", "dropped") == {"queued": 1, "spooled": 1, "dropped": {}}
        assert queue.let_go() == [spooled]
        assert queue.let_go() == []

    def test_what_could_not_be_let_go_of_now_is_returned_at_the_next_call(self) -> None:
        queue = queue_of()
        items = [on_disk(), on_disk()]
        assert queue.let_go(items) == []
        assert queue.let_go() == items

    def test_of_too_many_unjudged_tokens_the_one_that_has_waited_longest_gives_way(self) -> None:
        queue = Queue(8, ROOM)
        receipts = Receipts()
        queue.add(receipts.item("first"))
        queue.add(QueueItem("second", 10))
        assert counted(queue, "dropped") == {"dropped": {}}
        queue.add(QueueItem("third", 10))
        assert counted(queue, "queued", "dropped") == {"queued": 2, "dropped": {"unknown_token": 1}}
        assert receipts.told == [("unknown_token", "")]


class TestLeaving:
    def test_how_many_more_could_be_sent_is_said_with_each(self) -> None:
        queue = queue_of("a", "b", "c")
        assert queue.ready(8) == 3
        assert [queue.take(0.0, 8, early=False, watch=False)[1] for _ in range(3)] == [2, 1, 0]
        assert queue.ready(8) == 0
        assert queue.in_flight == 3

    def test_of_unjudged_tokens_a_quarter_of_the_connections_could_be_sent(self) -> None:
        queue = queue_of("a", "b", "c", trusting=False)
        assert (queue.ready(4), queue.ready(8), queue.ready(100)) == (1, 2, 3)
        assert queue.take(0.0, 8, early=False, watch=False)[1] == 1

    def test_several_may_leave_together_in_the_order_in_which_they_would_leave_alone(self) -> None:
        alone, together = (queue_of("a", "a", "b", "a", "c", "c") for _ in range(2))
        order = [taken(alone).seq for _ in range(6)]
        first, left = together.take(0.0, 8, 4, early=False, watch=False)
        assert ([item.seq for item in first], left, together.in_flight) == (order[:4], 2, 4)
        assert [item.seq for item in together.take(0.0, 8, 4, early=False, watch=False)[0]] == order[4:]

    def test_nothing_overtakes_what_came_back_or_an_unjudged_token_by_leaving_with_another(self) -> None:
        queue = queue_of("a", "a", "a")
        for item in (taken(queue), taken(queue)):
            queue.give_back(item)
        assert [len(queue.take(0.0, 8, 4, early=False, watch=False)[0]) for _ in range(3)] == [1, 2, 0]
        queue = queue_of("known", trusting=False)
        queue.delivered(taken(queue))
        for token in ("known", "known", "stranger", "stranger", "known"):
            queue.add(QueueItem(token, 10))
        assert [len(queue.take(0.0, 8, 4, early=False, watch=False)[0]) for _ in range(4)] == [1, 1, 2, 0]

    def test_what_goes_back_keeps_its_order_also_what_was_on_disk(self) -> None:
        queue = queue_of("a", "a", "a")
        recalled = [on_disk("b", row) for row in (7, 8)]
        for item in recalled:
            item.seq = -(item.row or 0)
        queue.recall(recalled, 0)
        flying = queue.take(0.0, 8, 5, early=False, watch=False)[0]
        for item in flying:
            queue.give_back(item)
        assert [taken(queue).seq for _ in range(5)] == [-7, -8, 1, 2, 3]

    def test_what_goes_back_while_its_token_is_held_waits_with_it_in_its_order(self) -> None:
        queue = queue_of("a", "a", "a", "b", "a")
        items = [item for item in queue.take(0.0, 8, 5, early=False, watch=False)[0] if item.token == "a"]
        queue.hold(items[0], 5.0)
        for item in reversed(items[1:]):
            queue.give_back(item)
        assert nothing_left(queue)
        assert [taken(queue, 5.0).seq for _ in range(4)] == [1, 2, 3, 5]

    def test_an_event_is_delivered_once(self) -> None:
        receipts = Receipts()
        queue = queue_of()
        queue.add(receipts.item())
        item = taken(queue)
        assert counted(queue, "queued", "in_flight") == {"queued": 1, "in_flight": 1}
        assert queue.delivered(item, "id-7") == [item]
        assert queue.delivered(item) == []
        assert queue.account.stats.delivered == 1
        assert counted(queue, *NOTHING, "delivered") == {**NOTHING, "delivered": 1}
        assert receipts.told == [("delivered", "id-7")]

    def test_the_token_of_a_delivered_event_is_an_accepted_one(self) -> None:
        queue = queue_of("a", "a", "a", "a", trusting=False)
        assert queue.ready(8) == 1
        first = taken(queue)
        assert nothing_left(queue)
        queue.delivered(first)
        assert queue.ready(8) == 3

    def test_one_on_disk_leaves_that_when_it_is_delivered(self) -> None:
        queue = queue_of()
        queue.add(on_disk())
        queue.delivered(taken(queue))
        assert (queue.count, queue.account.rows) == (0, 0)
        assert counted(queue, "spooled", "delivered") == {"spooled": 0, "delivered": 1}

    def test_one_on_disk_leaves_that_when_it_is_lost(self) -> None:
        queue = queue_of()
        queue.add(on_disk())
        queue.lost(taken(queue), "rejected")
        assert (queue.count, queue.account.rows) == (0, 0)
        assert counted(queue, "spooled", "dropped") == {"spooled": 0, "dropped": {"rejected": 1}}

    def test_where_the_destination_gives_no_id_the_receipt_names_none(self) -> None:
        receipts = Receipts()
        queue = queue_of()
        queue.add(receipts.item())
        queue.delivered(taken(queue))
        assert receipts.told == [("delivered", "")]

    def test_once_one_of_an_unjudged_token_is_lost_the_next_may_leave(self) -> None:
        queue = queue_of("a", "a", trusting=False)
        first = taken(queue)
        assert nothing_left(queue)
        queue.lost(first, "http_400")
        assert taken(queue).token == "a"

    def test_an_event_is_lost_once_and_others_of_its_token_are_not(self) -> None:
        receipts = Receipts()
        queue = queue_of()
        queue.add(receipts.item())
        queue.add(QueueItem("a", 10))
        item = taken(queue)
        assert queue.lost(item, "http_400") == [item]
        assert queue.lost(item, "http_400") == []
        assert counted(queue, "queued", "dropped") == {"queued": 1, "dropped": {"http_400": 1}}
        assert receipts.told == [("http_400", "")]

    def test_all_that_waits_with_the_token_of_a_lost_one_can_be_lost_with_it(self) -> None:
        queue = queue_of("a", "b", "a", "a")
        item = taken(queue)
        gone = queue.lost(item, "bad_token", others=True)
        assert [each.token for each in gone] == ["a", "a", "a"]
        assert gone[0] is item
        assert counted(queue, "queued", "dropped") == {"queued": 1, "dropped": {"bad_token": 3}}
        assert taken(queue).token == "b"

    def test_events_whose_token_is_not_known_yet_are_not_each_others(self) -> None:
        queue = queue_of("", "")
        assert len(queue.lost(taken(queue), "bad_token", others=True)) == 1
        assert counted(queue, "queued") == {"queued": 1}


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
