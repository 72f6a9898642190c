"""Never worse than without: whatever happens to the relay, each event is delivered once, and the account adds up."""

from __future__ import annotations

import gc
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from otas_middleware._capture import Capture
from otas_middleware._delivery.relay.link import Link
from otas_middleware._runtime import runtime
from otas_middleware.localbrain import LocalBrain
from relay.host import host, paths
from support.agent import Agent
from support.delivery import eventually
from support.interrupting import at_each_line
from support.relay import RelayProcess, RelayThread, balance


def test_events_go_by_way_of_the_relay_and_the_host_has_no_thread(brain: LocalBrain, agent: Agent) -> None:
    earlier = set(threading.enumerate())
    with RelayThread() as relay, host(brain, agent, relay.path) as app:
        app.call()  # the relay's own threads start with it, in this process
        assert app.delivery.flush(20)
        before = threading.active_count()
        app.call("/more", count=20)
        ours = [thread.name for thread in threading.enumerate() if thread not in earlier]
        assert not [name for name in ours if name.startswith("otas-relay")]
        assert app.delivery.flush(20)
        stats = app.stats()
        assert threading.active_count() <= before + 8
    assert (stats["captured"], stats["acknowledged"], stats["delivered"]) == (21, 21, 0)
    assert len(paths(brain, agent)) == 21


