"""How fast is right: backoff, and the number of connections."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otas_middleware._delivery import Outcome, Verdict
from otas_middleware._delivery.limiter import Limiter
from otas_middleware._delivery.retry import (
    LONGEST_RETRY_AFTER,
    Breaker,
    PeerClock,
    RetryPolicy,
    full_jitter,
    retry_after,
)
from support.delivery import (
    PATIENCE,
    Item,
    RawServer,
    answer,
    created,
    eventually,
    pipeline,
    rate_reached,
)

if TYPE_CHECKING:
    import socket

    from support.delivery import Received


@given(attempt=st.integers(1, 1000), longest=st.floats(0.01, 100))
def test_a_delay_lies_between_nothing_and_its_ceiling(attempt: int, longest: float) -> None:
    assert 0 <= full_jitter(attempt, longest) <= min(longest, 0.5 * 2.0 ** min(attempt - 1, 60))


def test_delays_are_spread_over_the_whole_width() -> None:
    delays = [full_jitter(4, 30.0) for _ in range(500)]
    assert min(delays) < 0.5
    assert max(delays) > 3.5


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("5", 5.0),
        (" 0 ", 0.0),
        ("-5", None),
        ("1.5", None),
        ("99999999999999999999", LONGEST_RETRY_AFTER),
        ("Thu, 01 Jan 1970 00:00:30 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
        ("soon", None),
    ],
)
def test_retry_after_is_read_in_both_forms(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, now=10.0) == seconds


def test_a_date_that_no_clock_here_can_show_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert retry_after("Fri, 31 Dec 9999 23:59:59") is None  # in local time, where it is the year 10000 elsewhere
    finally:
        monkeypatch.undo()
        time.tzset()


def idle() -> float:
    """The CPU seconds of a process that does nothing."""
    return 0.0


class Process:
    """A process with a long backlog; the rest of it uses a whole processor, or nothing."""

    def __init__(self) -> None:
        self._now = self._cpu = 0.0
        self.limiter = Limiter(8, lambda: self._cpu)

    def gets_answers(self, count: int, latency: float, *, busy: bool) -> None:
        for _ in range(count):
            self._now += latency
            self._cpu += latency if busy else 0.0
            self.limiter.succeeded(latency, self._now, waiting=10_000)


class TestTheLimiter:
    def run(self, limiter: Limiter, seconds: float, base: float, capacity: float, now: float = 0.0) -> float:
        """Play a service whose latency rises beyond `capacity` requests at a time; return the clock."""
        end = now + seconds
        while now < end:
            at_once = limiter.limit
            latency = base * max(1.0, at_once / capacity)
            now += latency / at_once
            limiter.succeeded(latency, now, waiting=1000)
        return now

    def test_it_grows_to_the_most_while_the_latency_holds(self) -> None:
        limiter = Limiter(8, idle)
        self.run(limiter, 10.0, base=0.2, capacity=100)
        assert limiter.limit == 8

    def test_it_does_not_grow_without_a_backlog(self) -> None:
        limiter = Limiter(8, idle)
        for now in range(100):
            limiter.succeeded(0.2, float(now), waiting=0)
        assert limiter.limit == 1

    def test_it_does_not_grow_for_a_backlog_that_will_soon_be_gone(self) -> None:
        limiter = Limiter(8, idle)
        for number in range(1000):
            limiter.succeeded(0.0002, number * 0.0002, waiting=2000)
        assert limiter.limit == 1
        for number in range(1000):
            limiter.succeeded(0.002, 1.0 + number * 0.002, waiting=5000)
        assert limiter.limit == 8

    def test_it_puts_no_more_connections_to_work_than_the_backlog_needs(self) -> None:
        limiter = Limiter(8, idle)
        now = self.run(limiter, 10.0, base=0.2, capacity=100)
        assert not limiter.wants_another(waiting=4, busy=1)
        assert limiter.wants_another(waiting=6, busy=1)
        assert not limiter.wants_another(waiting=6, busy=2)
        assert limiter.wants_another(waiting=1, busy=2, soon=0.0)
        assert not limiter.wants_another(waiting=10_000, busy=8)
        limiter.succeeded(0.001, now, waiting=100)
        assert not limiter.wants_another(waiting=100, busy=1)

    def test_in_a_busy_process_quick_answers_get_one_connection(self) -> None:
        process = Process()
        process.gets_answers(10_000, 0.003, busy=True)
        assert process.limiter.limit == 1
        assert not process.limiter.wants_another(waiting=10_000, busy=1)
        process.gets_answers(10_000, 0.003, busy=False)
        assert process.limiter.limit == 8
        process.gets_answers(400, 0.003, busy=True)
        assert process.limiter.limit == 1

    def test_in_a_busy_process_slow_answers_get_as_many_as_ever(self) -> None:
        process = Process()
        process.gets_answers(200, 0.15, busy=True)
        assert process.limiter.limit == 8

    def test_it_stays_near_what_a_service_on_two_cores_can_do(self) -> None:
        limiter = Limiter(8, idle)
        now = self.run(limiter, 30.0, base=0.15, capacity=2)
        seen: list[int] = []
        for _ in range(200):
            now = self.run(limiter, 0.5, base=0.15, capacity=2, now=now)
            seen.append(limiter.limit)
        assert 2 <= sum(seen) / len(seen) <= 6

    def test_a_failure_halves_it_once_for_all_that_were_under_way(self) -> None:
        limiter = Limiter(8, idle)
        now = self.run(limiter, 20.0, base=0.1, capacity=100)
        for _ in range(8):
            limiter.failed(now, 0.1)
        assert limiter.limit == 4
        limiter.failed(now + 1.0, 0.1)
        assert limiter.limit == 2

    def test_a_service_that_became_slow_for_good_is_measured_anew(self) -> None:
        limiter = Limiter(8, idle)
        now = self.run(limiter, 20.0, base=0.05, capacity=100)
        self.run(limiter, 600.0, base=1.0, capacity=100, now=now)
        assert limiter.limit >= 6

    def test_it_never_stops_altogether(self) -> None:
        limiter = Limiter(8, idle)
        for now in range(100):
            limiter.failed(float(now), 0.1)
        assert limiter.limit == 1


def test_a_backlog_that_one_connection_drains_in_no_time_wakes_no_other() -> None:
    seconds = [0.05]
    busy: list[int] = []
    lock = threading.Lock()

    def by_turns(connection: socket.socket, _request: Received) -> None:
        with lock:
            busy.append((busy[-1] if busy else 0) + 1)
        time.sleep(seconds[0])
        with lock:
            busy.append(busy[-1] - 1)
        connection.sendall(created())

    with RawServer(by_turns) as server, pipeline(server.url, max_connections=2) as sender:
        for _ in range(60):
            sender.put(Item())
        eventually(lambda: sender.stats()["connections"] == 2)
        assert sender.flush(PATIENCE)
        assert max(busy) > 1
        seconds[0] = 0.001

        def most_at_once() -> int:
            sender.put(Item())
            assert sender.flush(PATIENCE)  # now it is known how quick it is
            busy.clear()
            for _ in range(100):
                sender.put(Item())
            assert sender.flush(PATIENCE)
            return max(busy)

        eventually(lambda: most_at_once() == 1)  # on a busy machine an answer may take its time after all


def test_an_event_does_not_wait_for_a_connection_that_hangs() -> None:
    hang = threading.Event()

    def sometimes(connection: socket.socket, request: Received) -> None:
        if hang.is_set() and b"/hangs" in request.body:
            return
        time.sleep(0.05)
        connection.sendall(created())

    with (
        RawServer(sometimes) as server,
        pipeline(server.url, max_connections=4, request_timeout=2 * PATIENCE) as sender,
    ):
        for _ in range(200):
            sender.put(Item())
        eventually(lambda: sender.stats()["connections"] == 4)
        assert sender.flush(PATIENCE)
        hang.set()
        sender.put(Item(path="/hangs"))
        eventually(lambda: sender.stats()["in_flight"] == 1)
        sender.put(Item())
        eventually(lambda: sender.stats()["delivered"] == 201)


def test_connections_grow_with_a_backlog_and_fall_when_brain_refuses() -> None:
    state = {"open": 0, "most": 0, "busy": 0}
    lock = threading.Lock()

    def slow(connection: socket.socket, _request: Received) -> None:
        with lock:
            state["open"] += 1
            state["most"] = max(state["most"], state["open"])
        time.sleep(0.05)
        with lock:
            state["open"] -= 1
            busy = state["busy"] > 0
            state["busy"] -= busy
        connection.sendall(answer("503 Busy") if busy else created())

    with RawServer(slow) as server, pipeline(server.url, max_connections=6) as sender:
        for _ in range(300):
            sender.put(Item())
        eventually(lambda: sender.stats()["connections"] == 6)
        assert state["most"] <= 6
        state["busy"] = 1
        eventually(lambda: sender.stats()["connections"] < 6)
        assert sender.flush(30)
        assert sender.stats()["delivered"] == 300


def test_threads_that_a_slow_spell_called_for_end_although_events_keep_coming(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otas_middleware._delivery.worker_pool.IDLE", 0.5)
    seconds = [0.05]

    def script(connection: socket.socket, _request: Received) -> None:
        time.sleep(seconds[0])
        connection.sendall(created())

    def senders() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name == "otas-brain"}

    others = senders()  # of earlier tests, which may end meanwhile
    with RawServer(script) as server, pipeline(server.url, max_connections=4) as sender:

        def put_more() -> bool:
            for _ in range(5):
                sender.put(Item())
            return len(senders() - others) == 4 and server.connections >= 4

        eventually(put_more)
        seconds[0] = 0.001
        assert sender.flush(PATIENCE)

        def put_and_count() -> bool:
            sender.put(Item())
            time.sleep(0.02)
            return len(senders() - others) == 1

        eventually(put_and_count)


def test_at_two_hundred_milliseconds_a_reply_the_connections_are_kept_busy() -> None:
    assert rate_reached(connections=8, latency=0.2, events=400, seconds=4.0) >= 0.9 * 8 / 0.2


@pytest.mark.parametrize("pause", [float("inf"), float("-inf"), float("nan"), 1e12])
def test_no_pause_that_a_destination_asks_for_is_longer_than_five_minutes(pause: float) -> None:
    breaker = Breaker(30.0)
    breaker.failed("busy", 0.0, pause)
    assert 0.0 < breaker.wait(0.0) <= LONGEST_RETRY_AFTER
    decision = RetryPolicy(5, 30.0, PeerClock()).decide(
        Outcome(Verdict.RETRYABLE, "busy", retry_after=pause), "", attempts=1, failures=0, others_passed=False
    )
    assert 0.0 <= decision.delay <= LONGEST_RETRY_AFTER
