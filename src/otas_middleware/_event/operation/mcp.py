"""The Model Context Protocol over HTTP, revisions 2024-11-05 to 2026-07-28."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from otas_middleware._capture.session import fingerprint
from otas_middleware._event.operation import json_rpc
from otas_middleware._event.operation.exchange import as_list, as_object, as_text
from otas_middleware._event.operation.model import Operation, Outcome
from otas_middleware._event.render import first_value

if TYPE_CHECKING:
    from otas_middleware._event.operation.exchange import Exchange
    from otas_middleware._event.render import HeaderMap

_NEITHER: dict[object, Outcome] = {-32800: "cancelled", -32042: "input_required"}
"""Codes of errors that are none: the client's leaving, and a page that the user has to visit first (2025-11-25)."""
_LAST_WITH_SESSIONS = "2025-11-25"
_HEADERS = frozenset(("mcp-method", "mcp-session-id", "mcp-protocol-version"))
_PREFIX = "io.modelcontextprotocol/"
_TOO_LITTLE = 256
"""Characters of an answer within which it says that it is JSON-RPC."""

# Up to 2025-03-26 a request need not carry a header of the protocol; these methods are known by their names alone.
_NAMES = (
    "tools/list tools/call resources/list resources/templates/list resources/read resources/subscribe "
    "resources/unsubscribe prompts/list prompts/get completion/complete logging/setLevel sampling/createMessage "
    "elicitation/create roots/list server/discover subscriptions/listen notifications/initialized "
    "notifications/cancelled notifications/progress notifications/message notifications/roots/list_changed"
)
_METHODS = frozenset(_NAMES.split())
_TYPES = {"tools/call": "tool", "resources/read": "resource", "prompts/get": "prompt"}


def read(exchange: Exchange) -> Operation | None:
    """Recognise `Mcp-Method`, JSON-RPC with the protocol's headers, handshake or method names, and its first stream."""
    headers = exchange.request_headers
    calls = exchange.calls
    declared = not _HEADERS.isdisjoint(headers)
    if not (calls or declared):
        return _stream_of_all_answers(exchange)
    has_method = "mcp-method" in headers
    has_session = "mcp-session-id" in headers
    if calls and (declared or _is_known(calls[0])):
        operation = json_rpc.read_calls(exchange, _describe, _judge)
        if not operation.target and has_method:  # a body that was cut before it
            _set_target(operation, decode_header(exchange.header("mcp-name")))
    elif has_method and exchange.method == "POST" and _may_be_call(exchange):
        operation = _named(exchange.header("mcp-method"), decode_header(exchange.header("mcp-name")))
        _judge_by_answer(operation, exchange)
    elif declared and not calls:
        without_method = _without_method(exchange, has_session=has_session)
        if without_method is None:
            return None
        operation = without_method
    else:
        return None
    if not operation.is_error:
        json_rpc.judge_refusal(operation, exchange, _judge)
    _complete(operation, exchange)
    return operation


def decode_header(value: str) -> str:
    """Return a header value with the protocol's own encoding undone: `=?base64?…?=` holds UTF-8."""
    if not (value.startswith("=?base64?") and value.endswith("?=")):
        return value
    try:
        return base64.b64decode(value[9:-2], validate=True).decode()
    except ValueError:
        return value


def decode_headers(headers: HeaderMap) -> None:
    """Undo the protocol's own encoding of its headers, in place."""
    for name, value in headers.items():
        if isinstance(value, str) and value.startswith("=?") and name.startswith("mcp-"):
            headers[name] = decode_header(value)


def _may_be_call(exchange: Exchange) -> bool:
    """Say whether bodies that hold no call allow for one: bridges hand the headers on to routes that know no MCP."""
    if exchange.request.text and exchange.request_whole:
        return json_rpc.Responses(exchange).refusal is not None  # what was sent could not be read
    answer = exchange.response_text
    too_little = not exchange.response_whole and len(answer) < _TOO_LITTLE
    return exchange.failed or not answer or too_little or '"jsonrpc"' in answer


def _is_known(call: dict[str, Any]) -> bool:
    method = call["method"]
    if method == "initialize":  # the Language Server Protocol has one too, without a version
        return isinstance(as_object(call.get("params")).get("protocolVersion"), str)
    return method in _METHODS


def _describe(call: dict[str, Any]) -> Operation:
    params = as_object(call.get("params"))
    operation = _named(call["method"], as_text(params.get("name")) or as_text(params.get("uri")))
    operation.id = json_rpc.call_id(call)
    meta = as_object(params.get("_meta"))
    operation.version = as_text(meta.get(_PREFIX + "protocolVersion")) or as_text(params.get("protocolVersion"))
    operation.traceparent = as_text(meta.get("traceparent"))
    info = as_object(meta.get(_PREFIX + "clientInfo") or params.get("clientInfo"))
    operation.client = {key: text for key in ("name", "version") if (text := as_text(info.get(key)))} or None
    return operation


