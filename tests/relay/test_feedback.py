"""What the relay tells its hosts: refused tokens, losses, the ids of events; and what they wait for."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from otas_middleware._runtime import Deadline, runtime
from otas_middleware.localbrain import LocalBrain
from relay.host import host, paths
from support.agent import Agent
from support.delivery import PATIENCE, RawServer, answer, eventually
from support.relay import RelayProcess, RelayThread, balance

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from otas_middleware import BackendEvent
    from support.delivery import Received


def refusing(status: str, description: str) -> Any:
    body = json.dumps({"status": 0, "status_description": description}).encode()

    def script(connection: socket.socket, _request: Received) -> None:
        connection.sendall(answer(status, body))

    return script


def test_a_token_that_brain_refuses_is_not_recorded_any_more(brain: LocalBrain, agent: Agent) -> None:
    agent.token = "eyJhbGciOiJIUzI1NiJ9.eyJhZ2VudF9zZXNzaW9uX2lkIjoicyIsImFnZW50X2lkIjoiYSIsImlhdCI6MX0.c2ln"
    with (
        RawServer(refusing("401 Unauthorized", "invalid_or_expired_token")) as server,
        RelayThread() as relay,
        host(brain, agent, relay.path, brain_url=server.url) as app,
    ):
        app.call()
        assert app.delivery.flush(20)
        gate = runtime.recorders[app.settings].gate
        eventually(lambda: app.stats()["dropped"] and gate.refused["rejected_by_brain"] == 0)
        app.call()
        assert gate.refused["rejected_by_brain"] == 1
        stats = app.stats()
    assert stats["dropped"] == {"bad_token": 1}
    assert balance(stats) == 0


def test_events_that_brain_rejects_are_losses_of_the_host_and_on_loss_hears_of_them(
    brain: LocalBrain, agent: Agent
) -> None:
    heard: list[tuple[dict[str, Any], str]] = []

    def on_loss(summary: dict[str, Any], reason: str) -> None:
        heard.append((summary, reason))

    with (
        RawServer(refusing("400 Bad Request", "missing_required_fields")) as server,
        RelayThread() as relay,
        host(brain, agent, relay.path, brain_url=server.url, on_loss=on_loss) as app,
    ):
        app.call(count=3)
        assert app.delivery.flush(20)
        stats = app.stats()
        eventually(lambda: sum(summary["count"] for summary, _ in heard) == 3)
    assert stats["dropped"] == {"missing_required_fields": 3}
    assert balance(stats) == 0
    assert {reason for _, reason in heard} == {"missing_required_fields"}


def test_flush_waits_for_the_relays_answer(agent: Agent) -> None:
    with LocalBrain(slow_ms=100.0) as brain, RelayThread() as relay:
        own = Agent(brain)
        with host(brain, own, relay.path) as app:
            app.call(count=5)
            assert not app.delivery.flush(0.0)
            assert app.delivery.flush(20)
            assert app.stats()["kept"] == 0
            assert len(paths(brain, own)) == 5


PROGRAM = """
import sys
from otas_middleware.wsgi import OtasMiddleware

def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]

app = OtasMiddleware(app)
for number in range(int(sys.argv[2])):
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": f"/{number}", "HTTP_X_OTAS_AGENT_SESSION_TOKEN": sys.argv[1]}
    list(app(environ, lambda *_: None))
"""


def run(brain: LocalBrain, agent: Agent, count: int, **environment: str) -> float:
    """Run a program that records so many requests and ends; return the seconds that took."""
    begun = time.monotonic()
    environ = {"OTAS_SDK_KEY": brain.sdk_key, "OTAS_BRAIN_URL": brain.url, **environment}
    subprocess.run([sys.executable, "-c", PROGRAM, agent.token, str(count)], env=environ, check=True, timeout=60)
    return time.monotonic() - begun


@pytest.mark.parametrize("batch", ["0", "1"])
def test_a_process_that_ends_waits_until_its_events_are_delivered(tmp_path: Path, batch: str) -> None:
    with LocalBrain(slow_ms=100.0) as brain, RelayProcess(tmp_path) as relay:
        agent = Agent(brain)
        run(brain, agent, 10, OTAS_RELAY=relay.path, OTAS_RELAY_BATCH=batch, OTAS_SHUTDOWN_TIMEOUT="20")
        relay.stop(signal.SIGKILL)  # as when the first process of a container has ended
        assert len(paths(brain, agent)) == 10


def test_what_cannot_be_delivered_before_a_process_ends_is_on_disk_then(tmp_path: Path) -> None:
    # The relay stands back behind all else: on a busy machine it takes a second or two until it has written anything.
    with LocalBrain(slow_ms=6000.0) as brain, RelayProcess(tmp_path) as relay:
        agent = Agent(brain)
        spool = tmp_path / "spool"
        run(brain, agent, 30, OTAS_RELAY=relay.path, OTAS_SPOOL_DIR=str(spool), OTAS_SHUTDOWN_TIMEOUT="10")
        relay.stop(signal.SIGKILL)
        [file] = spool.glob("*.sqlite3")
        with closing(sqlite3.connect(file)) as connection:
            stored = {json.loads(body)["path"] for (body,) in connection.execute("SELECT body FROM event")}
        assert stored
        assert len(stored | set(paths(brain, agent))) == 30


def test_what_an_ended_process_left_on_disk_is_delivered_without_further_traffic(tmp_path: Path) -> None:
    with LocalBrain(slow_ms=1000.0) as brain, RelayProcess(tmp_path) as relay:
        agent = Agent(brain)
        run(brain, agent, 30, OTAS_RELAY=relay.path, OTAS_SPOOL_DIR=str(tmp_path / "spool"), OTAS_SHUTDOWN_TIMEOUT="2")
        assert len(paths(brain, agent)) < 30
        eventually(lambda: len(set(paths(brain, agent))) == 30)


def test_a_process_ends_in_time_although_its_relay_hangs(brain: LocalBrain, agent: Agent, tmp_path: Path) -> None:
    with RelayProcess(tmp_path) as relay:
        relay.send(signal.SIGSTOP)
        took = run(brain, agent, 3, OTAS_RELAY=relay.path, OTAS_SHUTDOWN_TIMEOUT="0.5")
        relay.send(signal.SIGCONT)
        eventually(lambda: len(paths(brain, agent)) == 3)
    assert took < 30


class SlowBeforeSend:
    """Hands an event on when it is told to."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self, event: BackendEvent) -> BackendEvent | None:
        self.begun.set()
        return event if self.go_on.wait(PATIENCE) else None