def test_without_a_relay_the_host_delivers_by_itself_and_says_so_once(
    brain: LocalBrain, agent: Agent, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with host(brain, agent, str(tmp_path / "nobody.sock")) as app:
        app.call(count=3)
        assert app.delivery.flush(20)
        stats = app.stats()
    assert stats["delivered"] == 3
    assert stats["relay"]["fell_back"] == {"absent": 3}
    assert balance(stats) == 0
    assert caplog.text.count("no relay serves at the path in OTAS_RELAY (absent)") == 1


def test_a_relay_that_is_started_late_takes_over(brain: LocalBrain, agent: Agent, tmp_path: Path) -> None:
    relay = RelayProcess(tmp_path)
    with host(brain, agent, relay.path) as app:
        app.call("/before")
        with relay:
            eventually(app.connected)
            app.call("/after")
            assert app.delivery.flush(20)
            stats = app.stats()
            assert stats["acknowledged"] >= 1
            assert stats["captured"] == len(paths(brain, agent)) == stats["acknowledged"] + stats["delivered"]


def test_what_a_killed_relay_had_is_delivered_by_the_host(slow_brain: LocalBrain, tmp_path: Path) -> None:
    agent = Agent(slow_brain)
    with RelayProcess(tmp_path) as relay, host(slow_brain, agent, relay.path) as app:
        app.call("/first", count=60)
        assert app.stats()["relay"]["handed_over"] == 60
        relay.stop(signal.SIGKILL)
        app.call("/second", count=5)
        assert app.delivery.flush(20)
        stats = app.stats()
    arrived = paths(slow_brain, agent)
    assert len(set(arrived)) == 65
    ids = {(event["path"], event["metadata"]["event_id"]) for event in slow_brain.events(agent.session_id)}
    assert len(ids) == 65  # what arrived twice is recognised by its id
    assert balance(stats) == 0
    assert stats["captured"] == 65
    assert stats["kept"] == 0
    assert len(arrived) - 65 <= stats["possible_duplicates"]


def test_of_a_request_that_was_handed_over_the_host_keeps_nothing_but_its_frame(
    brain: LocalBrain, agent: Agent, tmp_path: Path
) -> None:
    with RelayProcess(tmp_path) as relay, host(brain, agent, relay.path) as app:
        relay.send(signal.SIGSTOP)
        app.call(count=20)
        assert app.stats()["kept"] == 20
        recorder = runtime.recorders[app.settings]
        found = [thing for thing in gc.get_objects() if type(thing) is Capture]  # `isinstance` asks lazy objects
        captures = [capture for capture in found if capture.taker is recorder]
        assert len(captures) <= 1  # the last one, which this context still knows
        relay.send(signal.SIGCONT)
        assert app.delivery.flush(20)
    assert len(paths(brain, agent)) == 20


def test_the_account_adds_up_at_any_moment_while_relays_are_killed(slow_brain: LocalBrain, tmp_path: Path) -> None:
    agent = Agent(slow_brain)
    relay = RelayProcess(tmp_path)
    with relay, host(slow_brain, agent, relay.path) as app:
        over = threading.Event()
        off: list[int] = []

        def look() -> None:
            while not over.is_set():
                off.append(balance(app.stats()))

        watcher = threading.Thread(target=look)
        watcher.start()
        for number in range(3):
            app.call(f"/{number}", count=30)
            relay.stop(signal.SIGKILL)
            app.call(f"/{number}-between", count=10)
            relay.start()
        assert app.delivery.flush(30)
        over.set()
        watcher.join()
        assert app.stats()["captured"] == 120
    assert off
    assert not any(off)
    assert len(set(paths(slow_brain, agent))) == 120


def test_a_hung_relay_holds_nobody_up_and_keeps_what_it_was_given(
    brain: LocalBrain, agent: Agent, tmp_path: Path
) -> None:
    with RelayProcess(tmp_path) as relay, host(brain, agent, relay.path) as app:
        app.call("/first")
        assert app.delivery.flush(20)
        relay.send(signal.SIGSTOP)
        app.call("/big", b"y" * 60_000, count=400)  # more than eight sockets hold
        assert app.fell_back["full"] > 0
        assert not app.delivery.flush(0.1)
        assert app.stats()["kept"] > 0
        relay.send(signal.SIGCONT)
        assert app.delivery.flush(30)
        stats = app.stats()
    assert balance(stats) == 0
    assert stats["captured"] == stats["acknowledged"] + stats["delivered"] == 401
    assert len(paths(brain, agent)) == 401


def test_waiting_for_a_hung_relay_ends_in_time_also_where_a_test_holds_the_clock_still(
    brain: LocalBrain, agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RelayProcess(tmp_path) as relay, host(brain, agent, relay.path) as app:
        app.call()
        assert app.delivery.flush(20)
        relay.send(signal.SIGSTOP)
        app.call()
        moment = time.monotonic()
        with monkeypatch.context() as still:
            still.setattr(time, "monotonic", lambda: moment)
            assert not app.delivery.flush(0.3)
        relay.send(signal.SIGCONT)
        assert app.delivery.flush(20)


def test_a_lock_that_another_thread_has_holds_up_no_flush(brain: LocalBrain, agent: Agent) -> None:
    with RelayThread() as relay, host(brain, agent, relay.path) as app:
        app.call()
        [taken] = app.delivery._state.client._links
        with ThreadPoolExecutor(1) as other:
            assert other.submit(taken.acquire).result()
        app.call()
        assert not app.delivery.flush(0.3)
        taken.release()
        assert app.delivery.flush(20)
        assert app.stats()["acknowledged"] == 2


def test_wherever_a_signals_handler_raises_what_follows_is_handed_over_and_settled(
    brain: LocalBrain, agent: Agent
) -> None:
    """As a worker's time-out of gunicorn's, or the soft time limit of a Celery task."""
    with RelayThread() as relay, host(brain, agent, relay.path) as app:
        app.call()
        interrupted = set[str]()
        for interrupted in at_each_line(
            lambda code: "_delivery/relay" in code.co_filename, lambda: app.call("/interrupted")
        ):
            app.call("/after")
            assert app.delivery.flush(5), sorted(interrupted)
        assert len(interrupted) > 20
        after = [path for path in paths(brain, agent) if path == "/after"]
        assert len(after) == len(interrupted) + 1


@pytest.mark.parametrize("moment", ["look", "order"])
def test_a_signals_handler_that_raises_while_somebody_waits_leaves_no_lock_taken(
    moment: str, brain: LocalBrain, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with RelayThread() as relay, host(brain, agent, relay.path) as app:
        app.call()
        with monkeypatch.context() as patch:
            patch.setattr(Link, moment, interrupted)
            with pytest.raises(KeyboardInterrupt):
                app.delivery.flush(5)
        app.call()
        assert app.stats()["relay"]["connections"] == 1
        assert app.delivery.flush(20)
        assert app.stats()["acknowledged"] == 2


def test_what_a_relay_that_was_leaving_had_is_delivered_with_the_next_requests(tmp_path: Path) -> None:
    with LocalBrain(slow_ms=200.0) as slow, RelayProcess(tmp_path) as relay:
        agent = Agent(slow)
        with host(slow, agent, relay.path) as app:
            app.call("/first", count=60)
            Path(relay.path).unlink()  # it serves those whom it has, takes in nobody, and tells them so

            def left() -> bool:
                app.call("/meanwhile")
                return bool(app.delivery._state.client._leaving)

            eventually(left)
            relay.stop(signal.SIGKILL)

            def arrived() -> bool:
                app.call("/afterwards")
                return len({path for path in paths(slow, agent) if path.startswith("/first")}) == 60

            eventually(arrived, within=30)
