"""The contract between linters: both specifications are kept on both sides of us.

A linter outside sees what we give the server, one inside what we give the application. Where a framework holds us
inside of itself, only the outer one is possible. What they say of the bare application they may say of the wrapped one.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any
from wsgiref.validate import validator

import pytest
from werkzeug.middleware.lint import LintMiddleware

from otas_middleware import asgi, wsgi
from support.asgi_gateway import AsgiExchange, call_asgi
from support.asgi_lint import AsgiLint
from support.event_check import check_event
from support.harnesses import Harness, harnesses
from support.harnesses.asgi_raw import app as asgi_app
from support.harnesses.wsgi_raw import app as wsgi_app
from support.scenarios import SCENARIOS, Scenario
from support.wsgi_gateway import WsgiExchange, call_wsgi

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware import OtasSettings
    from support.agent import Agent
    from support.request import Request


pytestmark = pytest.mark.no_cover  # `test_scenarios.py` runs the same scenarios under coverage

LINTERS: dict[str, list[Callable[[Any], Any]]] = {"asgi": [AsgiLint], "wsgi": [validator, LintMiddleware]}
CASES = [
    pytest.param(harness, lint, id=f"{harness}-{lint.__name__}")
    for harness in harnesses()
    for lint in LINTERS[harness.protocol]
]


def between(lint: Callable[[Any], Any], harness: Harness, settings: OtasSettings) -> Any:
    if harness.name == "asgi":
        return lint(asgi.OtasMiddleware(lint(asgi_app), settings=settings))
    if harness.name == "wsgi":
        return lint(wsgi.OtasMiddleware(lint(wsgi_app), settings=settings))
    return lint(harness.application(settings))


def call(harness: Harness, app: Any, request: Request) -> tuple[AsgiExchange | WsgiExchange, set[str]]:
    """Return the exchange and what the linters said."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        exchange = call_asgi(app, request) if harness.protocol == "asgi" else call_wsgi(app, request.environ())
    return exchange, {str(warning.message) for warning in said if warning.category is not ResourceWarning}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
@pytest.mark.parametrize(("harness", "lint"), CASES)
def test_linters_on_both_sides_have_nothing_to_say(
    harness: Harness, lint: Callable[[Any], Any], scenario: Scenario, settings: OtasSettings, agent: Agent
) -> None:
    request = scenario.request.having(agent.header)
    bare, said_of_bare = call(harness, lint(harness.application(None)), request)
    wrapped, said_of_wrapped = call(harness, between(lint, harness, settings), request)
    assert wrapped == bare
    assert said_of_wrapped == said_of_bare
    if wrapped.raised is not None:
        assert not issubclass(wrapped.raised[0], AssertionError)
    check_event(agent.event(), scenario, harness, bare, server=False)
