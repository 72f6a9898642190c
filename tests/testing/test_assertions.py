"""What a failed assertion on recorded events says."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from unittest.mock import ANY

import pytest

from otas_middleware._event import BackendEvent, Envelope
from otas_middleware._runtime import runtime
from otas_middleware._testing.memory import Memory
from otas_middleware.testing import (
    Expected,
    RecordedEvents,
    SwallowedFailureError,
    make_token,
    record_events,
    session_headers,
)
from testing.shops import on_django, on_flask, on_wsgi

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from otas_middleware import RequestInfo
    from testing.shops import Post

ORDER = '{"item": "tea", "amounts": [1, {"unit": "g", "of": "oolong"}]}'


@pytest.fixture(autouse=True)
def young_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests have switched off is no reason here."""
    monkeypatch.setattr(runtime, "off_because", set[str]())


@pytest.fixture
def recorded() -> RecordedEvents:
    """Two events: an order, and a failure."""
    memory = Memory()
    events = [
        BackendEvent(
            path="/orders/42",
            method="POST",
            status_code=201,
            latency_ms=12.5,
            request_body=ORDER,
            custom_properties={"customer": 7, "tags": ["a", "b"]},
            metadata={"route": "/orders/{order_id}", "framework": "flask"},
        ),
        BackendEvent(path="/refunds", method="GET", status_code=500, latency_ms=3.0, error="ValueError: no money"),
    ]
    for event in events:
        memory.take(partial(Envelope, event, token="t.o.ken", session_id="session 1", agent_id="agent 1"))
    return RecordedEvents(memory)


def ends_with_42(value: str) -> bool:
    return value.endswith("42")


def never(value: object) -> bool:
    return False


FOUND_BY: list[Expected] = [
    {"path": "/orders/42"},
    {"path": re.compile("^/orders/")},
    {"path": ends_with_42},
    {"latency_ms": pytest.approx(12.5, abs=0.1), "error": ""},
    {"request_body": {"item": "tea"}},
    {"request_body": {"amounts": [1, {"unit": "g"}]}},
    {"request_body": {"amounts": [ANY, {"of": re.compile("long$")}]}},
    {"custom_properties": {"tags": ["a", "b"]}},
    {"route": "/orders/{order_id}", "framework": "flask"},
    {"metadata": {"framework": "flask"}},
    {"session_id": "session 1", "status_code": 201},
]

NOT_FOUND_BY: list[Expected] = [
    {"path": "/orders/4"},
    {"path": re.compile("^orders")},
    {"path": never},
    {"request_body": {"item": "coffee"}},
    {"request_body": {"amounts": [1]}},
    {"request_body": {"nothing": None}},
    {"error": {"not": "JSON"}},
    {"custom_properties": {"tags": ["a"]}},
    {"custom_properties": {"customer": {"id": 7}}},
    {"custom_properties": ["customer"]},
    {"route": "/orders/42"},
    {"route": ends_with_42, "path": "/refunds"},
    {"session_id": "session 2"},
]


def failure(recorded: RecordedEvents, **expected: Unpack[Expected]) -> str:
    with pytest.raises(AssertionError) as raised:
        recorded.one(**expected)
    return str(raised.value)


@pytest.mark.parametrize("expected", FOUND_BY)
def test_an_event_is_found_by(recorded: RecordedEvents, expected: Expected) -> None:
    assert recorded.one(**expected) is recorded[0]


@pytest.mark.parametrize("expected", NOT_FOUND_BY)
def test_an_event_is_not_found_by(recorded: RecordedEvents, expected: Expected) -> None:
    recorded.assert_none(**expected)


def test_every_field_of_an_event_can_be_expected() -> None:
    assert set(BackendEvent.model_fields) < set(Expected.__annotations__)


