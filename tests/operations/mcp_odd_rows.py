"""Traffic of MCP that is long, cut or refused, or of which only a part is recorded."""

from __future__ import annotations

import gzip
import json

from operations.mcp_rows import ADD, LONG, PROGRESS, TOOL
from operations.wire import (
    LEGACY,
    MODERN,
    SSE,
    Row,
    call,
    error,
    post,
    result,
    sse,
    tool_result,
)

MCP_ODD = [
    Row(
        "a long answer that says at its beginning that it failed",
        post(call("tools/call", ADD), result({"isError": True, **tool_result("x" * 200_000)}), headers=TOOL),
        {"name": "tools/call add", "outcome": "error", "code": "tool_error"},
        "mcp tool_error",
    ),
    Row(
        "a call whose client cancelled it before there was an answer, as it does since 2026-07-28",
        post(call("tools/call", ADD), headers=TOOL, status=0),
        {"name": "tools/call add", "outcome": "cancelled"},
    ),
    Row(
        "a call of before whose client went before there was an answer",
        post(call("tools/call", ADD), headers=LEGACY, status=0),
        {"name": "tools/call add", "outcome": "error"},
        "499 Client Closed Request",
    ),
    Row(
        "the error of a server that lost the session has no id",
        post(
            call("tools/list"),
            {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "Session not found"}},
            headers=LEGACY,
            status=404,
        ),
        {"name": "tools/list", "outcome": "error", "code": -32600},
        "mcp -32600: Session not found",
    ),
    Row(
        "a name in the protocol's own encoding, of a body that is no call",
        post(
            "", None, headers={**MODERN, "mcp-method": "tools/call", "mcp-name": "=?base64?cmVmdW5kw6k=?="}, status=400
        ),
        {"name": "tools/call refundé", "outcome": "error"},
        "400 Bad Request",
    ),
    Row(
        "a long call of the TypeScript SDK, which writes version and id last",
        post(
            {"method": "tools/call", "params": LONG, "jsonrpc": "2.0", "id": 7},
            result(tool_result("broke", isError=True), number=7),
            headers=LEGACY,
        ),
        {"name": "tools/call add", "outcome": "error"},
        "mcp tool_error: broke",
    ),
    Row(
        "a long call that was answered over a stream, its id last",
        post(
            {"jsonrpc": "2.0", "method": "tools/call", "params": LONG, "id": 7},
            sse(PROGRESS, result(tool_result("3"), number=7)),
            headers=LEGACY,
            response_type=SSE,
        ),
        {"name": "tools/call add", "outcome": "ok"},
    ),
    Row(
        "a long answer with version and id at its end",
        post(
            call("tools/call", ADD),
            {"result": tool_result("x" * 90_000, isError=True), "jsonrpc": "2.0", "id": 1},
            headers=TOOL,
        ),
        {"outcome": "error", "code": "tool_error"},
        "mcp tool_error",
    ),
    Row(
        "a notification that was refused",
        post(
            {"jsonrpc": "2.0", "method": "notifications/initialized"},
            error(-32600, "Session not found", number=None),
            headers=LEGACY,
            status=404,
        ),
        {"name": "notifications/initialized", "outcome": "error", "code": -32600},
        "mcp -32600: Session not found",
    ),
    Row(
        "a session's stream that was refused",
        post(None, error(-32000, "Method not allowed.", number=None), headers=LEGACY, method="GET", status=405),
        {"name": "GET stream", "outcome": "error", "code": -32000},
        "mcp -32000: Method not allowed.",
    ),
    Row(
        "a call in a session that is lost, answered under an id of the server's own, as mcp 1 does",
        post(call("tools/call", ADD), error(-32600, "Session not found", number="server-error"), status=404),
        {"name": "tools/call add", "outcome": "error", "code": -32600},
        "mcp -32600: Session not found",
    ),
    Row(
        "a body that is no JSON",
        post(b'{"jsonrpc":', error(-32700, "Parse error", number=None), headers=LEGACY, status=400),
        {"protocol": "mcp", "outcome": "error", "code": -32700},
        "mcp -32700: Parse error",
    ),
    Row(
        "a body that is no call, before which the headers name one",
        post({}, error(-32600, "Invalid Request", number=None), headers=TOOL),
        {"name": "tools/call add", "outcome": "error", "code": -32600},
        "mcp -32600: Invalid Request",
    ),
    Row(
        "a compressed answer that says far behind what is recorded that it failed",
        post(
            call("tools/call", ADD),
            gzip.compress(json.dumps(result(tool_result("no " * 50_000, isError=True))).encode()),
            headers=TOOL,
            response_coding="gzip",
            limit=16_384,
        ),
        {"outcome": "error", "code": "tool_error"},
        "mcp tool_error: " + ("no " * 334)[:999] + "…",
    ),
    Row(
        "a last event that no blank line follows",
        post(
            call("tools/call", ADD),
            b"event: message\ndata: " + json.dumps(result(tool_result("no", isError=True))).encode() + b"\n",
            headers=LEGACY,
            response_type=SSE,
        ),
        {"outcome": "error"},
        "mcp tool_error: no",
    ),
    Row(
        "a long event that says at its beginning that it failed",
        post(
            call("tools/call", LONG),
            sse(PROGRESS, {"jsonrpc": "2.0", "id": 1, "result": {"isError": True, "content": ["x" * 90_000]}}),
            headers=LEGACY,
            response_type=SSE,
        ),
        {"name": "tools/call add", "outcome": "error", "code": "tool_error"},
        "mcp tool_error",
    ),
    Row(
        "an answer that gives a number back as a text",
        post(call("tools/call", ADD), result(tool_result("no", isError=True), number="1"), headers=TOOL),
        {"outcome": "error"},
        "mcp tool_error: no",
    ),
    Row(
        "a call of which the headers alone say what it is, as hardly anything of the bodies is recorded",
        post(call("tools/call", ADD), sse(result(tool_result("3"))), headers=TOOL, response_type=SSE, limit=16),
        {"name": "tools/call add", "outcome": "ok"},
    ),
    Row(
        "a call that is not recorded, whose answer is",
        post(None, result(tool_result("no", isError=True)), headers=TOOL),
        {"name": "tools/call add", "outcome": "error"},
        "mcp tool_error: no",
    ),
    Row(
        "a call of before that is not recorded, whose answer is",
        post(None, sse(PROGRESS, result(tool_result("no", isError=True))), headers=LEGACY, response_type=SSE),
        {"protocol": "mcp", "outcome": "error"},
        "mcp tool_error: no",
    ),
]
