"""What is still waiting when a server is stopped is delivered before it ends."""

from __future__ import annotations

import signal
import time
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest

from otas_middleware.localbrain import LocalBrain
from servers.catalogue import SERVERS, UWSGI_WITHOUT_THREADS, Combination, combination, combinations
from servers.process import running
from servers.wire import Call
from support.agent import Agent

if TYPE_CHECKING:
    from pathlib import Path

    from servers.process import Running

REQUESTS = 4
WORKERS = 2
WITHOUT_THREADS_BY_DEFAULT = {"2.0.23", "2.0.23.post0", "2.0.26"}

# They have no handler for SIGTERM, or end by raising it again: Python runs nothing at their end. An ASGI adapter hears
# of uvicorn's end by the lifespan; a WSGI adapter behind a bridge does not.
ENDED_BY_THE_SIGNAL = {
    "waitress",
    "Twisted (twist web)",
    "asgiref WsgiToAsgi, uvicorn",
    "a2wsgi, uvicorn",
    "a2wsgi, waitress",
}


def first_of_each_server() -> list[Combination]:
    """Return each server that ends in an orderly way, with one application."""
    firsts = {each.server.name: each for each in reversed(combinations())}
    return [firsts[server.name] for server in SERVERS if server.name not in ENDED_BY_THE_SIGNAL]


@pytest.mark.slow
@pytest.mark.check("stop")
@pytest.mark.parametrize("served", first_of_each_server(), ids=str)
def test_what_waits_is_delivered_before_the_server_ends(served: Combination, tmp_path: Path) -> None:
    skip_if_missing(served)
    with LocalBrain(slow_ms=150) as brain:
        agent = Agent(brain)
        with running(served.server, served.application, tmp_path, environ(brain)) as server:
            make_requests(server, agent)
            time.sleep(0.2)  # uWSGI runs nothing at the end of a worker that has not quite finished a request
            server.stop(signal.Signals[served.server.by_signal])

        assert len(brain.events(agent.session_id)) == REQUESTS


@pytest.mark.slow
@pytest.mark.small  # the environment with the oldest versions has one
@pytest.mark.check("stop")
def test_a_uwsgi_without_threads_says_so_once_per_worker_and_delivers_at_its_end(tmp_path: Path) -> None:
    served = Combination(UWSGI_WITHOUT_THREADS, combination("uWSGI, prefork", "Flask").application)
    skip_if_missing(served)
    if version("pyuwsgi") not in WITHOUT_THREADS_BY_DEFAULT:
        pytest.skip("this uWSGI always has threads")
    with LocalBrain() as brain:
        agent = Agent(brain)
        with running(served.server, served.application, tmp_path, environ(brain)) as server:
            make_requests(server, agent)
            time.sleep(0.2)
            assert brain.events(agent.session_id) == []
            server.stop(signal.SIGINT)
            warnings = server.log().count("uWSGI runs without threads; start it with --enable-threads")
            assert 1 <= warnings <= WORKERS

        assert len(brain.events(agent.session_id)) == REQUESTS


def environ(brain: LocalBrain) -> dict[str, str]:
    """Return the settings of a server that records."""
    return {"OTAS_SDK_KEY": brain.sdk_key, "OTAS_BRAIN_URL": brain.url}


def make_requests(server: Running, agent: Agent) -> None:
    """Make some requests, one after the other."""
    for _ in range(REQUESTS):
        with Call(server.port, "POST", "/echo", [agent.header], [b"hello"], length=5) as call:
            assert call.reply().status == 200


def skip_if_missing(served: Combination) -> None:
    """Skip the test when its server or framework is not installed."""
    if missing := served.missing():
        pytest.skip(f"not installed: {', '.join(missing)} (dependency group `matrix`)")
