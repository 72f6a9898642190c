"""The contract, in process: every framework with every scenario.

The client gets what it gets without us, and Brain gets exactly one event that says what happened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import otas_middleware as otas
from support.asgi_gateway import AsgiExchange, call_asgi
from support.event_check import check_event
from support.harnesses import Harness, harnesses
from support.scenarios import SCENARIOS, Scenario
from support.wsgi_gateway import WsgiExchange, call_wsgi

if TYPE_CHECKING:
    from otas_middleware import OtasSettings
    from support.agent import Agent
    from support.request import Request

HARNESSES = harnesses()


def call(harness: Harness, app: Any, request: Request) -> AsgiExchange | WsgiExchange:
    return call_asgi(app, request) if harness.protocol == "asgi" else call_wsgi(app, request.environ())


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
@pytest.mark.parametrize("harness", HARNESSES, ids=str)
def test_the_client_notices_nothing_and_brain_gets_the_event(
    harness: Harness, scenario: Scenario, settings: OtasSettings, agent: Agent
) -> None:
    request = scenario.request.having(agent.header)
    bare = call(harness, harness.application(None), request)
    assert bare.status_code == scenario.status, bare
    assert (bare.raised is not None) == (scenario.breaks_off or (scenario.raises and not harness.answers_exceptions))
    wrapped = call(harness, harness.application(settings), request)
    assert wrapped == bare
    check_event(agent.event(), scenario, harness, bare, server=False)


@pytest.mark.no_cover  # nothing happens that the test above does not make happen too
@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
@pytest.mark.parametrize("harness", HARNESSES, ids=str)
def test_a_request_without_a_token_leaves_no_trace(
    harness: Harness, scenario: Scenario, settings: OtasSettings
) -> None:
    bare = call(harness, harness.application(None), scenario.request)
    recorded = otas.stats().get("captured", 0)
    assert call(harness, harness.application(settings), scenario.request) == bare
    assert otas.stats().get("captured", 0) == recorded
