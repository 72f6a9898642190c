"""`durability="relay"`: an event is with the relay before a client can have the whole response."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from otas_middleware import ConfigurationError, OtasSettings
from otas_middleware.wsgi import OtasMiddleware
from relay.host import host, paths, respond
from support.asgi_gateway import call_asgi
from support.delivery import eventually
from support.harnesses import Harness, harnesses
from support.relay import RelayProcess, RelayThread
from support.scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otas_middleware._capture.asgi_scope import Message, Receive, Scope, Send
    from otas_middleware.localbrain import LocalBrain
    from support.agent import Agent


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """A relay for the tests that leave it as it is."""
    with RelayProcess(tmp_path_factory.mktemp("relay")) as relay:
        yield relay


JSON = next(scenario for scenario in SCENARIOS if scenario.name == "json")

PROGRAM = """
import os, sys
from otas_middleware.wsgi import OtasMiddleware

def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]

app = OtasMiddleware(app, durability=sys.argv[2])
for number in range(50):
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": f"/{number}", "HTTP_X_OTAS_AGENT_SESSION_TOKEN": sys.argv[1]}
    for chunk in app(environ, lambda *_: None):
        if number == 49:
            os.kill(os.getpid(), 9)  # the client has the last byte, and the process never sees the end
"""


def test_nothing_that_a_client_saw_answered_is_lost_when_the_process_is_killed(
    brain: LocalBrain, agent: Agent, relay: RelayProcess
) -> None:
    environ = {"OTAS_SDK_KEY": brain.sdk_key, "OTAS_BRAIN_URL": brain.url, "OTAS_RELAY": relay.path}
    killed = subprocess.run([sys.executable, "-c", PROGRAM, agent.token, "relay"], env=environ, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    eventually(lambda: len(set(paths(brain, agent))) == 50)


@pytest.mark.parametrize("state", ["absent", "full"])
def test_what_the_relay_does_not_take_is_written_to_disk_first(
    state: str, brain: LocalBrain, agent: Agent, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    with RelayProcess(tmp_path) as relay:
        changes: dict[str, Any] = {"durability": "relay", "spool_dir": spool, "brain_url": "http://127.0.0.1:9"}
        with host(brain, agent, relay.path if state == "full" else f"{relay.path}-not", **changes) as app:
            if state == "full":
                relay.send(signal.SIGSTOP)
            app.call(body=b"y" * 60_000, count=400 if state == "full" else 1)
            assert app.fell_back[state] > 0
            assert app.delivery.pipeline.stats()["spooled"] == app.fell_back[state]
        relay.send(signal.SIGCONT)


def test_a_directory_whose_name_is_no_text_is_the_relays_spool_too(
    brain: LocalBrain, agent: Agent, tmp_path: Path
) -> None:
    spool = tmp_path / os.fsdecode(b"sp\xf6l")  # as in the days of Latin-1, or in a locale of its own
    with RelayThread() as relay, host(brain, agent, relay.path, spool_dir=spool, brain_url="http://127.0.0.1:9") as app:
        app.call()
        assert app.delivery.flush(20)
        assert app.stats()["acknowledged"] == 1
    assert list(spool.iterdir())


def test_without_a_disk_to_fall_back_to_that_is_said(
    brain: LocalBrain, agent: Agent, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with host(brain, agent, str(tmp_path / "nobody"), durability="relay") as app:
        app.call(count=3)
        assert app.delivery.flush(20)
    assert caplog.text.count("Set OTAS_SPOOL_DIR") == 1
    assert len(paths(brain, agent)) == 3


def test_durability_by_a_relay_needs_a_relay() -> None:
    with pytest.raises(ConfigurationError, match="OTAS_RELAY"):
        OtasMiddleware(respond, settings=OtasSettings(sdk_key="otas_a_b", durability="relay"))


def test_it_does_not_matter_that_batches_were_asked_for(brain: LocalBrain, agent: Agent, tmp_path: Path) -> None:
    with RelayProcess(tmp_path) as relay, host(brain, agent, relay.path, durability="relay", relay_batch=True) as app:
        app.call()
        assert app.stats()["queued"] == 0
        assert app.stats()["relay"]["handed_over"] == 1
        assert os.getpid() in {pid for tenant in (relay.state() or {})["tenants"] for pid in tenant["hosts"]}


@pytest.mark.parametrize("harness", [found for found in harnesses() if found.protocol == "asgi"], ids=str)
def test_an_event_loop_hands_over_before_the_last_byte_and_without_a_thread(
    harness: Harness, brain: LocalBrain, agent: Agent, relay: RelayProcess
) -> None:
    handed_over: list[int] = []
    with host(brain, agent, relay.path, durability="relay") as app:
        application = harness.application(app.settings)

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            async def look(message: Message) -> None:
                if message["type"] == "http.response.body" and not message.get("more_body"):
                    handed_over.append(app.stats()["relay"]["handed_over"])
                await send(message)

            await application(scope, receive, look)

        before = set(threading.enumerate())
        call_asgi(watched, JSON.request.having(agent.header))
        assert not [thread.name for thread in set(threading.enumerate()) - before if "otas" in thread.name]
        assert app.delivery.flush(20)
    assert handed_over == [1]
