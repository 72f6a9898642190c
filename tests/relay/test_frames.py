"""What crosses arrives as it was; what would not, does not cross."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.utils.safestring import SafeString

from otas_middleware import OtasSettings
from otas_middleware._capture import Capture
from otas_middleware._capture.body import TAIL_BYTES
from otas_middleware._capture.carried import AS_THEY_ARE
from otas_middleware._capture.session import SessionInfo, TokenGate, fingerprint
from otas_middleware._delivery.relay import packets
from otas_middleware._delivery.relay.packets import decode_event, decode_request, encode_event, encode_request
from otas_middleware._event import BackendEvent, Envelope
from otas_middleware._event.build import build
from otas_middleware.testing import make_token

TOKEN = make_token(agent_id="agent-1", session_id="session-1", expires_in=None, claims={"iat": 1.5})
SESSION = SessionInfo("agent-1", "session-1", True, fingerprint(TOKEN), 1.5, None, TOKEN)
SETTINGS = OtasSettings(sdk_key="otas_a_b")

OF_THE_REQUEST_PATH = {
    *("_ambient", "_submit", "_weight", "_with_traceback", "durable", "ends_early", "finished", "head_waits_for")
}
"""Attributes of a capture that mean nothing once it is finished."""

CARRIED_OTHERWISE = {
    *("checkpoints", "custom_properties", "exception", "path_params", "request", "response", "session"),
}
"""Bodies, as they are; what the application gave, after a look at it."""


def finished(**changes: Any) -> Capture:
    capture = Capture(lambda _: None, SESSION, 1000, with_traceback=False)
    capture.framework, capture.method, capture.path, capture.query_string = "asgi", "POST", "/orders/7", b"page=2"
    capture.request_headers = [(b"host", b"example.com"), (b"content-type", b"application/json")]
    capture.request.add(b'{"id": 7}')
    capture.started(201, [(b"content-type", b"text/plain"), (b"content-length", b"5")])
    capture.sent(b"hel")
    capture.sent(b"lo")
    for name, value in changes.items():
        setattr(capture, name, value)
    capture.ended()
    capture.finish()
    return capture


def crossed(capture: Capture) -> Capture:
    encoded = encode_request(capture, 7)
    assert encoded is not None
    number, size, pieces, finished = encoded
    packet = b"".join(pieces)
    assert (number, size, finished) == (7, len(packet), None)
    [frame] = packets.frames(memoryview(packet))
    return decode_request(packets.read(frame), b"a secret")


def event_of(capture: Capture) -> dict[str, Any]:
    envelope = build(capture, SETTINGS)
    assert envelope is not None
    found = envelope.event.model_dump()
    found["metadata"].pop("event_id")
    return found


def test_every_attribute_of_a_capture_is_carried_or_belongs_to_the_request_path() -> None:
    assert set(Capture.__slots__) == {*AS_THEY_ARE, *CARRIED_OTHERWISE, *OF_THE_REQUEST_PATH}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"custom_properties": {"order": 42, "nested": {"list": [1, 2.5, None, True, "é"]}}},
        {"custom_properties": {"when": datetime(2026, 1, 2, 3, 4, tzinfo=UTC), "day": date(2026, 1, 2)}},
        {"custom_properties": {"id": UUID(int=7), "price": Decimal("1.50"), "pair": (1, "two")}},
        {"checkpoints": [("cache", 1.25, {"rows": 5})]},
        {"route": "/orders/{order_id}", "path_params": {"order_id": 7}},
        {"route": "/orders/{order_id}", "path_params": {"order_id": UUID(int=7)}, "path": f"/orders/{UUID(int=7)}"},
        {"request_headers": [("Host", SafeString("example.com")), ("X-Id", "é")], "query_string": "a=b"},
        {"complete": False, "disconnected": True},
        {"parent_id": "a-b-c", "sampled_out": True},
        {"method": "HEAD"},
        {"opaque": True},
        {"reason": "Teapot", "status_code": 418},
        {"status_code": 0, "disconnected": True},
        {"response_headers": [], "path": "/\x00\udcff".replace("\udcff", "ÿ")},
    ],
    ids=lambda changes: " ".join(changes) or "plain",
)
def test_a_capture_gives_the_same_event_on_the_other_side(changes: dict[str, Any]) -> None:
    capture = finished(**changes)
    assert event_of(crossed(capture)) == event_of(capture)


def test_an_exception_and_a_cut_body_cross() -> None:
    capture = Capture(lambda _: None, SESSION, 10, with_traceback=True)
    capture.method, capture.path = "POST", "/boom"
    for _ in range(100):
        capture.request.add(b"abc")
    capture.failed(ValueError("no such order"))
    capture.finish()
    other = crossed(capture)
    assert event_of(other) == event_of(capture)
    assert other.exception == capture.exception
    assert (other.request_size, other.request_body()) == (300, b"abcabcabca")


@pytest.mark.parametrize("size", [9, 10, 11, 10 + TAIL_BYTES, 11 + TAIL_BYTES])
def test_beginning_and_end_of_a_response_cross(size: int) -> None:
    capture = Capture(lambda _: None, SESSION, 10, with_traceback=False)
    capture.started(200, ())
    capture.sent(bytes(5))
    capture.sent(b"x" * (size - 5))
    capture.finish()
    other = crossed(capture)
    assert other.response_body() == capture.response_body()
    assert other.response_end() == capture.response_end()
    assert other.response_size == size


@pytest.mark.parametrize("session_id", ["session-1", "\ud800", "é" * 100])
def test_a_session_is_read_of_its_token_again(session_id: str) -> None:
    session = TokenGate().admit(make_token(session_id=session_id, issued_ago=3.5), time.time())
    assert session is not None
    for said in (session, replace(session, verified=True)):
        assert crossed(finished(session=said)).session == said


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "changes",
    [
        {"custom_properties": {"thing": object()}},
        {"custom_properties": {"huge": 2**64}},
        {"custom_properties": {1: "number"}},
        {"custom_properties": {"set": {1}}},
        {"custom_properties": {"bytes": b"x"}},
        {"custom_properties": {"subclass": Text("x")}},
        {"path": "/\udcff"},
        {"path_params": {"thing": object()}},
        {"request_headers": [("a", object())]},
    ],
    ids=["object", "large integer", "key", "set", "bytes", "text's subclass", "surrogate", "parameter", "header"],
)
def test_what_would_arrive_as_something_else_does_not_cross(changes: dict[str, Any]) -> None:
    assert encode_request(finished(**changes), 7) is None


def test_a_value_that_contains_itself_does_not_cross() -> None:
    cycle: dict[str, Any] = {}
    cycle["again"] = cycle
    assert encode_request(finished(custom_properties=cycle), 7) is None


def test_a_finished_event_crosses() -> None:
    event = BackendEvent(path="/a", method="GET", status_code=200, latency_ms=1.5, metadata={"event_id": "e"})
    envelope = Envelope(event, "token", "session", "agent", "agent")
    frame = packets.read(b"".join(encode_event(envelope, 7)[2]))
    assert decode_event(frame) == envelope


def test_frames_that_do_not_add_up_are_refused() -> None:
    good = packets.order(packets.FLUSH, b"12")
    assert [bytes(frame) for frame in packets.frames(memoryview(good + good))] == [good, good]
    for end in range(1, len(good)):
        with pytest.raises(packets.PacketError):
            list(packets.frames(memoryview(good + good[:end])))
