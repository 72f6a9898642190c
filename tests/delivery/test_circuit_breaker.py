"""When a destination counts as away, how long nothing is sent then, and what ends that."""

from __future__ import annotations

from math import inf

import pytest

from otas_middleware._delivery import DELIVERED, Outcome, Verdict
from otas_middleware._delivery.retry import Breaker

OPENED = (True, False)
CLOSED = (False, True)
AS_BEFORE = (False, False)


def opened(pause: float | None = 2.0) -> Breaker:
    """Return a breaker that opened at 10.0."""
    breaker = Breaker(30.0)
    assert breaker.failed("connection_refused", 10.0, pause)
    return breaker


def probing() -> Breaker:
    """Return an open breaker whose probe is on its way."""
    breaker = opened()
    breaker.sent()
    return breaker


def test_it_begins_closed_and_knows_of_no_outage() -> None:
    breaker = Breaker(30.0)
    assert (breaker.closed, breaker.reason, breaker.since, breaker.wait(0.0)) == (True, "", 0.0, 0.0)


def test_it_opens_at_a_failure_and_lets_one_probe_through() -> None:
    breaker = opened(pause=2.0)
    assert breaker.wait(10.5) == 1.5
    assert breaker.wait(12.0) == breaker.wait(13.0) == 0.0
    breaker.sent()
    assert breaker.wait(13.0) == inf
    assert breaker.succeeded()
    assert breaker.closed
    assert breaker.wait(13.0) == 0.0


def test_it_says_why_it_is_open_and_since_when() -> None:
    breaker = opened()
    assert (breaker.reason, breaker.since) == ("connection_refused", 10.0)
    breaker.sent()
    assert not breaker.failed("http_503", 20.0)
    assert (breaker.reason, breaker.since) == ("http_503", 10.0), "it is the same outage"
    breaker.succeeded()
    assert breaker.reason == ""
    assert breaker.failed("http_502", 30.0)
    assert (breaker.reason, breaker.since) == ("http_502", 30.0)


def test_only_what_is_sent_while_it_is_open_is_a_probe() -> None:
    breaker = Breaker(30.0)
    breaker.sent()
    assert breaker.wait(0.0) == 0.0
    breaker.failed("x", 0.0, pause=1.0)
    assert breaker.wait(0.0) == 1.0


def test_a_probe_that_told_nothing_is_followed_by_another() -> None:
    breaker = probing()
    breaker.unsent()
    assert not breaker.closed
    assert breaker.wait(12.0) == 0.0
    assert not breaker.failed("x", 12.0, pause=100.0), "a late answer to what was sent before it opened"
    assert breaker.wait(12.0) == 0.0


def test_a_probe_that_fails_is_followed_by_another_after_a_pause_of_its_own() -> None:
    breaker = probing()
    assert not breaker.failed("x", 20.0, pause=3.0)
    assert breaker.wait(20.0) == 3.0
    assert breaker.wait(23.0) == 0.0


def test_whoever_waits_need_not_wait_for_the_pause() -> None:
    breaker = opened(pause=100.0)
    breaker.flush_now()
    assert breaker.wait(0.0) == 0.0


def test_closing_needs_an_answer_that_was_not_expected() -> None:
    assert not Breaker(30.0).succeeded()
    breaker = opened()
    assert breaker.succeeded()
    assert not breaker.succeeded()


@pytest.mark.parametrize(("failures", "ceiling"), [(1, 0.5), (2, 1.0), (6, 16.0), (20, 20.0)])
def test_each_failure_of_a_probe_doubles_the_ceiling_of_the_pause(failures: int, ceiling: float) -> None:
    waits: list[float] = []
    for _ in range(300):
        breaker = Breaker(20.0)
        for _ in range(failures):
            breaker.flush_now()
            breaker.sent()
            breaker.failed("x", 0.0)
        waits.append(breaker.wait(0.0))
    assert 0.75 * ceiling < max(waits) <= ceiling


def test_after_an_outage_pauses_begin_small_again() -> None:
    breaker = Breaker(1000.0)
    for _ in range(50):
        for _ in range(10):
            breaker.flush_now()
            breaker.sent()
            breaker.failed("x", 0.0)
        breaker.succeeded()
        breaker.failed("x", 0.0)
        assert breaker.wait(0.0) <= 0.5
        breaker.succeeded()


def test_failures_of_what_was_sent_before_it_opened_count_as_one() -> None:
    breaker = opened(pause=1.0)
    for _ in range(7):
        assert not breaker.failed("x", 10.1, pause=100.0)
    assert breaker.wait(11.0) == 0.0
    assert breaker.reason == "connection_refused"


