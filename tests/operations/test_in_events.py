"""What an operation does to its event: the error, the trace, the claims, the latency, and what the settings say."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from events.exchange import SESSION, event_of, exchange
from operations.wire import (
    ENVELOPE,
    LEGACY,
    MODERN,
    SSE,
    base64_of,
    call,
    error,
    frame,
    post,
    result,
    sse,
    tool_result,
)
from otas_middleware import BackendEvent, OtasSettings
from otas_middleware._capture import Capture
from otas_middleware._capture.selection import Selection
from otas_middleware._capture.session import fingerprint
from otas_middleware._event.build import build
from otas_middleware._event.operation.model import Operation
from otas_middleware._runtime import runtime
from otas_middleware.asgi import OtasMiddleware

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request

    from otas_middleware._event.operation.exchange import Exchange
    from otas_middleware.testing import RecordedEvents

TOOL = {**MODERN, "mcp-method": "tools/call", "mcp-name": "refund"}
FAILED = post(call("tools/call", {"name": "refund"}), result(tool_result("no", isError=True)), headers=TOOL)
WELL = post(call("tools/call", {"name": "refund"}), result(tool_result("done")), headers=TOOL)


def built(request: Mapping[str, Any], **settings: Any) -> BackendEvent | None:
    chosen = OtasSettings(**settings)
    envelope = build(exchange(**request), chosen, Selection(chosen))
    return None if envelope is None else envelope.event


def headed(**headers: str) -> dict[str, Any]:
    """Return the claims of a request with these headers (`_` stands for `-`)."""
    pairs = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    agent: dict[str, Any] = event_of(exchange(request_headers=pairs)).metadata.get("agent", {})
    return agent


def test_an_exception_is_told_before_what_the_protocol_says() -> None:
    event = event_of(exchange(**dict(FAILED, error=ValueError("bad id"))))
    assert event.error == "ValueError: bad id"
    assert event.metadata["operation"]["outcome"] == "error"


def test_a_status_is_an_error_although_the_body_says_nothing() -> None:
    event = event_of(exchange(**dict(WELL, status=503)))
    assert event.error == "503 Service Unavailable"
    assert event.metadata["operation"]["outcome"] == "error"


def test_the_name_that_headers_tell_is_there_without_bodies() -> None:
    event = built(FAILED, capture_request_body=False, capture_response_body=False)
    assert event is not None
    assert event.error == ""
    operation = event.metadata["operation"]
    assert operation["name"] == "tools/call refund"
    assert operation["outcome"] == "unknown"


@pytest.mark.parametrize(("revision", "outcome"), [("2026-07-28", "cancelled"), ("2025-11-25", "unknown")])
def test_an_ended_connection_cancels_a_call_where_the_revision_says_so(revision: str, outcome: str) -> None:
    capture = Capture(lambda _: None, SESSION, limit=65_536, with_traceback=False)
    capture.method, capture.path = "POST", "/mcp"
    capture.request_headers = [
        (name.encode(), value.encode()) for name, value in {**TOOL, "mcp-protocol-version": revision}.items()
    ]
    capture.request.add(json.dumps(call("tools/call", {"name": "refund"})).encode())
    capture.started(200, [(b"content-type", SSE.encode())])
    capture.sent(sse({"jsonrpc": "2.0", "method": "notifications/progress"}))
    capture.disconnected = True
    capture.finish()
    event = event_of(capture)
    assert event.metadata["operation"]["outcome"] == outcome
    assert event.error == ""


def test_the_trace_of_the_envelope_is_the_events_where_no_header_names_one() -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    request = post(call("ping", {"_meta": {**ENVELOPE, "traceparent": trace}}), result({}), headers=MODERN)
    assert event_of(exchange(**request)).metadata["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    request["request_headers"] += (("traceparent", trace.replace("4b", "5b")),)
    assert event_of(exchange(**request)).metadata["trace_id"] == "5bf92f3577b34da6a3ce929d0e0e4736"


def test_long_lived_streams_are_marked_and_their_life_is_no_latency() -> None:
    listen = call("subscriptions/listen", {"_meta": ENVELOPE})
    watch = {"query": "subscription Watch { orders }"}
    parts = b'\r\n--graphql\r\n\r\n{"payload": {"data": {"orders": 1}}}\r\n--graphql--\r\n'
    for request in (
        post(watch, sse({"data": {"orders": 1}}, name="next"), response_type=SSE),
        post(watch, parts, response_type="multipart/mixed; boundary=graphql"),
        post(listen, sse({}), headers=MODERN, response_type=SSE),
        post(None, sse("data: tick\n\n"), method="GET", response_type=SSE, request_type=None),
        post(None, None, headers=LEGACY, method="GET", response_type=SSE, request_type=None),
        post(None, "2", method="GET", path="/socket.io/", query=b"EIO=4&transport=polling&sid=x", request_type=None),
    ):
        capture = exchange(**request)
        capture._started, capture._end = capture._t0 + 0.25, capture._t0 + 1800.0
        event = event_of(capture)
        assert event.latency_ms == pytest.approx(250.0)
        assert event.metadata["stream"]["long_lived"] is True
        assert event.metadata["stream"]["duration_ms"] == pytest.approx(1_800_000.0)


def test_every_other_stream_keeps_its_latency_to_the_last_byte() -> None:
    capture = exchange(**post({"prompt": "hi"}, sse("data: [DONE]\n\n"), response_type=SSE))
    capture._started, capture._end = capture._t0 + 0.25, capture._t0 + 30.0
    event = event_of(capture)
    assert event.latency_ms == pytest.approx(30_000.0)
    assert "long_lived" not in event.metadata["stream"]


@pytest.mark.parametrize("ignored", ["tools/call refund", "tools/call", "tools/*", "ping, tools/call*"])
def test_ignored_operations_are_left_out_by_name_or_method(ignored: str) -> None:
    assert built(WELL, ignore_operations=ignored) is None
    assert built(post({"a": 1}, {}), ignore_operations=ignored) is not None


def test_other_operations_are_not_ignored() -> None:
    assert built(WELL, ignore_operations="tools/list, ping, tools/call add") is not None


def test_a_failed_operation_of_a_session_that_is_not_sampled_is_kept() -> None:
    settings = OtasSettings(session_sample_rate=0)
    selection = Selection(settings)
    kept = [exchange(**request) for request in (FAILED, WELL)]
    for capture in kept:
        capture.sampled_out = True
    envelopes = [build(capture, settings, selection) for capture in kept]
    assert [envelope is not None for envelope in envelopes] == [True, False]
    assert selection.skipped == Counter(sampled_out=1)


def test_before_send_sees_the_operation_and_may_change_it() -> None:
    seen: list[dict[str, Any]] = []

    def rename(event: BackendEvent) -> BackendEvent:
        seen.append(dict(event.metadata["operation"]))
        event.metadata["operation"]["target"] = "other"
        return event

    request = dict(WELL)
    request["request_headers"] += (("mcp-session-id", "abc"),)
    event = built(request, before_send=rename)
    assert event is not None
    assert seen[0]["name"] == "tools/call refund"
    assert event.metadata["operation"]["target"] == "other"
    assert event.metadata["operation"]["session"] == "ba7816bf8f01cfea"


def read_thrift(exchange: Exchange) -> Operation | None:
    """A user's own protocol."""
    if exchange.request_media != "application/x-thrift":
        return None
    operation = Operation("thrift", exchange.request_text.partition(":")[0])
    if exchange.response_text.startswith("exception"):
        operation.fail("TException", exchange.response_text)
    return operation


