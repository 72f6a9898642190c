"""Valid traffic of MCP."""

from __future__ import annotations

from operations.wire import (
    ENVELOPE,
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
from otas_middleware._capture.session import fingerprint

ADD = {"name": "add", "arguments": {"a": 1}, "_meta": ENVELOPE}
TOOL = {**MODERN, "mcp-method": "tools/call", "mcp-name": "add"}
LONG = {"name": "add", "arguments": {"text": "x" * 90_000}}
ENDPOINT = "event: endpoint\r\ndata: /messages/?session_id=7\r\n\r\n"
PROGRESS = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}}

MCP = [
    Row(
        "a tool's call",
        post(call("tools/call", ADD), result(tool_result("3", isError=False)), headers=TOOL),
        {
            "protocol": "mcp",
            "name": "tools/call add",
            "method": "tools/call",
            "target": "add",
            "type": "tool",
            "version": "2026-07-28",
            "id": 1,
            "client": {"name": "shopper", "version": "3.1"},
            "outcome": "ok",
        },
    ),
    Row(
        "a tool that failed",
        post(call("tools/call", ADD), result(tool_result("no such order 9", isError=True)), headers=TOOL),
        {"name": "tools/call add", "outcome": "error", "code": "tool_error"},
        "mcp tool_error: no such order 9",
    ),
    Row(
        "an isError that is not literally true",
        post(call("tools/call", ADD), result(tool_result("3", isError="no")), headers=TOOL),
        {"outcome": "ok"},
    ),
    Row(
        "a tool whose structured result has a member error",
        post(call("tools/call", ADD), result(tool_result("", structuredContent={"error": "none"})), headers=TOOL),
        {"outcome": "ok"},
    ),
    Row(
        "an error of the protocol with 400",
        post(
            call("resources/read", {"uri": "orders://42"}),
            error(-32602, "Unknown resource: orders://42"),
            headers={**MODERN, "mcp-method": "resources/read"},
            status=400,
        ),
        {"name": "resources/read", "target": "orders://42", "type": "resource", "outcome": "error", "code": -32602},
        "mcp -32602: Unknown resource: orders://42",
    ),
    Row(
        "an error of the protocol with 200",
        post(call("resources/read", {"uri": "x://1"}), error(-32002, "not found"), headers=LEGACY),
        {"outcome": "error", "session": fingerprint(LEGACY["mcp-session-id"])},
        "mcp -32002: not found",
    ),
    Row(
        "a prompt",
        post(call("prompts/get", {"name": "summarise"}), result({"messages": []}), headers=LEGACY),
        {"name": "prompts/get summarise", "type": "prompt", "outcome": "ok"},
    ),
    Row(
        "more input is needed",
        post(call("tools/call", ADD), result({"resultType": "input_required", "inputRequests": {}}), headers=TOOL),
        {"outcome": "input_required"},
    ),
    Row(
        "the last event of a stream decides",
        post(
            call("tools/call", ADD),
            sse(PROGRESS, result(tool_result("", isError=False), number=7), result(tool_result("broke", isError=True))),
            headers=TOOL,
            response_type=SSE,
        ),
        {"outcome": "error"},
        "mcp tool_error: broke",
    ),
    Row(
        "cancelled by a notification of the client's",
        post(
            call("tools/call", ADD),
            sse(PROGRESS, error(-32800, "Request cancelled")),
            headers=LEGACY,
            response_type=SSE,
        ),
        {"outcome": "cancelled", "code": -32800},
    ),
    Row(
        "a tool that has the user visit a page first, as the revision of 2025-11-25 has it",
        post(call("tools/call", ADD), error(-32042, "URL elicitation required"), headers=LEGACY),
        {"name": "tools/call add", "outcome": "input_required", "code": -32042},
    ),
    Row(
        "an error without an id, as the revision of 2025-11-25 allows",
        post(call("tools/call", ADD), {"jsonrpc": "2.0", "error": {"code": -32700, "message": "broken"}}, headers=TOOL),
        {"name": "tools/call add", "outcome": "error", "code": -32700},
        "mcp -32700: broken",
    ),
    Row(
        "a task that failed",
        post(call("tasks/get", {"taskId": "t"}), result({"status": "failed", "statusMessage": "no"}), headers=MODERN),
        {"name": "tasks/get", "outcome": "error", "code": "task_failed"},
        "mcp task_failed: no",
    ),
    Row(
        "a task that has begun",
        post(call("tools/call", ADD), result({"task": {"taskId": "t", "status": "working"}}), headers=TOOL),
        {"outcome": "ok"},
    ),
    Row(
        "the handshake, which carries no header yet",
        post(
            call("initialize", {"protocolVersion": "2025-03-26", "clientInfo": {"name": "old", "version": "1"}}),
            result({"protocolVersion": "2025-03-26"}),
            response_headers=(("mcp-session-id", "abc"),),
        ),
        {
            "protocol": "mcp",
            "name": "initialize",
            "version": "2025-03-26",
            "client": {"name": "old", "version": "1"},
            "session": "ba7816bf8f01cfea",
        },
    ),
    Row(
        "a call of 2025-03-26 without a session",
        post(call("tools/call", {"name": "add"}), result(tool_result("x", isError=True))),
        {"protocol": "mcp", "name": "tools/call add", "outcome": "error"},
        "mcp tool_error: x",
    ),
    Row(
        "a call of 2024-11-05, whose answer comes on another connection",
        post(
            call("tools/call", {"name": "add"}),
            "Accepted",
            path="/messages/",
            query=b"session_id=e4bbb7e6",
            status=202,
            response_type="text/plain",
        ),
        {"protocol": "mcp", "outcome": "unknown"},
    ),
    Row(
        "a batch of 2025-03-26",
        post(
            [call("tools/call", {"name": "add"}, 1), call("tools/call", {"name": "boom"}, 2), PROGRESS],
            [result(tool_result("3")), result(tool_result("broke", isError=True), number=2)],
            headers={"mcp-session-id": "abc"},
        ),
        {"protocol": "mcp", "name": "batch", "count": 3, "failed": 1, "outcome": "error"},
        "mcp tool_error: broke",
    ),
    Row(
        "a notification is never a failure",
        post(PROGRESS, None, headers=LEGACY, status=202),
        {"name": "notifications/progress", "outcome": "ok"},
    ),
    Row(
        "the session's stream",
        post(None, sse(PROGRESS), headers=LEGACY, method="GET", response_type=SSE, request_type=None),
        {"protocol": "mcp", "name": "GET stream", "type": "stream"},
    ),
    Row(
        "the session's end",
        post(None, None, headers=LEGACY, method="DELETE", request_type=None),
        {"protocol": "mcp", "name": "DELETE session", "outcome": "ok"},
    ),
    Row(
        "the stream of a call is resumed, and brings its failure",
        post(
            None,
            sse(result(tool_result("broke", isError=True), number=3)),
            headers={**LEGACY, "last-event-id": "7"},
            method="GET",
            response_type=SSE,
            request_type=None,
        ),
        {"name": "GET stream", "id": 3, "outcome": "error", "code": "tool_error"},  # the id leads to the call
        "mcp tool_error: broke",
    ),
    Row(
        "several answers to the server's requests",
        post([result({}), result({}, number=2)], None, headers=LEGACY, status=202),
        {"name": "response", "type": "response", "outcome": "ok"},
    ),
    Row(
        "a task that is completed, by a tool that failed",
        post(
            call("tasks/get", {"taskId": "t"}),
            result({"taskId": "t", "status": "completed", "result": tool_result("sold out", isError=True)}),
            headers=MODERN,
        ),
        {"name": "tasks/get", "outcome": "error", "code": "tool_error"},
        "mcp tool_error: sold out",
    ),
    Row(
        "a call whose task failed at once",
        post(
            call("tools/call", ADD),
            result({"resultType": "task", "taskId": "t", "status": "failed", "error": {"code": 1, "message": "no"}}),
            headers=TOOL,
        ),
        {"name": "tools/call add", "outcome": "error", "code": "task_failed"},
        "mcp task_failed: no",
    ),
    Row(
        "a task that failed with an error of its own",
        post(
            call("tasks/get", {"taskId": "t"}),
            result({"taskId": "t", "status": "failed", "error": {"code": -32603, "message": "boom"}}),
            headers=MODERN,
        ),
        {"outcome": "error", "code": "task_failed"},
        "mcp task_failed: boom",
    ),
    Row(
        "the stream of 2024-11-05, which brings the answers to all calls of a session",
        post(
            None,
            sse(ENDPOINT, result(tool_result("3")), PROGRESS, result(tool_result("no", isError=True), number=2)),
            method="GET",
            response_type=SSE,
            path="/sse",
        ),
        {
            "protocol": "mcp",
            "name": "GET stream",
            "outcome": "partial",
            "count": 2,
            "failed": 1,
            "items": [
                {"protocol": "mcp", "outcome": "ok", "id": 1},
                {"protocol": "mcp", "outcome": "error", "id": 2, "code": "tool_error"},
            ],
        },
        "mcp tool_error: no",
    ),
]