@pytest.mark.parametrize("pause", [None, 0.0])
def test_a_probe_never_follows_a_failure_at_once_whatever_the_backoff_or_the_destination_says(
    pause: float | None,
) -> None:
    for _ in range(200):
        breaker = Breaker(0.0001)
        breaker.failed("x", 0.0, pause=pause)
        assert breaker.wait(0.0) == 0.05


def test_whatever_happens_somebody_may_try_again_in_bounded_time() -> None:
    breaker = Breaker(5.0)
    now = 0.0
    for _ in range(1000):
        breaker.failed("x", now)
        assert breaker.wait(now) <= 5.0
        now += 5.0
        assert breaker.wait(now) == 0.0
        breaker.sent()


class TestSuspects:
    """Answers that may be the event's own fault."""

    def test_single_bad_events_do_not_open_it_but_a_row_of_them_does(self) -> None:
        breaker = Breaker(30.0)
        for _ in range(20):
            assert not breaker.suspect("http_500", 0.0)
            breaker.succeeded()
        assert [breaker.suspect("http_500", 7.0) for _ in range(5)] == [False] * 4 + [True]
        assert (breaker.reason, breaker.since) == ("http_500", 7.0)
        assert 7.05 <= 7.0 + breaker.wait(7.0) <= 7.5

    def test_an_outage_that_a_row_of_them_began_ends_with_the_next_good_answer(self) -> None:
        breaker = Breaker(30.0)
        for _ in range(5):
            breaker.suspect("http_500", 0.0)
        assert breaker.succeeded()
        assert [breaker.suspect("http_500", 0.0) for _ in range(5)] == [False] * 4 + [True]

    def test_a_probe_that_is_one_leaves_it_open(self) -> None:
        breaker = probing()
        assert not breaker.suspect("http_500", 20.0)
        assert breaker.reason == "http_500"
        assert 20.05 <= 20.0 + breaker.wait(20.0) <= 21.0


class TestWhatItLearns:
    """From the outcome of an attempt: whether that opened it, and whether it closed it."""

    @pytest.mark.parametrize(
        "outcome",
        [
            DELIVERED,
            Outcome(Verdict.REJECTED, "http_400"),
            Outcome(Verdict.BAD_TOKEN, "invalid_or_expired_token"),
        ],
    )
    def test_an_answer_about_the_event_shows_the_destination_well(self, outcome: Outcome) -> None:
        assert Breaker(30.0).learn(outcome, 0.0) == AS_BEFORE
        breaker = probing()
        assert breaker.learn(outcome, 20.0) == CLOSED
        assert breaker.closed
        assert breaker.learn(outcome, 20.0) == AS_BEFORE

    @pytest.mark.parametrize(
        "outcome",
        [
            Outcome(Verdict.UNAVAILABLE, "http_503", retry_after=7.0),
            Outcome(Verdict.MISCONFIGURED, "http_401", retry_after=7.0),
            Outcome(Verdict.RETRYABLE, "timeout", ambiguous=True, retry_after=7.0),
        ],
    )
    def test_an_answer_about_the_destination_opens_it_for_as_long_as_that_asks_for(self, outcome: Outcome) -> None:
        breaker = Breaker(30.0)
        assert breaker.learn(outcome, 3.0) == OPENED
        assert (breaker.reason, breaker.since, breaker.wait(3.0)) == (outcome.reason, 3.0, 7.0)
        breaker.sent()
        assert breaker.learn(outcome, 20.0) == AS_BEFORE
        assert breaker.wait(20.0) == 7.0

    def test_five_answers_that_may_be_the_events_own_fault_open_it(self) -> None:
        breaker = Breaker(30.0)
        outcome = Outcome(Verdict.RETRYABLE, "http_500", retry_after=7.0)
        assert [breaker.learn(outcome, 3.0) for _ in range(5)] == [AS_BEFORE] * 4 + [OPENED]
        assert (breaker.reason, breaker.since) == ("http_500", 3.0)
        assert breaker.wait(3.0) <= 0.5, "what one event's answer asks for is not for the others"

    def test_a_fault_of_ours_tells_nothing_about_the_destination(self) -> None:
        breaker = Breaker(30.0)
        ours = Outcome(Verdict.RETRYABLE, "internal_error", ambiguous=True)
        assert [breaker.learn(ours, 0.0) for _ in range(20)] == [AS_BEFORE] * 20
        assert breaker.closed
        breaker = probing()
        assert breaker.learn(ours, 20.0) == AS_BEFORE
        assert not breaker.closed
        assert breaker.wait(20.0) == 0.0, "the next probe may go"
