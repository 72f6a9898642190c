"""Events that one worker takes at once: sent one by one, each with a disposition of its own; built while one waits."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from otas_middleware._delivery import Pipeline, limiter
from otas_middleware._runtime import runtime
from support.delivery import PATIENCE, Item, RawServer, answer, balance, build, created, eventually, settings

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Generator
    from pathlib import Path

    from support.delivery import Received

    Answer = Callable[[Received], bytes]


REFUSED = answer("401 Unauthorized", b'{"status":0,"status_description":"invalid_or_expired_token"}')
PATHS = [f"/{number}" for number in range(30)]


@pytest.fixture(autouse=True)
def as_in_production_where_every_destination_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "behaviour", dataclasses.replace(runtime.behaviour, reraise=False))
    monkeypatch.setattr(limiter, "_LOCK_WAIT", float("inf"))


class Brain:
    """Takes everything but what it is told not to; holds its second answer back until `go`."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.asked = threading.Event()
        self.go = threading.Event()
        self.special: dict[str, list[bytes]] = {}
        """By path: what is answered first, before it is taken."""
        self.on: dict[str, Callable[[], object]] = {}

    def __call__(self, connection: socket.socket, request: Received) -> None:
        path = str(json.loads(request.body)["path"])
        if path == "/wait":
            self.asked.set()
            assert self.go.wait(PATIENCE)
        if path in self.on:
            self.on[path]()
        if self.special.get(path):
            connection.sendall(self.special[path].pop(0))
            return
        self.taken.append(path)
        connection.sendall(created())


@contextmanager
def waiting(brain: Brain, paths: list[str], *, make: Callable[..., Any] = build, **values: Any) -> Generator[Pipeline]:
    """A pipeline whose worker has delivered one event, sends another, and will find the others when that is done."""
    with RawServer(brain) as server:
        sender = Pipeline(
            settings(server.url, max_connections=1, max_retry_delay=0.01, session_secret="s" * 32, **values), make
        )
        try:
            sender.put(Item(path="/first"))
            eventually(lambda: sender.stats()["delivered"] == 1)
            sender.put(Item(path="/wait"))
            assert brain.asked.wait(PATIENCE)
            for path in paths:
                sender.put(Item(path=path, token="forged.a.b" if "forged" in path else Item.token))
            yield sender
        finally:
            brain.go.set()
            sender.close(0.0)


def test_several_are_in_flight_and_arrive_in_their_order() -> None:
    brain = Brain()
    in_flight: list[int] = []
    with waiting(brain, PATHS) as sender:
        brain.on["/1"] = lambda: in_flight.append(sender.stats()["in_flight"])
        brain.go.set()
        assert sender.flush(PATIENCE)
        assert brain.taken[2:] == PATHS
        assert in_flight > [1]


def test_an_event_is_built_while_the_answer_to_the_one_before_is_on_its_way() -> None:
    brain, built = Brain(), threading.Event()
    waited: list[bool] = []

    def make(item: Item, given: Any) -> Any:
        if item.path == "/1":
            built.set()
        return build(item, given)

    with waiting(brain, PATHS, make=make) as sender:
        brain.on["/0"] = lambda: waited.append(built.wait(PATIENCE))
        brain.go.set()
        assert sender.flush(PATIENCE)
        assert (waited, brain.taken[2:]) == ([True], PATHS)


def test_what_that_takes_is_no_time_of_the_answer() -> None:
    brain = Brain()

    def make(item: Item, given: Any) -> Any:
        if item.path == "/1":
            time.sleep(1.2)
        return build(item, given)

    with waiting(brain, PATHS, make=make, request_timeout=1.0) as sender:
        brain.go.set()
        assert sender.flush(PATIENCE)
        assert brain.taken[2:] == PATHS


def test_nor_is_the_destination_taken_to_be_slow_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    brain = Brain()
    in_flight: list[int] = []

    def make(item: Item, given: Any) -> Any:
        if item.path == "/1":
            time.sleep(0.4)
        return build(item, given)

    with waiting(brain, PATHS, make=make) as sender:
        monkeypatch.setattr(limiter, "_LOCK_WAIT", 0.3)
        brain.on["/1"] = lambda: in_flight.append(sender.stats()["in_flight"])
        brain.go.set()
        assert sender.flush(PATIENCE)
        assert in_flight > [1]


