"""Nothing secret leaves with what is taken out of the bodies: names, messages, arguments, claims."""

from __future__ import annotations

import json
from typing import Any

import pytest

from events.exchange import event_of, exchange, posted
from operations.wire import (
    ENVELOPE,
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
from otas_middleware._delivery.destinations.agnost import event_body, session_body
from otas_middleware._event.build import build

KEY = "sk_live_zq7xkv9wjh3yfb5tabcdef0123"
PLAIN = "zq7xkv9wjh3yfb5t"
LABELLED = f"password={PLAIN}"


def unchanged(event: BackendEvent) -> BackendEvent:
    return event


def tool(arguments: object = None, **more: Any) -> dict[str, Any]:
    params = {"name": "refund", "arguments": arguments or {}, "_meta": ENVELOPE, **more}
    return call("tools/call", params)


TOOL = {**MODERN, "mcp-method": "tools/call", "mcp-name": "refund"}
FAULT = (
    '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault><faultcode>{0}</faultcode>'
    "<faultstring>{1}</faultstring></s:Fault></s:Body></s:Envelope>"
)


def named(value: str) -> dict[str, Any]:
    return {**ENVELOPE, "io.modelcontextprotocol/clientInfo": {"name": value, "version": value}}


PLACES: dict[str, dict[str, Any]] = {
    "an argument": post(tool({"note": KEY}), result(tool_result("ok")), headers=TOOL),
    "an argument by its name": post(tool({"api_token": PLAIN}), result(tool_result("ok")), headers=TOOL),
    "an argument of a tool, mirrored in a header": post(
        tool(), result({}), headers={**TOOL, "mcp-param-note": f"=?base64?{base64_of(KEY.encode()).decode()}?="}
    ),
    "a name in a header": post(None, {}, headers={**MODERN, "mcp-method": "tools/call", "mcp-name": KEY}, status=400),
    "a name in a header, encoded": post(
        None,
        {},
        headers={**MODERN, "mcp-method": "tools/call", "mcp-name": f"=?base64?{base64_of(KEY.encode()).decode()}?="},
    ),
    "a tool's name": post(call("tools/call", {"name": KEY}), result(tool_result("no", isError=True)), headers=MODERN),
    "a resource's URI": post(call("resources/read", {"uri": f"db://x?{LABELLED}"}), result({}), headers=MODERN),
    "a method": post(call(KEY), error(1, "no")),
    "an id": post(call("add", number=KEY), error(1, "no", number=KEY)),
    "a client's name": post(tool(_meta=named(KEY)), result({}), headers=TOOL),
    "a tool's failure": post(tool(), result(tool_result(f"refused {KEY}", isError=True)), headers=TOOL),
    "a tool's failure, labelled": post(tool(), result(tool_result(f"refused {LABELLED}", isError=True)), headers=TOOL),
    "a failure whose message is JSON": post(tool(), error(-32000, json.dumps({"password": PLAIN})), headers=TOOL),
    "a failure in a stream": post(tool(), sse(error(-32603, KEY)), headers=TOOL, response_type=SSE),
    "a failure in the end of a long stream": post(
        tool(), sse(*[{"method": "x" * 900}] * 80, error(-32603, KEY)), headers=TOOL, response_type=SSE, limit=4_096
    ),
    "a code": post(call("add"), {"jsonrpc": "2.0", "id": 1, "error": {"code": KEY, "message": "no"}}),
    "GraphQL's message": post({"query": "query A { a }"}, {"errors": [{"message": KEY}]}),
    "GraphQL's code": post({"query": "query A { a }"}, {"errors": [{"message": "", "extensions": {"code": KEY}}]}),
    "GraphQL's operation": post({"documentId": "x", "operationName": KEY}, {"data": {}}),
    "an item of a batch": post([call(KEY)], [error(1, "no")]),
    "gRPC-web's message": post(
        None,
        frame(0x80, f"grpc-status:5\r\ngrpc-message:{KEY}\r\n".encode()),
        path="/a.B/C",
        request_type="application/grpc-web",
        response_type="application/grpc-web",
    ),
    "Connect's message": post(
        {}, {"code": KEY, "message": KEY}, status=404, path="/a.B/C", headers={"connect-protocol-version": "1"}
    ),
    "SOAP's fault": post(
        FAULT.format("x", ""), FAULT.format(KEY, KEY), request_type="text/xml", response_type="text/xml"
    ),
    "SOAP's action": post("", "", request_type="text/xml", headers={"soapaction": KEY}),
    "an error's event": post({}, sse({"error": {"message": KEY, "code": KEY}}), response_type=SSE),
    "the message in a batch": post(
        {"requests": []}, {"responses": [{"status": 500, "body": {"error": {"message": KEY}}}]}, path="/$batch"
    ),
    "an agent's address": post({}, {}, headers={"signature-agent": f'"https://user:{PLAIN}@agent.example/"'}),
    "a key id": post({}, {}, headers={"signature-input": f'a=("x");keyid="{KEY}";tag="web-bot-auth"'}),
    "a payment": post(
        {}, {}, headers={"x-payment": base64_of(json.dumps({"scheme": KEY, "payload": KEY}).encode()).decode()}
    ),
    "a profile": post({}, {}, headers={"ucp-agent": f'profile="https://a.example/{KEY}"'}),
    "a product": post({}, {}, headers={"user-agent": KEY}),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_secret_in_any_place_never_arrives(place: str) -> None:
    capture = exchange(**PLACES[place])
    sent = posted(capture)
    assert PLAIN.encode() not in sent
    envelope = build(capture, OtasSettings())
    assert envelope is not None
    assert PLAIN not in json.dumps([event_body(envelope), session_body(envelope)])


@pytest.mark.parametrize("place", PLACES)
def test_nor_does_it_after_before_send(place: str) -> None:
    settings = OtasSettings(before_send=unchanged)
    assert PLAIN.encode() not in event_of(exchange(**PLACES[place]), settings).to_json()


def test_values_of_the_protocols_headers_are_recorded_decoded() -> None:
    region = base64_of("São Paulo".encode()).decode()
    event = event_of(exchange(**post(tool(), result({}), headers={**TOOL, "mcp-param-region": f"=?base64?{region}?="})))
    assert json.loads(event.request_headers)["mcp-param-region"] == "São Paulo"


def test_what_is_no_secret_stays_readable() -> None:
    headers = {
        **TOOL,
        "mcp-session-id": "abc",
        "signature-input": 'a=();keyid="poqkLGiymh_W0uP6PZFw";tag="web-bot-auth"',
    }
    request = post(tool({"order_id": 7}), result(tool_result("no such order 7", isError=True)), headers=headers)
    for settings in (OtasSettings(), OtasSettings(before_send=unchanged)):
        event = event_of(exchange(**request), settings)
        assert "[REDACTED]" not in json.dumps([event.metadata["operation"], event.metadata["agent"], event.error])
        assert event.metadata["operation"]["session"] == "ba7816bf8f01cfea"


def test_what_pays_is_masked_whole() -> None:
    payment = base64_of(
        json.dumps({"scheme": "exact", "payload": {"authorization": {"nonce": "0x1"}}}).encode()
    ).decode()
    for name in ("X-PAYMENT", "PAYMENT-SIGNATURE"):
        event = event_of(exchange(**post({}, {}, headers={name: payment})))
        assert json.loads(event.request_headers)[name.lower()] == "[REDACTED]"
        assert event.metadata["agent"] == {"payment": "exact"}
