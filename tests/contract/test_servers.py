"""The contract over real servers on loopback: the same bytes on the wire, framing included, and the same events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

import otas_middleware as otas
from support import served
from support.agent import PATIENCE
from support.event_check import check_event
from support.harnesses import Harness, harnesses
from support.http1 import fetch
from support.loopback import Gunicorn, Uvicorn
from support.scenarios import SCENARIOS, Scenario

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otas_middleware import OtasSettings
    from otas_middleware.localbrain import LocalBrain
    from support.agent import Agent


pytestmark = pytest.mark.no_cover  # `test_scenarios.py` runs the same scenarios under coverage


@dataclass
class Server:
    """A running server, and the sessions of which it has recorded one request each."""

    port: int
    sessions: list[str] = field(default_factory=list[str])

    def check_that_no_event_came_twice(self, brain: LocalBrain) -> None:
        assert {session: len(brain.events(session)) for session in self.sessions} == dict.fromkeys(self.sessions, 1)


@pytest.fixture(scope="module")
def asgi_server(settings: OtasSettings, brain: LocalBrain) -> Iterator[Server]:
    with Uvicorn(served.asgi(settings)) as uvicorn:
        server = Server(uvicorn.port)
        yield server
    assert otas.flush(PATIENCE)
    server.check_that_no_event_came_twice(brain)


@pytest.fixture(scope="module")
def wsgi_server(brain: LocalBrain) -> Iterator[Server]:
    with Gunicorn("support.served:wsgi_from_environment()", brain) as gunicorn:
        server = Server(gunicorn.port)
        yield server
    server.check_that_no_event_came_twice(brain)


@pytest.mark.parametrize("scenario", [scenario for scenario in SCENARIOS if not scenario.in_process_only], ids=str)
@pytest.mark.parametrize("harness", harnesses(), ids=str)
def test_the_wire_carries_the_same_bytes_and_brain_gets_the_event(
    harness: Harness, scenario: Scenario, agent: Agent, request: pytest.FixtureRequest
) -> None:
    server: Server = request.getfixturevalue(f"{harness.protocol}_server")  # it starts when it is needed
    asked = scenario.request.having(agent.header)
    bare = fetch(server.port, asked.having((served.HEADER, f"{harness.name} bare")).wire())
    wrapped = fetch(server.port, asked.having((served.HEADER, f"{harness.name} wrapped")).wire())
    assert wrapped.raw == bare.raw
    assert wrapped.status_code == scenario.status
    check_event(agent.event_from_elsewhere(), scenario, harness, wrapped, server=True)
    server.sessions.append(agent.session_id)
