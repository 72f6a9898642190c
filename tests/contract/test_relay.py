"""The contract through a relay: the client notices nothing, and Brain gets the very event that it gets without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import otas_middleware as otas
from support.asgi_gateway import AsgiExchange, call_asgi
from support.event_check import check_event
from support.harnesses import Harness, harnesses
from support.recording import own_recorder
from support.relay import RelayThread
from support.scenarios import SCENARIOS, Scenario
from support.wsgi_gateway import WsgiExchange, call_wsgi

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otas_middleware import OtasSettings
    from support.agent import Agent
    from support.request import Request


pytestmark = pytest.mark.no_cover  # `test_scenarios.py` and `tests/relay` run the same lines under coverage


def call(harness: Harness, app: Any, request: Request) -> AsgiExchange | WsgiExchange:
    return call_asgi(app, request) if harness.protocol == "asgi" else call_wsgi(app, request.environ())


@pytest.fixture(scope="module", params=[False, pytest.param(True, marks=pytest.mark.slow)], ids=["inline", "batch"])
def relayed(request: pytest.FixtureRequest, settings: OtasSettings) -> Iterator[OtasSettings]:
    with RelayThread() as relay, own_recorder(settings, relay=relay.path, relay_batch=request.param) as own:
        yield own


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
@pytest.mark.parametrize("harness", harnesses(), ids=str)
def test_a_request_becomes_the_same_event_by_way_of_a_relay(
    harness: Harness, scenario: Scenario, relayed: OtasSettings, agent: Agent
) -> None:
    request = scenario.request.having(agent.header)
    bare = call(harness, harness.application(None), request)
    before = otas.stats().get("acknowledged", 0)
    wrapped = call(harness, harness.application(relayed), request)
    assert wrapped == bare
    check_event(agent.event(), scenario, harness, bare, server=False)
    assert otas.flush(10)
    assert otas.stats()["acknowledged"] == before + 1
