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
_built: dict[tuple[str, bool], Any] = {}


def application(harness: Harness, settings: OtasSettings | None) -> Any:
    """Return the harness's application; made once, as a server would."""
    key = (harness.name, settings is not None)
    if key not in _built:
        _built[key] = harness.build(settings)
    return _built[key]


def call(harness: Harness, app: Any, request: Request) -> AsgiExchange | WsgiExchange:
    return call_asgi(app, request) if harness.protocol == "asgi" else call_wsgi(app, request.environ())


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
@pytest.mark.parametrize("harness", HARNESSES, ids=str)
def test_the_client_notices_nothing_and_brain_gets_the_event(
    harness: Harness, scenario: Scenario, settings: OtasSettings, agent: Agent
) -> None:
    request = scenario.request.having(agent.header)
    bare = call(harness, application(harness, None), request)
    assert bare.status_code == scenario.status, bare
    assert (bare.raised is not None) == (scenario.breaks_off or (scenario.raises and not harness.answers_exceptions))
    wrapped = call(harness, application(harness, settings), request)
    assert wrapped == bare
    check_event(agent.event(), scenario, harness, bare, server=False)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
@pytest.mark.parametrize("harness", HARNESSES, ids=str)
def test_a_request_without_a_token_leaves_no_trace(
    harness: Harness, scenario: Scenario, settings: OtasSettings
) -> None:
    bare = call(harness, application(harness, None), scenario.request)
    recorded = otas.stats().get("captured", 0)
    assert call(harness, application(harness, settings), scenario.request) == bare
    assert otas.stats().get("captured", 0) == recorded
