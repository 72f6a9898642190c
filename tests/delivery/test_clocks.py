"""Clocks that differ: UASAM's ahead of Brain's, ours beside it, and one that a test holds still."""

from __future__ import annotations

import base64
import json
import threading
import time
from email.utils import formatdate
from typing import TYPE_CHECKING

import pytest

from otas_middleware._delivery import Pipeline
from otas_middleware._delivery.retry import LONGEST_HOLD, PeerClock, RetryPolicy
from otas_middleware._runtime import Deadline
from support.delivery import Item, RawServer, answer, balance, build, created, eventually, pipeline, settings

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from support.delivery import Received


def jwt(issued: float) -> str:
    payload = base64.urlsafe_b64encode(json.dumps({"iat": issued}).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJIUzI1NiJ9.{payload}.c2ln"


class Brain:
    """Refuses tokens from its future, as Brain does.

    Args:
        ahead: Seconds by which its clock is ahead of this host's.
    """

    def __init__(self, ahead: float = 0.0) -> None:
        self._ahead = ahead
        self.refusals = 0

    def __call__(self, connection: socket.socket, request: Received) -> None:
        now = time.time() + self._ahead
        payload = (request.header("X-OTAS-AGENT-SESSION-TOKEN") or "").split(".")[1]
        issued = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["iat"]
        date = f"Date: {formatdate(now, usegmt=True)}"
        if issued > now:
            self.refusals += 1
            connection.sendall(answer("401 Unauthorized", b'{"status_description":"invalid_or_expired_token"}', date))
        else:
            connection.sendall(created(date))


def test_where_uasams_clock_is_ahead_no_event_is_lost_and_none_is_sent_too_early(
    caplog: pytest.LogCaptureFixture,
) -> None:
    brain, rejected = Brain(), list[str]()
    with RawServer(brain) as server:
        sender = Pipeline(settings(server.url), build, on_bad_token=rejected.append)
        token = jwt(time.time() + 2.5)
        for _ in range(30):
            sender.put(Item(token=token))
        eventually(lambda: sender.stats()["delivered"] == 30)
        assert (sender.stats()["dropped"], brain.refusals, rejected) == ({}, 0, [])
        assert balance(sender.stats()) == 0
        sender.close()
    assert "Clocks differ: synchronise those of UASAM, Brain and this host" in caplog.text


def test_where_uasams_clock_and_ours_are_ahead_of_brains_no_event_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    brain, rejected = Brain(ahead=-4.0), list[str]()
    with RawServer(brain) as server:
        sender = Pipeline(settings(server.url), build, on_bad_token=rejected.append)
        token = jwt(time.time())
        for _ in range(30):
            sender.put(Item(token=token))
        eventually(lambda: sender.stats()["delivered"] == 30)
        assert (sender.stats()["dropped"], rejected) == ({}, [])
        assert brain.refusals == 1
        assert sender.stats()["failures"] == {"invalid_or_expired_token": 1}
        sender.close()
    assert "s behind this host's" in caplog.text


def test_a_session_whose_token_is_held_back_holds_up_no_other() -> None:
    with RawServer(Brain()) as server, pipeline(server.url) as sender:
        sender.put(Item(token=jwt(time.time() + 300)))
        sender.put(Item(token=jwt(time.time() - 300)))
        eventually(lambda: sender.stats()["delivered"] == 1)
        assert (sender.stats()["queued"], sender.stats()["in_flight"], sender.stats()["dropped"]) == (1, 0, {})


@pytest.mark.parametrize(("ahead", "held"), [(0.5, False), (30.0, True), (LONGEST_HOLD + 60, False)])
def test_only_what_a_clock_may_be_wrong_by_is_held_back(ahead: float, held: bool) -> None:
    policy = RetryPolicy(5, 30.0, PeerClock())
    assert (policy.ahead(jwt(time.time() + ahead)) > 0) is held


class TestThePeersClock:
    def test_until_an_answer_has_told_it_is_ours(self) -> None:
        assert PeerClock().offset == 0.0
        assert 9.0 < PeerClock().until(time.time() + 10.0) <= 10.0

    @pytest.mark.parametrize("ahead", [-3600.0, -5.0, 5.0, 3600.0])
    def test_an_answers_date_tells(self, ahead: float) -> None:
        clock = PeerClock()
        clock.learn(formatdate(time.time() + ahead, usegmt=True))
        assert abs(clock.offset - ahead) <= 1.1

    @pytest.mark.parametrize("date", [None, "", "soon", "Thu, 99 Jan 2026 00:00:00 GMT"])
    def test_what_is_no_date_tells_nothing(self, date: str | None) -> None:
        clock = PeerClock()
        clock.learn(date)
        assert clock.offset == 0.0

    def test_a_fraction_of_a_second_is_no_difference(self) -> None:
        clock = PeerClock()
        clock.learn(formatdate(time.time(), usegmt=True))
        assert clock.offset == 0.0


def test_flush_may_be_told_to_wait_for_ever() -> None:
    with RawServer(lambda connection, _: connection.sendall(created())) as server, pipeline(server.url) as sender:
        sender.put(Item())
        assert sender.flush(float("inf"))


def test_what_waits_since_a_test_held_the_clock_goes_on_when_the_clock_does() -> None:
    """While it is held, `time.monotonic` is at the date at which it is held: decades later than before and after."""
    away = True

    def brain(connection: socket.socket, _: Received) -> bool:
        if not away:
            connection.sendall(created())
        return not away

    with RawServer(brain) as server, pipeline(server.url, max_retry_delay=0.5) as sender:
        with pytest.importorskip("freezegun").freeze_time("2030-01-01"):
            sender.put(Item())
            eventually(lambda: sender.stats()["state"] != "ok")
        away = False
        eventually(lambda: sender.stats()["delivered"] == 1)


class TestAClockThatStandsStill:
    """Libraries that freeze time in tests replace `time.monotonic`."""

    @pytest.fixture(autouse=True)
    def still(self) -> Iterator[None]:
        with pytest.importorskip("freezegun").freeze_time("2026-12-01"):
            yield

    def test_a_deadline_comes(self) -> None:
        deadline = Deadline(0.05)
        while deadline.left():
            threading.Event().wait(0.01)

    @pytest.mark.parametrize("spooled", [False, True])
    def test_flush_and_close_end_in_time(self, spooled: bool, tmp_path: Path) -> None:
        with RawServer(lambda _connection, _request: None) as hole:
            sender = Pipeline(settings(hole.url, spool_dir=tmp_path / "spool" if spooled else None), build)
            for _ in range(5):
                sender.put(Item())
            assert not sender.flush(0.3)
            sender.close(0.3)
            stats = sender.stats()
            assert (stats["spooled"] if spooled else stats["dropped"].get("exit")) == 5
            assert balance(stats) == 0

    def test_events_are_delivered(self) -> None:
        with RawServer(lambda connection, _: connection.sendall(created())) as server, pipeline(server.url) as sender:
            for _ in range(50):
                sender.put(Item())
            assert sender.flush(10.0)
            assert sender.stats()["delivered"] == 50
