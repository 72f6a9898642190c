"""The fixture `otas_events` records what each framework's own test client sends, in memory."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

import otas_middleware as otas
from otas_middleware import _recorder
from otas_middleware.asgi import OtasMiddleware
from otas_middleware.testing import RecordedEvents, make_token, record_events, session_headers
from testing.shops import SHOPS, WITH_ROUTES, on_flask, on_wsgi

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from otas_middleware import BackendEvent

ORDER = '{"item": "tea", "password": "hunter2 is the password"}'


@pytest.mark.parametrize("shop", SHOPS)
def test_a_request_with_the_fixtures_headers_is_one_event(
    shop: Callable[..., Any], otas_events: RecordedEvents
) -> None:
    assert shop()("/orders/42", ORDER, otas_events.headers) == 200

    event = otas_events.one(method="POST", path="/orders/42", status_code=200)

    assert '"item": "tea"' in event.request_body
    assert list(otas_events) == [event] == [otas_events[0]]


@pytest.mark.parametrize("shop", SHOPS)
def test_a_request_without_the_headers_is_none(shop: Callable[..., Any], otas_events: RecordedEvents) -> None:
    assert shop()("/orders/42", ORDER, {}) == 200
    otas_events.assert_none()
    assert not otas_events


@pytest.mark.parametrize("shop", WITH_ROUTES)
def test_the_route_template_can_be_asked_for(shop: Callable[..., Any], otas_events: RecordedEvents) -> None:
    shop()("/orders/42", ORDER, otas_events.headers)
    otas_events.one(route="/orders/{order_id}")


@pytest.mark.parametrize("shop", SHOPS)
def test_events_are_redacted_as_they_would_be_sent(shop: Callable[..., Any], otas_events: RecordedEvents) -> None:
    shop()("/orders/42", ORDER, {**otas_events.headers, "Authorization": "Bearer 0123456789"})
    otas_events.assert_no_trace_of("hunter2 is the password", "0123456789", otas_events.token)


def test_no_thread_is_started_and_no_socket_is_opened(
    otas_events: RecordedEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = set(threading.enumerate())
    delivered = otas.stats().get("delivered", 0)

    def refuse(*arguments: object) -> None:
        raise AssertionError("a socket was connected")

    monkeypatch.setattr(socket.socket, "connect", refuse)

    on_flask(sdk_key="otas_real_key")("/orders/42", ORDER, otas_events.headers)

    otas_events.one()
    assert threads.issuperset(threading.enumerate())  # those of other tests may end meanwhile
    assert otas.flush(0.0)
    assert otas.stats()["delivered"] == delivered + 1


def test_an_application_that_was_made_before_is_recorded_too_and_delivers_again_afterwards() -> None:
    post = on_wsgi(sdk_key="otas_made_before")
    (recorder,) = [each for each in _recorder.recorders() if secret(each.settings) == "otas_made_before"]
    pipeline = recorder.pipeline

    with record_events() as events:
        post("/orders/1", ORDER, events.headers)
        assert events.summaries == ["POST /orders/1 200"]

    assert recorder.pipeline is pipeline


def test_what_was_made_during_a_recording_delivers_in_the_background_afterwards() -> None:
    with record_events():
        on_wsgi(sdk_key="otas_made_during")
    (recorder,) = [each for each in _recorder.recorders() if secret(each.settings) == "otas_made_during"]
    assert type(recorder.pipeline).__name__ == "Pipeline"


def secret(settings: otas.OtasSettings) -> str | None:
    return None if settings.sdk_key is None else settings.sdk_key.get_secret_value()


def test_recordings_inside_of_each_other_keep_apart() -> None:
    post = on_wsgi(sdk_key="otas_test_test")
    with record_events() as outer:
        post("/orders/1", ORDER, outer.headers)
        with record_events() as inner:
            post("/orders/2", ORDER, inner.headers)
        post("/orders/3", ORDER, outer.headers)
    assert inner.summaries == ["POST /orders/2 200"]
    assert outer.summaries == ["POST /orders/1 200", "POST /orders/3 200"]


def test_without_a_key_the_middleware_is_off_again_after_a_recording() -> None:
    with record_events():
        pass
    assert _recorder.open_recorder({}) is None


def test_events_belong_to_sessions(otas_events: RecordedEvents) -> None:
    post = on_wsgi()
    other = make_token(session_id="another session", agent_id="another agent")
    post("/orders/1", ORDER, otas_events.headers)
    post("/orders/2", ORDER, session_headers(other))
    assert otas_events.one(session_id=otas_events.session_id, agent_id=otas_events.agent_id).path == "/orders/1"
    assert otas_events.one(session_id="another session", agent_id="another agent").path == "/orders/2"


def test_a_configured_secret_signs_the_token(otas_events: RecordedEvents, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTAS_SESSION_SECRET", "a secret of at least thirty-two bytes")
    on_wsgi()("/orders/1", ORDER, otas_events.headers)
    assert otas_events.one().metadata["session"]["verified"] is True


def test_a_secret_given_to_the_application_signs_the_token(otas_events: RecordedEvents) -> None:
    post = on_wsgi(session_secret="a secret of at least thirty-two bytes")
    post("/orders/1", ORDER, otas_events.headers)
    assert otas_events.one().metadata["session"]["verified"] is True


def test_clearing_forgets_what_was_recorded(otas_events: RecordedEvents) -> None:
    post = on_wsgi()
    post("/orders/1", ORDER, otas_events.headers)
    otas_events.clear()
    post("/orders/2", ORDER, otas_events.headers)
    assert otas_events.summaries == ["POST /orders/2 200"]


def test_events_of_another_thread_can_be_waited_for(otas_events: RecordedEvents) -> None:
    post = on_wsgi()
    released = threading.Event()

    def later() -> None:
        released.wait()
        post("/orders/1", ORDER, otas_events.headers)

    thread = threading.Thread(target=later)
    thread.start()
    with pytest.raises(AssertionError, match=r"0 of 1 events were recorded within 0\.01 s"):
        otas_events.wait(1, timeout=0.01)
    released.set()
    otas_events.wait(1)
    thread.join()
    assert len(otas_events) == 1


def test_before_send_has_its_word(otas_events: RecordedEvents) -> None:
    def only_orders(event: BackendEvent) -> BackendEvent | None:
        event.custom_properties["seen"] = True
        return event if event.path.startswith("/orders/") else None

    post = on_wsgi(before_send=only_orders)
    post("/orders/1", ORDER, otas_events.headers)
    post("/internal", ORDER, otas_events.headers)
    assert otas_events.one().custom_properties == {"seen": True}


def test_what_was_called_is_asked_for_by_name_or_by_its_members(otas_events: RecordedEvents) -> None:
    app = Starlette(routes=[Route("/rpc", answer_rpc, methods=["POST"])])
    app.add_middleware(OtasMiddleware)
    client = TestClient(app, headers=otas_events.headers)
    for method in ("refund", "broken"):
        client.post("/rpc", json={"jsonrpc": "2.0", "id": 1, "method": method})
    otas_events.one(operation="refund", error="")
    otas_events.one(operation={"name": "broken", "outcome": "error", "code": -32000})
    otas_events.assert_none(operation="tools/call refund")
    assert otas_events.summaries == ["POST /rpc 200 refund", "POST /rpc 200 broken"]


async def answer_rpc(request: Request) -> JSONResponse:
    call = await request.json()
    outcome = {"error": {"code": -32000, "message": "no"}} if call["method"] == "broken" else {"result": 1}
    return JSONResponse({"jsonrpc": "2.0", "id": call["id"], **outcome})