def read_nothing(exchange: Exchange) -> Operation | None:
    raise RuntimeError("a reader that fails")


def test_a_protocol_of_the_users_own_is_asked_first() -> None:
    request = post("getUser:1", "exception: no", request_type="application/x-thrift")
    event = built(request, operation_protocols=(read_thrift,))
    assert event is not None
    assert event.metadata["operation"]["name"] == "getUser"
    assert event.error == "thrift TException: exception: no"


def test_a_protocol_that_fails_costs_the_operation_and_not_the_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "behaviour", replace(runtime.behaviour, reraise=False))
    event = built(post({"a": 1}, {}), operation_protocols=(read_nothing,))
    assert event is not None
    assert "operation" not in event.metadata


@pytest.mark.parametrize(
    "given",
    [
        "getUser",
        {"protocol": "thrift"},
        True,
        Operation("thrift", name=cast("Any", 5)),
        Operation("thrift", message=cast("Any", None)),
        Operation("thrift", code=cast("Any", object())),
        Operation("thrift", id=10**400),
        Operation("thrift", count=cast("Any", "3")),
        Operation("thrift", outcome=cast("Any", "broken")),
        Operation("thrift", client={"\x00": "a"}),
        Operation("thrift", client=cast("Any", {"name": 5})),
        Operation("thrift", items=[cast("Any", None)]),
        Operation("thrift", items=[Operation("thrift")] * 30 + [cast("Any", "x")]),
    ],
)
def test_a_protocol_that_returns_what_is_no_operation_costs_the_operation_and_not_the_event(
    given: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "behaviour", replace(runtime.behaviour, reraise=False))
    event = built(post({"a": 1}, {}), operation_protocols=(giving(given),))
    assert event is not None
    assert "operation" not in event.metadata