class TestABeforeSendThatTakesItsTime:
    """What is built in the host is built by a thread, for which nobody waits longer than was said."""

    @pytest.fixture
    def slow(self) -> Iterator[SlowBeforeSend]:
        slow = SlowBeforeSend()
        yield slow
        slow.go_on.set()

    def test_holds_no_flush_up(self, brain: LocalBrain, agent: Agent, slow: SlowBeforeSend) -> None:
        with RelayThread() as relay, host(brain, agent, relay.path, before_send=slow) as app:
            app.call(count=3)
            assert slow.begun.wait(PATIENCE)
            assert not app.delivery.flush(0.1)
            slow.go_on.set()
            assert app.delivery.flush(20)
        assert len(paths(brain, agent)) == 3

    def test_holds_no_end_up_and_all_is_accounted_for(
        self, brain: LocalBrain, agent: Agent, slow: SlowBeforeSend
    ) -> None:
        with RelayThread() as relay, host(brain, agent, relay.path, before_send=slow) as app:
            app.call(count=3)
            assert slow.begun.wait(PATIENCE)
            app.delivery.close(0.1)
            stats = app.stats()
            assert (stats["queued"], stats["dropped"], app.fell_back) == (0, {"exit": 3}, {"late": 3})
            assert balance(stats) == 0
            slow.go_on.set()
            app.call()
            assert app.delivery.flush(20)
            assert balance(app.stats()) == 0
        assert len(paths(brain, agent)) == 1, "what counts as lost comes no more"


@pytest.mark.slow
def test_a_relay_whose_buffers_are_full_is_told_later_that_a_process_ends(
    brain: LocalBrain, agent: Agent, tmp_path: Path
) -> None:
    with (
        RawServer(lambda _connection, _request: None) as hung,
        RelayProcess(tmp_path) as relay,
        host(brain, agent, relay.path, brain_url=hung.url, spool_dir=tmp_path / "spool") as app,
    ):
        relay.send(signal.SIGSTOP)
        while "full" not in app.fell_back:
            app.call(body=b"x" * 60_000)
        client = app.delivery._state.client
        settled: list[bool] = []
        thread = threading.Thread(target=lambda: settled.append(client.flush(Deadline(10.0), ending=True)))
        thread.start()
        eventually(lambda: client._ending)
        relay.send(signal.SIGCONT)
        thread.join(PATIENCE)
        assert settled == [True]
        assert client.account().lost == {}


def test_what_there_is_no_time_to_write_when_a_process_ends_is_not_lost_while_the_relay_lives(
    brain: LocalBrain, agent: Agent, tmp_path: Path
) -> None:
    with (
        RawServer(lambda _connection, _request: None) as hung,
        RelayThread() as relay,
        host(brain, agent, relay.path, brain_url=hung.url, spool_dir=tmp_path / "spool") as app,
    ):
        app.call(body=b"x" * 20_000, count=300)
        client = app.delivery._state.client
        assert not client.flush(Deadline(0.05), ending=True)
        eventually(lambda: not [thread for thread in threading.enumerate() if thread.name == "otas-relay-flush"])
        assert client.flush(Deadline(10.0), ending=True)
        account = client.account()
        assert (account.acknowledged, account.lost) == (300, {})


def test_however_many_wait_the_relay_flushes_in_one_thread(brain: LocalBrain, agent: Agent) -> None:
    def flushing() -> int:
        return sum(thread.name == "otas-relay-flush" for thread in threading.enumerate())

    with (
        RawServer(lambda _connection, _request: None) as hung,
        RelayThread() as relay,
        host(brain, agent, relay.path, brain_url=hung.url) as app,
    ):
        app.call()
        eventually(lambda: relay.server.waiting == 1)
        (tenant,) = relay.server._tenants.values()
        for _ in range(20):
            tenant.flush(2.0, ending=False)
        assert flushing() == 1
        eventually(lambda: not flushing())


def test_a_host_that_reads_nothing_is_not_told_of_every_token_that_strangers_invent(
    brain: LocalBrain, agent: Agent
) -> None:
    with RelayThread() as relay, host(brain, agent, relay.path) as app:
        app.call()
        eventually(lambda: relay.server._tenants)
        (tenant,) = relay.server._tenants.values()
        (connection,) = tenant.connections
        for number in range(50):
            for _ in range(100):
                tenant._found_out("rejected", f"{number}." + "x" * 1000)
            eventually(lambda: not tenant.has_news)
        assert len(connection._unsent) < 1000
        assert app.delivery.flush(20)
        assert app.stats()["acknowledged"] == 1
