"""What a relay does not take: too large, too odd, too much, of another version or process. Nothing is lost."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from socket import AF_UNIX, SOCK_SEQPACKET, socket
from typing import TYPE_CHECKING, Any

import pytest

from otas_middleware._delivery.relay import packets
from otas_middleware._delivery.relay.link import LOOK_EVERY, Link
from otas_middleware._delivery.relay.packets import Returned, encode
from otas_middleware._runtime import Deadline
from otas_middleware.localbrain import LocalBrain
from relay.host import host, paths
from support.agent import Agent
from support.delivery import RawServer, eventually
from support.relay import RelayProcess, RelayThread, balance

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from wsgiref.types import StartResponse, WSGIEnvironment

    from support.delivery import Received


def test_an_event_that_is_too_large_for_a_packet_is_delivered_by_the_host(brain: LocalBrain, agent: Agent) -> None:
    with RelayThread() as relay, host(brain, agent, relay.path, max_body_bytes=1_000_000) as app:
        app.call("/large", b"z" * 900_000)
        app.call("/small")
        assert app.delivery.flush(20)
        assert app.fell_back == {"too_large": 1}
    assert paths(brain, agent) == ["/large", "/small"]


def test_a_relay_of_another_version_is_not_used(
    brain: LocalBrain, agent: Agent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with RelayThread() as relay:
        monkeypatch.setattr(packets, "PROTOCOL", "otas-relay/1 0.0.1")
        with host(brain, agent, relay.path) as app:
            monkeypatch.undo()
            app.call("/first")
            eventually(lambda: app.stats()["relay"]["state"] == "refused")
            app.call("/second")
            assert app.delivery.flush(20)
            stats = app.stats()
    assert stats["delivered"] == 2
    assert stats["relay"]["returned"] == 1
    assert "does not serve this process" in caplog.text
    assert brain.sdk_key not in caplog.text
    assert paths(brain, agent) == ["/first", "/second"]


def test_what_messagepack_cannot_carry_is_delivered_by_the_host(brain: LocalBrain, agent: Agent) -> None:
    import otas_middleware as otas
    from relay.host import respond

    class Odd:
        def __str__(self) -> str:
            return "odd"

    def app_with_odd_values(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        otas.annotate(odd=Odd(), huge=2**70)
        return respond(environ, start_response)

    with RelayThread() as relay, host(brain, agent, relay.path, app_with_odd_values) as app:
        app.call()
        assert app.delivery.flush(20)
        assert app.fell_back == {"unencodable": 1}
    [event] = brain.events(agent.session_id)
    assert event["custom_properties"] == {"odd": "odd", "huge": 2**70}


def test_what_a_host_keeps_is_bounded_by_the_limits_of_the_queue(slow_brain: LocalBrain, tmp_path: Path) -> None:
    agent = Agent(slow_brain)
    with RelayProcess(tmp_path) as relay, host(slow_brain, agent, relay.path, queue_max_events=20) as app:
        relay.send(signal.SIGSTOP)
        app.call(count=30)
        assert app.stats()["kept"] <= 20
        assert app.fell_back["unsettled"] >= 10
        relay.send(signal.SIGCONT)
        assert app.delivery.flush(30)
    assert len(set(paths(slow_brain, agent))) == 30


def test_a_host_whose_relay_lags_looks_for_its_answers_no_more_often(
    brain: LocalBrain, agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether more may be kept is no reason to ask the relay for each event."""
    looks: list[Link] = []
    look = Link.look

    def counted(link: Link) -> None:
        looks.append(link)
        look(link)

    monkeypatch.setattr(Link, "look", counted)
    with RelayProcess(tmp_path) as relay, host(brain, agent, relay.path, queue_max_events=400) as app:
        relay.send(signal.SIGSTOP)
        app.call(count=200)
        assert len(looks) <= 200 / LOOK_EVERY + 20
        relay.send(signal.SIGCONT)
        assert app.delivery.flush(30)


def test_a_full_relay_stops_reading_and_loses_nothing(tmp_path: Path) -> None:
    with LocalBrain(slow_ms=20.0) as brain:
        agents = [Agent(brain) for _ in range(3)]
        with RelayThread() as relay:
            values = {"queue_max_events": 30, "max_connections": 2}
            hosts = []
            with host(brain, agents[0], relay.path, **values) as app:
                hosts = [app]
                app.call("/a", count=25)
                assert app.delivery.flush(30)
                app.call("/b", count=60)
                assert app.delivery.flush(30)
                stats = app.stats()
        assert stats["dropped"] == {}
        assert stats["captured"] == 85
        assert len(set(paths(brain, agents[0]))) == 85
        assert hosts