def test_a_session_id_of_a_protocol_becomes_a_fingerprint() -> None:
    for session in ("s3cret\x00", fingerprint("s3cret\x00")):
        event = built(post({"a": 1}, {}), operation_protocols=(giving(Operation("x", session=session)),))
        assert event is not None
        assert event.metadata["operation"]["session"] == fingerprint("s3cret\x00")


def giving(operation: Any) -> Callable[[Exchange], Any]:
    """Return a protocol that recognises everything."""
    return lambda _: operation


def test_who_the_caller_says_it_is_comes_from_its_headers_and_from_its_envelope() -> None:
    assert headed(user_agent="python-httpx2/2.16.2") == {"user_agent": "python-httpx2"}
    assert headed(user_agent="Mozilla/5.0 (compatible; Claude-User/1.0; +x)") == {"user_agent": "Claude-User"}
    assert headed(
        signature_agent='"https://signature-agent.test/dir?x=1"',
        signature_input='sig1=("@authority");created=1;keyid="poqkLGiymh_W0uP6PZFw-dvez3QJT5SolqXBCW38r0U";tag="web-bot-auth"',
    ) == {
        "bot": "https://signature-agent.test/dir",
        "bot_keyid": "poqkLGiymh_W0uP6PZFw-dvez3QJT5SolqXBCW38r0U",
        "bot_tag": "web-bot-auth",
    }
    assert headed(
        signature_input='px=("@method");keyid="px";tag="edge", a=("@authority");created=1;keyid="k2";tag="web-bot-auth"'
    ) == {"bot_keyid": "k2", "bot_tag": "web-bot-auth"}
    assert headed(signature_input='a=("@method");keyid="k1", b=("@method");tag="edge"') == {"bot_keyid": "k1"}
    assert headed(ucp_agent='profile="https://agent.example/p.json"') == {"ucp_profile": "https://agent.example/p.json"}
    assert headed(a2a_version="1.0") == {"a2a_version": "1.0"}
    assert headed(x_payment="eyJ4NDAyVmVyc2lvbiI6MSwic2NoZW1lIjoiZXhhY3QiLCJwYXlsb2FkIjp7fX0=") == {"payment": "exact"}
    assert headed(payment_signature="!!") == {"payment": "unknown"}
    request = post(call("ping", {"_meta": ENVELOPE}), result({}), headers=MODERN)
    assert event_of(exchange(**request)).metadata["agent"] == {"name": "shopper", "version": "3.1"}


def test_the_end_of_a_response_decides_when_the_beginning_does_not() -> None:
    progress = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"message": "x" * 900}}
    stream = sse(*[progress] * 50, result(tool_result("broke", isError=True)))
    request = post(call("tools/call", {"name": "refund"}), stream, headers=TOOL, response_type=SSE, limit=4_096)
    event = event_of(exchange(**request))
    assert event.metadata["operation"]["outcome"] == "error"
    assert event.error == "mcp tool_error: broke"
    assert len(event.response_body) <= 4_096


def test_a_body_that_ends_soon_after_its_beginning_is_read_whole() -> None:
    answer = result(tool_result("x" * 5_000, isError=True))
    request = post(call("tools/call", {"name": "refund"}), answer, headers=TOOL, limit=4_096)
    assert event_of(exchange(**request)).metadata["operation"]["outcome"] == "error"


def test_what_was_cut_before_it_decides_is_unknown_and_no_failure() -> None:
    answer = result(tool_result("x" * 90_000, isError=True, structuredContent={"text": "y" * 90_000}))
    request = post(call("tools/call", {"name": "refund"}), answer, headers=TOOL)
    event = event_of(exchange(**request))
    assert event.metadata["operation"]["outcome"] == "unknown"
    assert event.error == ""


