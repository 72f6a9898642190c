"""What waits to be sent, what is in flight, and the account of both: each has one disposition, which is counted."""

from __future__ import annotations

from otas_middleware._delivery.queue import Queue
from otas_middleware._delivery.queue_item import QUEUE_WEIGHT, TOKEN_WEIGHT, QueueItem
from support.queues import NOTHING, ROOM, Receipts, counted, nothing_left, on_disk, queue_of, taken


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