def test_a_misspelled_field_is_told_from_a_wrong_event(recorded: RecordedEvents) -> None:
    with pytest.raises(TypeError, match=r"an event has no status; it can be asked for: project_id, path, "):
        recorded.one(status=201)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def test_a_missing_event_is_explained_by_what_each_other_has_instead(recorded: RecordedEvents) -> None:
    assert failure(recorded, path="/orders/43", status_code=201, route=re.compile("item")) == (
        "No event was recorded with path='/orders/43', status_code=201, route=a match of 'item', but 2 others were:\n"
        "  POST /orders/42 201: path is '/orders/42', not '/orders/43'; "
        "route is '/orders/{order_id}', not a match of 'item'\n"
        "  GET /refunds 500 (ValueError: no money): path is '/refunds', not '/orders/43'; "
        "status_code is 500, not 201; route is absent, not a match of 'item'"
    )


def test_too_many_events_are_listed(recorded: RecordedEvents) -> None:
    assert failure(recorded, session_id="session 1") == (
        "2 events were recorded with session_id='session 1', not one:\n"
        "  POST /orders/42 201\n"
        "  GET /refunds 500 (ValueError: no money)"
    )


def test_an_unwanted_event_is_shown(recorded: RecordedEvents) -> None:
    with pytest.raises(AssertionError, match=r"^1 event was recorded with status_code=500:\n  GET /refunds 500"):
        recorded.assert_none(status_code=500)


def test_a_function_is_named_and_a_long_value_is_cut(recorded: RecordedEvents) -> None:
    assert 'request_body is \'{"item": "tea"' in failure(recorded, request_body=never)
    assert "not what never() accepts" in failure(recorded, request_body=never)
    assert "x… (302 characters)" in failure(recorded, path="x" * 300)


def test_the_list_of_events_is_readable_in_a_plain_assert(recorded: RecordedEvents) -> None:
    assert repr(recorded) == "<RecordedEvents ['POST /orders/42 201', 'GET /refunds 500 (ValueError: no money)']>"


@pytest.mark.parametrize(
    "body",
    [
        "the secret is s3cr&t hüsh/1",
        '{"a": "s3cr&t h\\u00fcsh/1"}',
        "a=s3cr%26t+h%C3%BCsh%2F1",
        "a=s3cr%26t%20h%C3%BCsh/1",
        "czNjciZ0IGjDvHNoLzE=",
        "eHggczNjciZ0IGjDvHNoLzE=",
    ],
)
def test_a_trace_of_a_secret_is_found_in_its_forms_and_not_repeated(body: str) -> None:
    memory = Memory()
    event = BackendEvent(path="/login", method="POST", status_code=200, latency_ms=1.0, request_body=body)
    memory.take(partial(Envelope, event, "t.o.ken", "session", "agent"))
    with pytest.raises(AssertionError) as raised:
        RecordedEvents(memory).assert_no_trace_of("harmless", "s3cr&t hüsh/1")
    assert str(raised.value).splitlines()[1:] == ["  number 2 of the texts stands in request_body of: POST /login 200"]


def test_a_search_for_nothing_or_in_nothing_is_an_error(recorded: RecordedEvents) -> None:
    for nothing in ((), ("",)):
        with pytest.raises(ValueError, match="name the texts"):
            recorded.assert_no_trace_of(*nothing)
    with record_events() as events, pytest.raises(ValueError, match="No event was recorded"):
        events.assert_no_trace_of("hunter2")


def reason(events: RecordedEvents) -> str:
    with pytest.raises(AssertionError) as raised:
        events.one()
    return str(raised.value)


def test_no_token_is_a_reason(otas_events: RecordedEvents) -> None:
    on_wsgi()("/orders/1", ORDER, {})
    assert reason(otas_events).split("\n")[:2] == [  # below: what agents of other tests in this process did not do
        "No event was recorded:",
        "  no request carried the header X-OTAS-AGENT-SESSION-TOKEN: pass headers=otas_events.headers",
    ]


def test_a_refused_token_is_a_reason(otas_events: RecordedEvents) -> None:
    post = on_wsgi()
    for token in (make_token(expires_in=-120), make_token(agent_id=""), "not a token"):
        post("/orders/1", ORDER, session_headers(token))
    text = reason(otas_events)
    for why in ("expired", "missing_claims", "malformed"):
        assert f"1x the session token was refused: {why}" in text