def test_an_error_at_the_beginning_of_a_body_that_was_cut_decides() -> None:
    answer = {**error(-32603, "broke"), "rest": "x" * 200_000}
    event = event_of(exchange(**post(call("add"), answer)))
    assert event.error == "json-rpc -32603: broke"


@pytest.mark.parametrize(("is_error", "outcome"), [(True, "error"), (False, "ok"), ("no", "ok")])
def test_the_end_of_a_long_json_answer_decides(is_error: object, outcome: str) -> None:
    text = 'x" , ],"isError": true}} \\' * 9_000  # text that looks like the end of an answer
    answer = result(tool_result(text, isError=is_error, resultType="complete"))
    event = event_of(exchange(**post(call("tools/call", {"name": "refund"}), answer, headers=TOOL)))
    assert event.metadata["operation"]["outcome"] == outcome
    assert bool(event.error) == (outcome == "error")


def test_errors_after_long_data_decide() -> None:
    answer = {"data": {"text": "x" * 100_000}, "errors": [{"message": "half"}]}
    event = event_of(exchange(**post({"query": "query Orders { text }"}, answer)))
    assert event.error == "graphql: half"
    assert event.metadata["operation"]["outcome"] == "partial"


def test_long_data_without_errors_in_sight_is_unknown() -> None:
    event = event_of(exchange(**post({"query": "query Orders { text }"}, {"data": {"text": "x" * 100_000}})))
    assert event.metadata["operation"]["outcome"] == "unknown"


@pytest.mark.parametrize(("is_error", "outcome"), [(True, "error"), (False, "ok")])
def test_the_end_of_a_last_event_that_is_longer_than_what_is_kept_decides(is_error: bool, outcome: str) -> None:
    stream = sse(
        {"jsonrpc": "2.0", "method": "notifications/progress"}, result(tool_result("x" * 90_000, isError=is_error))
    )
    request = post(call("tools/call", {"name": "refund"}), stream, headers=TOOL, response_type=SSE)
    assert event_of(exchange(**request)).metadata["operation"]["outcome"] == outcome


GRPC_OK, GRPC_MISSING = b"grpc-status:0\r\n", b"grpc-status:5\r\ngrpc-message:no\r\n"


@pytest.mark.parametrize(
    ("kind", "coded", "last", "outcome"),
    [
        ("application/grpc-web", False, frame(0x80, GRPC_OK), "ok"),
        ("application/grpc-web+proto", False, frame(0x80, GRPC_MISSING), "error"),
        ("application/grpc-web-text", True, frame(0x80, GRPC_MISSING), "error"),
        ("application/connect+json", False, frame(2, b"{}"), "ok"),
        ("application/connect+proto", False, frame(2, b'{"error": {"code": "aborted"}}'), "error"),
    ],
)
@pytest.mark.parametrize("size", [90_000, 90_001, 90_002, 90_003])
def test_the_last_frame_of_a_long_stream_decides(kind: str, coded: bool, last: bytes, outcome: str, size: int) -> None:
    body = frame(0, b"\x80\x00\x02" * (size // 3) + b"x" * (size % 3)) + last
    request = post(None, base64_of(body) if coded else body, path="/a.B/C", request_type=kind, response_type=kind)
    assert event_of(exchange(**request)).metadata["operation"]["outcome"] == outcome


def test_a_session_that_is_not_sampled_leaves_its_failed_operations_only(otas_events: RecordedEvents) -> None:
    async def answer(request: Request) -> JSONResponse:
        asked = await request.json()
        outcome = {"error": {"code": 1, "message": "no"}} if asked["method"] == "broken" else {"result": 1}
        return JSONResponse({"jsonrpc": "2.0", "id": asked["id"], **outcome})

    app = Starlette(routes=[Route("/rpc", answer, methods=["POST"])])
    app.add_middleware(OtasMiddleware, session_sample_rate=0.0)
    client = TestClient(app, headers=otas_events.headers)
    for method in ("add", "broken", "add"):
        client.post("/rpc", json=call(method))
    assert [event.metadata["operation"]["name"] for event in otas_events] == ["broken"]


def test_the_header_names_the_tool_that_a_long_body_does_not() -> None:
    params = {"arguments": {"text": "x" * 90_000}, "name": "refund"}
    event = event_of(exchange(**post(call("tools/call", params), result(tool_result("done")), headers=TOOL)))
    assert event.metadata["operation"]["name"] == "tools/call refund"
    assert event.metadata["operation"]["outcome"] == "ok"