def test_a_full_relay_with_a_disk_writes_to_it_and_goes_on_reading(
    brain: LocalBrain, agent: Agent, tmp_path: Path
) -> None:
    over = threading.Event()

    def never_answers(_connection: socket, _request: Received) -> None:
        over.wait(60)

    with RawServer(never_answers) as server, RelayThread() as relay:
        changes: dict[str, Any] = {"queue_max_events": 100, "spool_dir": tmp_path / "spool", "brain_url": server.url}
        with host(brain, agent, relay.path, **changes) as app:
            app.call("/a", count=100)
            eventually(lambda: app.stats()["acknowledged"] > 0)
            app.call("/b", count=50)
            eventually(lambda: app.stats()["acknowledged"] >= 50)
            stats = app.stats()
            assert stats["dropped"] == {}
            assert balance(stats) == 0
            over.set()


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\0",
        b"\xff" * 24,
        packets.order(packets.HELLO, b"junk!"),
        packets.HEAD.pack(packets.REQUEST, 0, 1, 2, 3, 4) + b"abcdef",
        packets.HEAD.pack(packets.HELLO, 2**16 - 1, 2**32 - 1, 2**32 - 1, 2**32 - 1, 2**64 - 1),
        packets.order(packets.HELLO, encode(("x", 1, {}, False, {}))),
    ],
)
def test_odd_packets_harm_neither_the_relay_nor_others(
    packet: bytes, brain: LocalBrain, agent: Agent, as_in_production: None
) -> None:
    with RelayThread() as relay, host(brain, agent, relay.path) as app:
        with socket(AF_UNIX, SOCK_SEQPACKET) as stranger:
            stranger.connect(relay.path)
            stranger.send(packet)
            stranger.settimeout(10)
            assert stranger.recv(1000)[:1] in {b"", packets.REFUSED}
        app.call()
        assert app.delivery.flush(20)
        assert app.stats()["acknowledged"] == 1


def test_a_file_in_the_relays_place_means_delivery_by_the_host(brain: LocalBrain, agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "relay.sock").write_text("")
    with host(brain, agent, str(tmp_path / "relay.sock")) as app:
        app.call()
        assert app.delivery.flush(20)
        assert app.stats()["delivered"] == 1


def test_a_forked_child_has_connections_of_its_own_and_hands_in_nothing_of_its_parents(
    brain: LocalBrain, agent: Agent, tmp_path: Path
) -> None:
    with RelayProcess(tmp_path) as relay, host(brain, agent, relay.path) as app:
        relay.send(signal.SIGSTOP)
        app.call("/parent", count=5)
        child = os.fork()
        if child == 0:
            try:
                app.call("/child", count=5)
                os._exit(0 if app.stats()["captured"] == 5 else 1)
            except BaseException:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        relay.send(signal.SIGCONT)
        assert app.delivery.flush(20)
        assert app.stats()["acknowledged"] == 5
        eventually(lambda: len(paths(brain, agent)) == 10)
    assert len(set(paths(brain, agent))) == 10


def test_threads_of_a_child_whose_fork_python_did_not_see_share_one_account(
    brain: LocalBrain, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RelayThread() as relay, host(brain, agent, relay.path) as app:
        delivery = app.delivery
        make, both = delivery._new_state, threading.Barrier(2, timeout=20)

        def make_at_once() -> Any:
            both.wait()
            return make()

        monkeypatch.setattr(delivery, "_new_state", make_at_once)
        with monkeypatch.context() as child:
            child.setattr(os, "getpid", lambda: 4_711_000)
            with ThreadPoolExecutor(2) as threads:
                one, other = threads.submit(delivery._current), threads.submit(delivery._current)
        assert one.result() is other.result()


def test_a_flush_waits_for_what_another_thread_is_giving_back(
    slow_brain: LocalBrain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, taken, go = Agent(slow_brain), threading.Event(), threading.Event()
    with RelayProcess(tmp_path) as relay, host(slow_brain, agent, relay.path) as app:
        app.call("/first", count=3)
        deliver = app.delivery._current().client._feedback.returned

        def hesitate(*item: Any) -> None:
            if not taken.is_set():
                taken.set()
                assert go.wait(20)
            deliver(*item)

        monkeypatch.setattr(app.delivery._current().client._feedback, "returned", hesitate)
        relay.stop(signal.SIGKILL)
        with ThreadPoolExecutor(1) as other:
            other.submit(app.stats)
            assert taken.wait(20)
            assert not app.delivery._current().client.flush(Deadline(0.2))
            go.set()
        assert app.delivery.flush(20)
        assert app.stats()["delivered"] == 3


def test_what_a_relay_gave_back_shows_nothing_of_the_token() -> None:
    assert "secret-token" not in repr(Returned(None, (b"secret-token",), b"secret", frozenset()))


def test_settings_that_the_relay_cannot_use_are_refused_with_the_reason() -> None:
    """As where an extra is missing there that the host has."""
    settings = {"sdk_key": "otas_abcd_x", "spool_dir": "/nowhere", "spool_key": "no-key-of-fernets"}
    with RelayThread() as relay, socket(AF_UNIX, SOCK_SEQPACKET) as sock:
        sock.settimeout(10)
        sock.connect(relay.path)
        sock.send(packets.order(packets.HELLO, encode((packets.PROTOCOL, os.getpid(), None, False, settings))))
        answer = sock.recv(1000)
    assert answer[:1] == packets.REFUSED
    assert b"OTAS_SPOOL_KEY" in answer
    assert b"no-key-of-fernets" not in answer