def test_the_settings_are_a_reason(otas_events: RecordedEvents) -> None:
    post = on_wsgi(ignore_paths=["/orders/", "/*/internal"])
    post("/orders/1", ORDER, otas_events.headers)
    post("/x/internal", ORDER, otas_events.headers)
    text = reason(otas_events)
    assert "the settings leave the request out: ignored" in text
    assert "1x `ignore_paths`, `ignore_operations` or `before_send` withheld the event" in text


def test_the_kill_switch_is_a_reason(otas_events: RecordedEvents, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "recorders", {})
    on_wsgi(enabled=False)("/orders/1", ORDER, otas_events.headers)
    assert "recording is switched off (OTAS_ENABLED=0, or `enabled` false in the settings)" in reason(otas_events)


def test_an_application_made_too_early_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "recorders", {})
    post = on_wsgi()
    with record_events() as events:
        post("/orders/1", ORDER, events.headers)
        assert "the middleware was made while no SDK key was set, and is off" in reason(events)


def test_an_application_without_the_middleware_is_a_reason(
    otas_events: RecordedEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "recorders", {})
    assert "no middleware of otas_middleware was made in this process" in reason(otas_events)


def test_a_response_that_is_still_open_is_a_reason(otas_events: RecordedEvents) -> None:
    from flask import Flask, Response

    from otas_middleware.flask import Otas

    app = Flask(__name__)
    Otas(app)
    app.add_url_rule("/stream", view_func=lambda: Response(iter([b"one", b"two"])))
    response = app.test_client().get("/stream", headers=otas_events.headers)
    assert "1x the response has not been read to its end, or not been closed" in reason(otas_events)
    assert response.data == b"onetwo"
    response.close()
    assert otas_events.one().response_body == "onetwo"


@pytest.fixture
def as_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures of recording are swallowed, as they are outside of this suite."""
    monkeypatch.setattr(runtime, "behaviour", replace(runtime.behaviour, reraise=False))


def refuse(request: RequestInfo) -> bool:
    raise KeyError("the user's own mistake")


@pytest.mark.usefixtures("as_in_production")
@pytest.mark.parametrize("shop", [on_wsgi, on_flask, on_django])
def test_a_swallowed_failure_fails_the_test_and_is_its_cause(shop: Callable[..., Post]) -> None:
    def test() -> None:
        with record_events() as events:
            assert shop(should_record=refuse)("/orders/1", ORDER, events.headers) == 200
            assert 'KeyError: "the user\'s own mistake"' in reason(events)

    with pytest.raises(SwallowedFailureError, match="production would have swallowed it") as raised:
        test()
    assert isinstance(raised.value.__cause__, KeyError)


@pytest.mark.usefixtures("as_in_production")
def test_a_test_may_look_at_what_production_would_do() -> None:
    with record_events(strict=False) as events:
        assert on_wsgi(should_record=refuse)("/orders/1", ORDER, events.headers) == 200
    assert [where for where, _ in events.failures] == ["should_record"]
    events.assert_none()


@pytest.mark.usefixtures("as_in_production")
def test_the_failure_of_the_test_itself_is_not_replaced() -> None:
    def test() -> None:
        with record_events() as events:
            on_wsgi(should_record=refuse)("/orders/1", ORDER, events.headers)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        test()


def test_an_event_that_is_not_there_is_asked_for_in_vain_and_told_why() -> None:
    with record_events() as events:
        post = on_wsgi()
        with pytest.raises(IndexError, match=r"No event was recorded:\n  no request carried the header"):
            _ = events[0]
        post("/orders/1", ORDER, events.headers)
        with pytest.raises(IndexError, match=r"only 1 event was recorded:\n  POST /orders/1 200"):
            _ = events[1]
        assert list(events) == [events[0]] == [events[-1]]
