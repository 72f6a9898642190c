"""The demo's verdict on events that its applications made, and on the same events with something wrong in them."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware._cli.demo.agent import (
    CALLS,
    TASKS,
    Exchange,
    make_calls,
    mock_service,
    nobody,
    play,
    run_tasks,
)
from otas_middleware._cli.demo.checks import (
    agnost_differences,
    call_differences,
    differences,
    is_agents_own,
    is_call,
    request_id,
    task_differences,
)
from otas_middleware._cli.demo.environment import AgnostRecord, Event, environment_set_up, settled_events
from otas_middleware._cli.demo.processes import Interruptions
from otas_middleware._cli.demo.scenario import Secrets, steps
from otas_middleware.agent import AgentSession

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass
class Played:
    exchanges: list[Exchange]
    events: list[Event]
    secrets: Secrets
    own: list[Event]
    """What the agent logged itself."""
    received: list[Mapping[str, str]]
    """The headers that arrived outside of the domain."""
    agnost: AgnostRecord
    calls: list[Event]
    """Those made by MCP."""

    def differences(self) -> list[str]:
        return list(differences(self.exchanges, self.events, self.secrets))

    def call_differences(self) -> list[str]:
        return list(call_differences(self.calls, self.secrets))

    def task_differences(self) -> list[str]:
        return list(task_differences(self.own, self.received, self.secrets))

    def agnost_differences(self) -> list[str]:
        return list(agnost_differences(self.agnost, [*self.events, *self.own, *self.calls], self.secrets))

    def task(self, path: str) -> Event:
        return next(event for event in self.own if event["path"] == path)

    def exchange(self, method: str, path: str) -> Exchange:
        return next(e for e in self.exchanges if (e.step.method, e.step.path, e.step.by_agent) == (method, path, True))

    def event(self, method: str, path: str) -> Event:
        wanted = self.exchange(method, path).request_id
        return next(event for event in self.events if request_id(event) == wanted)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Played:
    secrets = Secrets()
    with environment_set_up(Interruptions(), tmp_path_factory.mktemp("demo"), secrets) as environment:
        brain, settings = environment.brain, environment.agent_settings
        with mock_service() as (service, received), AgentSession(settings=settings) as session:
            token = session.headers_for(environment.addresses["orders"])[TOKEN_HEADER]
            secrets |= {"session token": token, "OTAS_SDK_KEY": brain.sdk_key, "OTAS_AGENT_KEY": brain.agent_key}
            exchanges = list(play(steps(secrets), environment.addresses, session, secrets))
            assert run_tasks(session, service, nobody(), secrets) == "Refund the tea, keep the cup."
            make_calls(session, environment.addresses["orders"])
            expected = sum(exchange.step.by_agent for exchange in exchanges) + len(TASKS) + len(CALLS)
            events = settled_events(brain, str(session.session_id), expected, timeout=20)
            own = [event for event in events if is_agents_own(event)]
            calls = [event for event in events if is_call(event)]
            others = [event for event in events if not (is_agents_own(event) or is_call(event))]
            agnost = environment.agnost
            return Played(exchanges, others, secrets, own, received, agnost, calls)


@pytest.fixture
def played(original: Played) -> Played:
    return deepcopy(original)


def test_all_is_well_when_nothing_is_wrong(played: Played) -> None:
    assert played.differences() == []
    assert played.task_differences() == []
    assert played.call_differences() == []
    assert played.agnost_differences() == []


def test_the_scenario_has_all_that_the_demo_promises(played: Played) -> None:
    by_agent = [exchange.step for exchange in played.exchanges if exchange.step.by_agent]
    assert 40 <= len(by_agent) <= 50
    assert {step.status for step in by_agent} >= {200, 201, 204, 301, 302, 303, 401, 403, 404, 409, 422, 500}
    for name in ("orders", "knowledge base", "help desk"):
        of_one = [exchange.step for exchange in played.exchanges if exchange.step.application.name == name]
        assert any(step.exception for step in of_one)
        assert any(not step.by_agent for step in of_one)
    assert any(step.file for step in by_agent)
    # What secrets an application makes itself is only known afterwards.
    assert played.secrets.keys() >= {"tracking_token", "session", "csrftoken"}


def test_a_missing_event_is_a_difference(played: Played) -> None:
    played.events.remove(played.event("GET", "/export.csv"))
    [difference] = played.differences()
    assert difference.endswith("help desk: GET /export.csv was recorded 0 times instead of once")


def test_an_event_that_came_twice_is_a_difference(played: Played) -> None:
    played.events.append(played.event("GET", "/search"))
    [difference] = played.differences()
    assert difference.endswith("knowledge base: GET /search was recorded 2 times instead of once")


def test_an_event_of_somebody_else_is_a_difference(played: Played) -> None:
    stranger = next(exchange for exchange in played.exchanges if not exchange.step.by_agent)
    event = deepcopy(played.event("GET", "/orders/1"))
    event["request_headers"] = f'{{"X-Request-ID": "{stranger.request_id}"}}'
    played.events.append(event)
    assert any(text.endswith("/health was recorded 1 times instead of never") for text in played.differences())


@pytest.mark.parametrize("headers", ["{}", None, "not JSON"])
def test_an_event_that_belongs_to_no_request_is_a_difference(played: Played, headers: str | None) -> None:
    played.events.append(played.event("GET", "/search") | {"request_headers": headers})
    assert played.differences() == ["1 events belong to no request of the demo (request id None)"]


def test_an_answer_with_another_status_is_a_difference(played: Played) -> None:
    index = played.exchanges.index(played.exchange("GET", "/export.csv"))
    played.exchanges[index] = replace(played.exchanges[index], status=500)
    [difference] = played.differences()
    assert difference.endswith("GET /export.csv was answered with 500 instead of 200")


@pytest.mark.parametrize(
    ("field", "value", "difference"),
    [
        ("status_code", 200, "status_code is 200 instead of 404"),
        ("method", "POST", "method is 'POST' instead of 'GET'"),
        ("path", "/orders/99/", "path is '/orders/99/' instead of '/orders/99'"),
        ("request_size_bytes", 7, "request_size_bytes is 7 instead of 0"),
        ("response_size_bytes", 0, "response_size_bytes is 0 instead of 34"),
        ("latency_ms", 0, "latency_ms is 0"),
        ("error", "", "error is empty"),
    ],
)
def test_a_wrong_field_is_a_difference(played: Played, field: str, value: object, difference: str) -> None:
    played.event("GET", "/orders/99")[field] = value
    [found] = played.differences()
    assert found.endswith(f"orders: GET /orders/99: {difference}")


def test_an_error_that_does_not_name_the_exception_is_a_difference(played: Played) -> None:
    played.event("GET", "/orders/2/shipping")["error"] = "500 Internal Server Error"
    [difference] = played.differences()
    assert difference.endswith("error is '500 Internal Server Error' and does not name KeyError")


def test_an_error_where_there_was_none_is_a_difference(played: Played) -> None:
    played.event("GET", "/export.csv")["error"] = "200 OK"
    [difference] = played.differences()
    assert difference.endswith("error is '200 OK' instead of empty")


@pytest.mark.parametrize("name", ["session token", "OTAS_SDK_KEY", "card number", "csrftoken", "session"])
@pytest.mark.parametrize("field", ["response_body", "error", "metadata"])
def test_a_secret_anywhere_is_a_difference_that_does_not_show_it(played: Played, name: str, field: str) -> None:
    event = played.event("GET", "/orders/2/shipping")
    event[field] = (
        {"deep": [f"KeyError: {played.secrets[name]}"]} if field == "metadata" else f"KeyError: {played.secrets[name]}"
    )
    [difference] = played.differences()
    assert difference.endswith(f"{field} holds a secret ({name})")
    assert played.secrets[name] not in difference


@pytest.mark.parametrize(
    ("path", "field", "value", "difference"),
    [
        ("/rates", "status_code", 0, "status_code is 0 instead of 200"),
        ("/notify", "error", "", "error is '' instead of 'ConnectError'"),
        ("/tools/refund", "error", "ValueError", "error is 'ValueError' instead of ''"),
        ("/v1/chat/completions", "custom_properties", None, "model is None instead of 'demo-1'"),
        ("/v1/chat/completions", "custom_properties", {}, "tokens is None instead of 27"),
    ],
)
def test_a_wrong_field_of_a_task_is_a_difference(
    played: Played, path: str, field: str, value: object, difference: str
) -> None:
    played.task(path)[field] = value
    assert any(found.endswith(f"{path}: {difference}") for found in played.task_differences())


def test_a_task_without_its_tool_is_a_difference(played: Played) -> None:
    played.task("/rates")["metadata"]["parent_id"] = played.task("/tools/refund")["metadata"]["event_id"]
    [difference] = played.task_differences()
    assert "/rates: parent_id is " in difference


def test_a_task_that_was_logged_never_twice_or_for_nothing_is_a_difference(played: Played) -> None:
    notify, rates = played.task("/notify"), played.task("/rates")
    notify["path"] = "/mock_service"
    played.own.append(rates)
    assert [difference for difference in played.task_differences() if "logged" in difference] == [
        "mock_service: GET /rates was logged 2 times instead of once",
        "nobody: POST /notify was logged 0 times instead of once",
        "POST /mock_service was logged 1 times, but not done",
    ]


def test_a_secret_in_a_task_is_a_difference(played: Played) -> None:
    played.task("/rates")["response_body"] = played.secrets["key of a model"]
    assert played.task_differences() == ["mock_service: GET /rates: response_body holds a secret (key of a model)"]


def test_a_token_that_left_the_domain_is_a_difference_that_does_not_show_it(played: Played) -> None:
    played.received.append({TOKEN_HEADER.lower(): played.secrets["session token"]})
    played.received.append({"x-key": played.secrets["OTAS_AGENT_KEY"]})
    assert played.task_differences() == [
        f"a request outside of the domain carried {TOKEN_HEADER}",
        "a request outside of the domain carried the session token or a key",
        "a request outside of the domain carried the session token or a key",
    ]


def test_what_agnost_lacks_or_has_too_much_of_is_a_difference(played: Played) -> None:
    played.agnost["events"].pop()
    played.agnost["sessions"] *= 2
    assert played.agnost_differences() == [
        "Agnost was told of 2 sessions instead of one",
        "Agnost has 54 events, not exactly the 55 that Brain has",
    ]


def test_what_agnost_would_refuse_or_must_not_have_is_a_difference(played: Played) -> None:
    first, second = played.agnost["events"][:2]
    first["forms"] = ["first"]
    second["body"]["result"] = played.secrets["card number"]
    assert played.agnost_differences() == [
        f"Agnost's event {first['body']['primitive_name']} is not of a known session in both forms",
        f"Agnost's event {second['body']['primitive_name']} holds a secret (card number)",
    ]


def test_a_call_by_mcp_that_failed_without_an_error_is_a_difference(played: Played) -> None:
    failed = next(event for event in played.calls if event["error"])
    failed["error"] = ""
    [difference] = played.call_differences()
    assert difference.startswith("tools/call cancel_order: error is '' instead of 'mcp tool_error: ")


def test_a_call_by_mcp_that_came_twice_is_a_difference(played: Played) -> None:
    played.calls.append(played.calls[0])
    assert len(played.call_differences()) == 2
