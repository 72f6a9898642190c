"""Valid traffic of each protocol, and traffic that only looks like it: a request, its answer, and what to record."""

from __future__ import annotations

import base64
import json
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from events.exchange import exchange

if TYPE_CHECKING:
    from otas_middleware._capture import Capture

JSON = "application/json"
SSE = "text/event-stream"
MODERN = {"mcp-protocol-version": "2026-07-28"}
LEGACY = {"mcp-protocol-version": "2025-11-25", "mcp-session-id": "e4bbb7e60a1e4be08fe721eacaa63b73"}
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "shopper", "version": "3.1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


class Row(NamedTuple):
    """One exchange and what must be recorded of it; `operation` None: no operation, and no error but the status."""

    title: str
    request: dict[str, Any]
    operation: dict[str, Any] | None
    error: str = ""


def post(body: object = None, answer: object = None, **more: Any) -> dict[str, Any]:
    """Return a POST of JSON that is answered with JSON (a string or bytes as they are)."""
    headers = more.pop("headers", {})
    return {
        "request_body": encoded(body),
        "request_type": JSON,
        "response_body": encoded(answer),
        "response_type": JSON,
        "request_headers": tuple(headers.items()),
        **more,
    }


def sse(*events: object, name: str = "message") -> bytes:
    """Return an event stream of JSON events; a string is an event as it stands."""
    blocks = [
        event if isinstance(event, str) else f"event: {name}\r\ndata: {json.dumps(event)}\r\n\r\n" for event in events
    ]
    return "".join(blocks).encode()


def call(method: str, params: object = None, number: object = 1) -> dict[str, Any]:
    message: dict[str, Any] = {"jsonrpc": "2.0", "id": number, "method": method}
    if params is not None:
        message["params"] = params
    return message


def result(value: object, number: object = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "result": value}


def error(code: int, text: str, number: object = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": text}}


def tool_result(text: str, **more: object) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], **more}


def frame(flags: int, payload: bytes) -> bytes:
    return struct.pack(">BI", flags, len(payload)) + payload


def base64_of(data: bytes) -> bytes:
    return base64.b64encode(data)


def encoded(body: object) -> bytes:
    if body is None:
        return b""
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def captured(row: Row) -> Capture:
    """Return the capture of a row's exchange."""
    return exchange(**row.request)