def _named(method: str, target: str) -> Operation:
    operation = Operation("mcp", method, method=method, type=_TYPES.get(method, ""))
    operation.long_lived = method == "subscriptions/listen"
    _set_target(operation, target)
    return operation


def _set_target(operation: Operation, target: str) -> None:
    """Note what the method is applied to; a resource's URI is no part of the name."""
    if target and operation.method in {"tools/call", "prompts/get"}:
        operation.name = f"{operation.method} {target}"
    if operation.type or operation.method.startswith("resources/"):
        operation.target = target


def _without_method(exchange: Exchange, *, has_session: bool) -> Operation | None:
    """Return what a request without a call is: the session's stream, its end, or an answer to the server's request."""
    streams = exchange.response_media == "text/event-stream"
    if exchange.method == "GET" and (streams or has_session):
        operation = Operation("mcp", "GET stream", type="stream", outcome="unknown" if exchange.failed else "ok")
        if "last-event-id" in exchange.request_headers:  # of the call whose stream is resumed
            _judge_by_answer(operation, exchange)
        return operation
    if exchange.method == "DELETE" and has_session:
        return Operation("mcp", "DELETE session", type="session", outcome="ok")
    messages = as_list(exchange.request_json) or [exchange.request_json]
    message = as_object(messages[0])
    if exchange.method == "POST" and message.get("jsonrpc") == "2.0" and ("result" in message or "error" in message):
        return Operation("mcp", "response", type="response", id=json_rpc.call_id(message), outcome="ok")
    unknown = not exchange.request.text or (not exchange.request_whole and _may_be_call(exchange))
    if exchange.method == "POST" and unknown and has_session:
        operation = Operation("mcp")  # too little is recorded, and this revision's headers do not name the call
        _judge_by_answer(operation, exchange)
        return operation
    return json_rpc.read_refusal(exchange, "mcp", _judge)


def _judge_by_answer(operation: Operation, exchange: Exchange) -> None:
    """Decide by the last response, where nothing of the call but that there is one is known."""
    response = json_rpc.Responses(exchange).to({})
    if response is not None:
        operation.id = json_rpc.call_id(response)
        _judge(operation, response)


def _stream_of_all_answers(exchange: Exchange) -> Operation | None:
    """Return what the stream of a session is in 2024-11-05, which begins with the address for its calls.

    The answers to all of them come in it, and nowhere else.
    """
    if exchange.method != "GET" or not exchange.events or exchange.events[0].name != "endpoint":
        return None
    operation = Operation("mcp", "GET stream", type="stream", outcome="ok")
    items = [json_rpc.answered("mcp", response, _judge) for response in json_rpc.Responses(exchange).all]
    operation.hold(items)
    return operation


def _complete(operation: Operation, exchange: Exchange) -> None:
    """Add what headers and the way in which the exchange ended tell."""
    operation.version = exchange.header("mcp-protocol-version") or operation.version
    session = exchange.header("mcp-session-id")
    if not session and operation.method == "initialize":
        session = first_value(exchange.response_headers, "mcp-session-id")
    if session:
        operation.session = fingerprint(session)
    if operation.outcome == "unknown" and exchange.aborted and (not exchange.failed or exchange.status == 499):
        # Since 2026-07-28 a client cancels by closing the connection; until then that said nothing.
        operation.outcome = "cancelled" if operation.version > _LAST_WITH_SESSIONS else "unknown"


def _judge(operation: Operation, response: dict[str, Any]) -> None:
    json_rpc.judge(operation, response)
    if operation.is_error:
        operation.outcome = _NEITHER.get(operation.code, operation.outcome)
        return
    result = as_object(response.get("result"))
    if result.get("isError") is True:
        operation.fail("tool_error", json_rpc.text_of(result.get("content")))
    elif result.get("resultType") == "input_required":
        operation.outcome = "input_required"
    else:
        _judge_task(operation, result)


def _judge_task(operation: Operation, result: dict[str, Any]) -> None:
    """Decide by the status of a task, where the result is one: asked for by `tasks/…`, or the handle of a new one."""
    is_task = operation.method.startswith("tasks/") or result.get("resultType") == "task"
    task = result if is_task else as_object(result.get("task"))
    status, ended_with = task.get("status"), as_object(task.get("result"))
    if ended_with.get("isError") is True:
        operation.fail("tool_error", json_rpc.text_of(ended_with.get("content")))
    elif status == "failed":
        message = as_text(task.get("statusMessage")) or as_text(as_object(task.get("error")).get("message"))
        operation.fail("task_failed", message)
    elif status == "cancelled" and operation.method != "tasks/cancel":
        operation.outcome = "cancelled"
    elif status == "input_required":
        operation.outcome = "input_required"
