"""Where the system gives no more descriptors, sockets or threads, the host delivers by itself, and nothing waits."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import threading
from pathlib import Path
from socket import AF_UNIX, SOCK_SEQPACKET, socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from otas_middleware._delivery.relay import link, packets, start
from otas_middleware._delivery.relay.start import state_of
from otas_middleware._runtime import runtime
from otas_middleware.localbrain import LocalBrain
from relay.host import host, paths
from support.agent import Agent
from support.delivery import eventually
from support.limits import no_descriptor_left
from support.relay import RelayProcess, RelayThread, balance

if TYPE_CHECKING:
    from otas_middleware._capture import Capture
    from otas_middleware._event import BackendEvent

DESCRIPTORS = 24
"""More than a relay has of its own, and fewer than its hosts will want."""


def test_a_host_without_a_descriptor_for_the_relays_socket_delivers_by_itself(
    brain: LocalBrain, agent: Agent, tmp_path: Path
) -> None:
    with host(brain, agent, str(tmp_path / "nobody.sock")) as app:
        app.call("/first")  # what delivers and what answers is imported: that would want descriptors too
        assert app.delivery.flush(20)
    with RelayThread() as relay, host(brain, agent, relay.path) as app:
        with no_descriptor_left():
            app.call()
        assert app.delivery.flush(20)
        stats = app.stats()
    assert stats["captured"] == stats["delivered"] == 1
    assert stats["relay"]["fell_back"] == {"unreachable": 1}
    assert balance(stats) == 0


def test_a_host_that_may_make_no_socket_delivers_by_itself(
    brain: LocalBrain, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")  # as a sandbox does

    monkeypatch.setattr(link, "NativeSocket", refuse)
    with RelayThread() as relay, host(brain, agent, relay.path) as app:
        app.call()
        assert app.delivery.flush(20)
        assert app.stats()["delivered"] == 1


def as_it_is(event: BackendEvent) -> BackendEvent:
    return event


@pytest.mark.usefixtures("as_in_production")
@pytest.mark.parametrize("changes", [{}, {"relay_batch": True}, {"durability": "relay", "before_send": as_it_is}])
def test_whatever_fails_in_handing_over_the_event_is_delivered_by_the_host_and_the_next_one_handed_over(
    brain: LocalBrain, agent: Agent, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    def fail(*_: object) -> str:
        raise MemoryError

    with RelayThread() as relay, host(brain, agent, relay.path, **changes) as app:
        with monkeypatch.context() as patch:
            patch.setattr(app.delivery._state.client, "hand_over", fail)
            app.call(count=3)
            assert app.delivery.flush(20)
        stats = app.stats()
        assert stats["captured"] == stats["delivered"] == 3
        assert stats["relay"]["fell_back"] == {"internal_error": 3}
        app.call()
        assert app.delivery.flush(20)
        assert app.stats()["acknowledged"] == 1


@pytest.mark.usefixtures("as_in_production")
def test_what_cannot_be_taken_back_from_a_relay_that_ended_is_a_loss_with_its_place(
    slow_brain: LocalBrain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Capture:
        raise MemoryError

    agent = Agent(slow_brain)
    with RelayProcess(tmp_path) as relay, host(slow_brain, agent, relay.path) as app:
        app.call(count=20)
        relay.send(signal.SIGKILL)
        monkeypatch.setattr(packets, "decode_request", fail)
        assert app.delivery.flush(20)
        stats = app.stats()
    assert stats["dropped"]["internal_error"] > 0
    assert stats["relay"]["state"] == "absent"
    assert balance(stats) == 0


def test_a_relay_without_a_descriptor_for_one_more_host_turns_it_away(
    brain: LocalBrain, agent: Agent, tmp_path: Path
) -> None:
    with RelayProcess(tmp_path) as relay, contextlib.ExitStack() as others:
        assert relay.process is not None
        resource.prlimit(relay.process.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
        for _ in range(DESCRIPTORS):
            other = others.enter_context(socket(AF_UNIX, SOCK_SEQPACKET))
            other.connect(relay.path)
        used = Path(f"/proc/{relay.process.pid}/fd")
        eventually(lambda: len(list(used.iterdir())) == DESCRIPTORS)
        with host(brain, agent, relay.path) as app:
            app.call(count=3)
            assert app.delivery.flush(20)
            stats = app.stats()
            assert (stats["captured"], stats["delivered"]) == (3, 3)
            assert balance(stats) == 0
            assert stats["relay"]["state"] == "refused"
    assert len(paths(brain, agent)) == 3


def test_a_relay_uses_as_many_descriptors_as_the_system_allows(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, hard - 1), hard))
    try:
        with RelayProcess(tmp_path) as relay:
            assert relay.process is not None
            allowed, _ = resource.prlimit(relay.process.pid, resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert allowed == min(hard, 65_536)


def test_a_relay_without_a_thread_for_a_flush_keeps_its_hosts(
    brain: LocalBrain, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "otas-relay-flush":
            raise RuntimeError("can't start new thread")
        begin(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with RelayThread() as relay, host(brain, agent, relay.path) as app:
        for _ in range(2):
            app.call()
            assert app.delivery.flush(20)
        stats = app.stats()
    assert (stats["acknowledged"], stats["relay"]["returned"]) == (2, 0)


@pytest.mark.usefixtures("as_in_production")
def test_a_relay_that_cannot_even_be_looked_for_is_said_once(
    brain: LocalBrain,
    agent: Agent,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    # A path that imports pass over; for the module alone, since coverage reads `sys.path` whenever that has changed.
    monkeypatch.setattr(start, "sys", SimpleNamespace(**{**vars(sys), "path": [5]}))
    runtime.logged.clear()
    with host(brain, agent, "auto") as app:
        app.call()
        eventually(lambda: app.stats()["relay"]["state"] == "not_started")
        app.call(count=3)
        assert app.delivery.flush(20)
        assert app.stats()["delivered"] == 4
    assert caplog.text.count("no relay could be started (TypeError)") == 1


def test_a_relay_knows_a_forked_child_by_its_own_number(brain: LocalBrain, agent: Agent) -> None:
    with RelayThread() as relay, host(brain, agent, relay.path) as app:
        app.call()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                app.call()
                os.write(writing, b"called")
                signal.pause()  # until it is killed
            finally:
                os._exit(1)
        try:
            assert os.read(reading, 6) == b"called"
            eventually(lambda: state_of(relay.path)["tenants"][0]["sockets"] == 2)
            assert state_of(relay.path)["tenants"][0]["hosts"] == sorted([os.getpid(), child])
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(reading)
            os.close(writing)
        assert app.delivery.flush(20)


def test_a_relay_whose_hosts_are_gone_gives_up_what_nobody_takes_and_says_so(
    agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    """What they handed over while it was full, and read nothing more, included."""
    caplog.set_level("INFO")
    with LocalBrain() as brain, RelayThread(idle_seconds=0.02) as relay:
        brain.faults.down()
        with host(brain, agent, relay.path, queue_max_events=8) as app:
            for most in (8, 16):
                app.call(count=8)
                assert not app.delivery.flush(0.5)
                assert app.stats()["kept"] == 8
                app.delivery._states.clear()
                app.delivery.renew()  # lets go of its connection, as when it is killed
                eventually(lambda: relay.server.waiting == most)  # noqa: B023  # called here
        eventually(lambda: "otas relay: ended." in caplog.text)
    assert "ends with 16 events that its hosts left and that nobody takes" in caplog.text
    assert "events for brain were lost: 16 exit" in caplog.text
