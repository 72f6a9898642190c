"""The event of a preview is the one that the application would have sent."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from otas_middleware import OtasSettings
from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware._cli.preview import Exchange, Reply, replay
from otas_middleware._runtime import runtime
from otas_middleware.asgi import OtasMiddleware
from otas_middleware.testing import RecordedEvents, make_token

if TYPE_CHECKING:
    from starlette.requests import Request

    from otas_middleware import BackendEvent, RequestInfo

SETTINGS = OtasSettings.model_validate({"sdk_key": "otas_test_test"})
BODY = b'{"item": "tea", "card_number": "4111 1111 1111 1111"}'


def exchange(token: str | None = None, **changes: Any) -> Exchange:
    headers = [("Content-Type", "application/json"), ("Authorization", "Bearer 0123456789abcdef")]
    if token is not None:
        headers.append((TOKEN_HEADER, token))
    reply = Reply(201, "Created", (("Content-Type", "application/json"),), b'{"token": "abc"}')
    return dataclasses.replace(
        Exchange("POST", "/orders/42?api_key=1&x=%C3%A4", tuple(headers), BODY, reply), **changes
    )


def test_an_application_sends_the_same_event_for_the_same_exchange(otas_events: RecordedEvents) -> None:
    async def order(request: Request) -> JSONResponse:
        await request.body()
        return JSONResponse({"token": "abc"}, 201)

    app = Starlette(routes=[Route("/orders/{order_id}", order, methods=["POST"])])
    app.add_middleware(OtasMiddleware, settings=SETTINGS)
    response = TestClient(app).post(
        "/orders/42?api_key=1&x=%C3%A4",
        content=BODY,
        headers={"Content-Type": "application/json", "Authorization": "Bearer 0123456789abcdef", **otas_events.headers},
    )
    recorded = otas_events.one()
    reply = Reply(201, "", tuple(response.headers.items()), response.content)
    given = Exchange("POST", "/orders/42?api_key=1&x=%C3%A4", tuple(response.request.headers.items()), BODY, reply)

    previewed = replay(given, SETTINGS, "starlette", "/orders/{order_id}").event

    assert previewed is not None
    assert comparable(previewed) == comparable(recorded)


def comparable(event: BackendEvent) -> dict[str, Any]:
    fields = event.model_dump(exclude={"latency_ms"})
    for name in ("event_id", "captured_at", "ttfb_ms"):
        fields["metadata"].pop(name, None)
    return fields


def test_without_a_token_the_event_of_an_agents_request_is_shown_and_said_to_be_one() -> None:
    preview = replay(exchange(), SETTINGS, "asgi")
    assert preview.event is not None
    assert preview.event.status_code == 201
    assert "4111" not in preview.event.request_body
    assert any("carries no X-OTAS-AGENT-SESSION-TOKEN: as it is, nothing is recorded" in r for r in preview.remarks)


def test_with_a_good_token_there_is_nothing_to_remark_on_it() -> None:
    preview = replay(exchange(make_token(), seconds=0.5), SETTINGS, "asgi", "/orders/{order_id}")
    assert preview.event is not None
    assert preview.event.latency_ms == 500.0
    assert preview.remarks == ()


@pytest.mark.parametrize(("token", "reason"), [("not a token", "malformed"), (make_token(expires_in=-120), "expired")])
def test_a_refused_token_is_said_with_its_reason(token: str, reason: str) -> None:
    preview = replay(exchange(token), SETTINGS, "asgi")
    assert preview.event is not None
    assert any(f"the session token is refused ({reason})" in remark for remark in preview.remarks)
    assert not any(token in remark for remark in preview.remarks)


def test_signatures_are_checked_where_the_secret_is_known() -> None:
    settings = SETTINGS.replace(session_secret="a secret of at least thirty-two bytes")
    preview = replay(exchange(make_token(secret="another one")), settings, "asgi")
    assert any("refused (bad_signature)" in remark for remark in preview.remarks)
    assert preview.event is not None
    assert preview.event.metadata["session"]["verified"] is True


def test_a_key_set_is_not_fetched() -> None:
    settings = SETTINGS.replace(session_jwks_url="http://127.0.0.1:9/keys")
    begun = time.monotonic()
    preview = replay(exchange(make_token()), settings, "asgi")
    assert time.monotonic() - begun < 2
    assert any("not checked against the keys at session_jwks_url" in remark for remark in preview.remarks)


def never(request: RequestInfo) -> bool:
    return False


def withhold(event: BackendEvent) -> None:
    """No event leaves."""


@pytest.mark.parametrize(
    ("changes", "withheld"),
    [
        ({"enabled": False}, "recording is switched off"),
        ({"ignore_paths": "/orders/"}, "ignore_paths, ignore_methods, ignore_operations"),
        ({"ignore_paths": "/*/42"}, "ignore_paths, ignore_methods, ignore_operations"),
        ({"ignore_methods": "POST"}, "ignore_paths, ignore_methods, ignore_operations"),
        ({"should_record": never}, "should_record said no"),
        ({"session_sample_rate": 0}, "not among those that are sampled"),
        ({"before_send": withhold}, "before_send withheld it"),
    ],
)
def test_what_would_not_be_sent_is_said_with_the_reason(changes: dict[str, Any], withheld: str) -> None:
    preview = replay(exchange(), SETTINGS.replace(**changes), "asgi")
    assert preview.event is None
    assert withheld in preview.withheld


def test_a_failure_of_the_users_function_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "behaviour", replace(runtime.behaviour, reraise=False))

    def broken(event: BackendEvent) -> BackendEvent:
        raise KeyError("customer")

    preview = replay(exchange(), SETTINGS.replace(before_send=broken), "asgi")
    assert preview.event is None
    assert any("before_send failed with KeyError: 'customer'" in remark for remark in preview.remarks)


def test_without_a_key_the_middleware_is_said_to_be_off() -> None:
    preview = replay(exchange(), OtasSettings(), "asgi")
    assert preview.event is not None
    assert any("no SDK key is set: as it is, the middleware is off" in remark for remark in preview.remarks)


def test_times_are_those_of_the_exchange() -> None:
    preview = replay(exchange(seconds=1.25, first_byte=0.5, began=1767323045.678), SETTINGS, "asgi")
    assert preview.event is not None
    assert preview.event.latency_ms == 1250.0
    assert preview.event.metadata["ttfb_ms"] == 500.0
    assert preview.event.metadata["captured_at"].startswith("2026-01-02T03:04:05.678")
