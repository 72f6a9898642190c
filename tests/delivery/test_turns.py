"""Whose turn it is: sessions take turns, and tokens that nobody has accepted yet do not starve those that are known."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from support.delivery import Item, RawServer, answer, balance, created, eventually, pipeline

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from otas_middleware._delivery import Pipeline
    from otas_middleware._delivery.queue_item import QueueItem
    from support.delivery import Received

REFUSED = answer("401 Unauthorized", b'{"status":0,"status_description":"invalid_or_expired_token"}')


def path_of(request: Received) -> str:
    return str(json.loads(request.body)["path"])


class Brain:
    """Takes its time for each answer, for a few requests at once; it knows one session."""

    def __init__(
        self, seconds: float, knows: Callable[[str], bool] = lambda token: token.startswith("known"), parallel: int = 1
    ) -> None:
        self.seconds = seconds
        self.taken: dict[str, float] = {}
        self.judged: list[str] = []
        self.at_once = self.most_at_once = 0
        self._knows = knows
        self._busy = threading.Semaphore(parallel)
        self._counting = threading.Lock()

    def __call__(self, connection: socket.socket, request: Received) -> None:
        token = request.header("X-OTAS-AGENT-SESSION-TOKEN") or ""
        known = self._knows(token)
        with self._counting:
            self.at_once += not known
            self.most_at_once = max(self.most_at_once, self.at_once)
        with self._busy:
            time.sleep(self.seconds)
        with self._counting:
            self.at_once -= not known
            self.judged.append(token)
            if known:
                self.taken[path_of(request)] = time.monotonic()
        connection.sendall(created() if known else REFUSED)


def test_a_known_session_is_not_starved_by_a_thousand_invented_tokens_a_second() -> None:
    brain = Brain(0.02)
    with RawServer(brain) as server, pipeline(server.url) as sender:
        sender.put(Item(path="/first", token="known.a.b"))
        eventually(lambda: "/first" in brain.taken)
        over = threading.Event()

        def invent() -> None:
            number = 0
            while not over.wait(0.01):
                for _ in range(10):
                    number += 1
                    sender.put(Item(token=f"forged.{number}.x"))

        stranger = threading.Thread(target=invent)
        stranger.start()
        try:
            eventually(lambda: sender.stats()["dropped"].get("unknown_token", 0) > 0)
            for number in range(5):
                path, before = f"/good/{number}", len(brain.judged)
                sender.put(Item(path=path, token="known.a.b"))
                eventually(lambda: path in brain.taken)  # noqa: B023  # called at once
                assert len(brain.judged) - before <= 40, "with eight answers a second that is five seconds"
        finally:
            over.set()
            stranger.join()
        assert sender.stats()["queued"] <= 10_000 // 4 + 10
        assert balance(sender.stats()) == 0


def test_unjudged_tokens_share_a_quarter_of_the_connections() -> None:
    brain = Brain(0.05, parallel=8)
    with RawServer(brain) as server, pipeline(server.url, max_connections=8) as sender:
        for number in range(300):
            sender.put(Item(path=f"/{number}", token="known.a.b"))
        eventually(lambda: sender.stats()["connections"] > 4)
        for number in range(100):
            sender.put(Item(token=f"forged.{number}.x"))
        assert sender.flush(30)
        assert brain.most_at_once <= 2
        assert sender.stats()["delivered"] == 300
        assert sender.stats()["dropped"] == {"bad_token": 100}


def test_of_an_unjudged_token_one_event_is_under_way_and_the_others_follow_its_judgement() -> None:
    asked, judge = threading.Event(), threading.Event()

    def slow(connection: socket.socket, request: Received) -> None:
        token = request.header("X-OTAS-AGENT-SESSION-TOKEN") or ""
        asked.set()
        judge.wait(30)
        connection.sendall(REFUSED if "forged" in token else created())

    with RawServer(slow) as server, pipeline(server.url) as sender:
        for _ in range(20):
            sender.put(Item(token="forged.a.b"))
        assert asked.wait(30)
        assert sender.stats()["in_flight"] == 1
        judge.set()
        assert sender.flush(30)
        assert sender.stats()["dropped"] == {"bad_token": 20}
        assert len(server.requests) == 1
        for _ in range(20):
            sender.put(Item(token="known.a.b"))
        assert sender.flush(30)
        assert sender.stats()["delivered"] == 20


def test_sessions_take_turns() -> None:
    first, go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def script(connection: socket.socket, request: Received) -> None:
        first.set()
        go_on.wait(30)
        order.append(path_of(request))
        connection.sendall(created())

    with RawServer(script) as server, pipeline(server.url, max_connections=1) as sender:
        for token in ("a.a.a", "b.b.b"):
            sender.put(Item(path="/warm", token=token))
        go_on.set()
        assert sender.flush(30)
        order.clear()
        first.clear()
        go_on.clear()
        sender.put(Item(path="/begin", token="a.a.a"))
        assert first.wait(30)
        for number in range(50):
            sender.put(Item(path=f"/much/{number}", token="a.a.a"))
        sender.put(Item(path="/little", token="b.b.b"))
        go_on.set()
        assert sender.flush(30)
        assert order.index("/little") <= 2


def test_when_memory_is_full_tokens_that_nobody_accepted_give_way_first() -> None:
    brain = Brain(0.0)
    with RawServer(brain) as server, pipeline(server.url, queue_max_events=100) as sender:
        sender.put(Item(path="/warm", token="known.a.b"))
        assert sender.flush(30)
        brain.seconds = 30.0
        sender.put(Item(path="/hangs", token="known.a.b"))
        eventually(lambda: sender.stats()["in_flight"] == 1)
        for _ in range(90):
            sender.put(Item(token="stranger.a.b"))
        for number in range(99):
            sender.put(Item(path=f"/{number}", token="known.a.b"))
        stats = sender.stats()
        assert stats["dropped"]["queue_full"] == stats["captured"] - 1 - 100
        assert balance(stats) == 0
        kept = [item for item in _waiting(sender) if item.token == "known.a.b"]
        assert len(kept) >= 74  # all but a quarter of the room


def _waiting(sender: Pipeline) -> list[QueueItem]:
    (exporter,) = sender._state.exporters
    return exporter._queue.grab(1000, 0)


@pytest.mark.parametrize("values", [{"session_secret": "a-secret-of-at-least-32-characters"}])
def test_where_signatures_are_checked_every_token_is_as_good_as_accepted(values: dict[str, Any]) -> None:
    brain = Brain(0.05, knows=lambda _token: True)
    with RawServer(brain) as server, pipeline(server.url, queue_max_events=20, **values) as sender:
        for number in range(20):
            sender.put(Item(path=f"/{number}", token=f"{number}.a.b"))
        assert sender.flush(30)
        assert sender.stats()["delivered"] == 20
        assert sender.stats()["dropped"] == {}