def test_a_process_that_only_delivers_takes_more_of_them_than_one_whose_application_waits_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def in_flight() -> int:
        brain = Brain()
        found: list[int] = []
        with waiting(brain, [f"/{number}" for number in range(100)]) as sender:
            brain.on["/1"] = lambda: found.append(sender.stats()["in_flight"])
            brain.go.set()
            assert sender.flush(PATIENCE)
        return found[0]

    beside_an_application = in_flight()
    monkeypatch.setattr(runtime, "only_delivers", True)
    assert in_flight() > 2 * beside_an_application


@pytest.mark.parametrize("refusal", [answer("503 Service Unavailable"), answer("401 Unauthorized")])
def test_where_the_destination_goes_away_between_them_the_others_keep_their_order(refusal: bytes) -> None:
    brain = Brain()
    with waiting(brain, PATHS) as sender:
        brain.special = {"/3": [refusal], "/20": [refusal, refusal]}
        brain.go.set()
        eventually(lambda: sender.flush(PATIENCE))
        assert brain.taken[2:] == PATHS
        assert balance(sender.stats()) == 0


def test_where_the_destination_becomes_slow_between_them_the_others_are_not_kept_from_other_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    brain = Brain()
    in_flight: list[int] = []
    with waiting(brain, PATHS) as sender:
        monkeypatch.setattr(limiter, "_LOCK_WAIT", 0.2)
        brain.on["/2"] = lambda: time.sleep(0.3)
        for path in ("/1", "/3"):
            brain.on[path] = lambda: in_flight.append(sender.stats()["in_flight"])
        brain.go.set()
        assert sender.flush(PATIENCE)
        assert brain.taken[2:] == PATHS
        assert in_flight[0] > in_flight[1] == 1


def test_what_is_known_to_be_refused_is_not_sent_although_it_was_built() -> None:
    brain = Brain()
    with waiting(brain, ["/a", "/forged/1", "/b", "/forged/2", "/c", "/forged/3"]) as sender:
        brain.special = {f"/forged/{number}": [REFUSED] for number in range(1, 4)}
        brain.go.set()
        assert sender.flush(PATIENCE)
        assert brain.taken[2:] == ["/a", "/b", "/c"]
        assert sender.stats()["dropped"] == {"bad_token": 3}
        assert sum(map(len, brain.special.values())) == 2, "one of them was judged"


def test_what_the_user_withholds_or_what_breaks_while_it_is_built_costs_no_other_event() -> None:
    def make(item: Item, given: Any) -> Any:
        if item.path in {"/2", "/9"}:
            return None
        if item.path in {"/4", "/5"}:
            raise ValueError("oh")
        if item.path in {"/6", "/12"}:  # the one in its turn, the other while an answer is on its way
            raise SystemExit
        return build(item, given)

    brain = Brain()
    with waiting(brain, PATHS, make=make) as sender:
        brain.go.set()
        assert sender.flush(PATIENCE)
        assert brain.taken[2:] == [path for path in PATHS if path not in {"/2", "/4", "/5", "/6", "/9", "/12"}]
        assert sender.stats()["dropped"] == {"filtered": 2, "internal_error": 4}
        assert balance(sender.stats()) == 0


def test_the_end_of_the_process_writes_those_that_were_not_sent_to_disk(tmp_path: Path) -> None:
    brain, stop = Brain(), threading.Event()
    with waiting(brain, PATHS, spool_dir=tmp_path) as sender:

        def stand_still() -> None:
            stop.set()
            brain.asked.wait(PATIENCE)

        brain.on["/3"] = stand_still
        brain.asked.clear()
        brain.go.set()
        assert stop.wait(PATIENCE)
        sender.close(0.0)
        stats = sender.stats()
        assert (stats["delivered"], stats["spooled"], stats["queued"], balance(stats)) == (5, 27, 0, 0)
        brain.asked.set()


def test_at_the_end_of_the_process_none_of_them_is_begun_that_cannot_be_answered_in_time(tmp_path: Path) -> None:
    brain = Brain()
    with waiting(brain, PATHS, spool_dir=tmp_path) as sender:
        ending = threading.Thread(target=sender.close, args=(1.7,))

        def end_and_be_slow() -> None:
            ending.start()
            time.sleep(0.8)

        brain.on["/1"] = end_and_be_slow
        brain.go.set()
        eventually(lambda: ending.ident is not None)
        ending.join(PATIENCE)
        stats = sender.stats()
        assert brain.taken == ["/first", "/wait", "/0", "/1"]
        assert (stats["delivered"] + stats["spooled"], balance(stats)) == (32, 0)
