"""Valid traffic of JSON-RPC and A2A."""

from __future__ import annotations

from operations.wire import SSE, Row, call, error, post, result, sse

JSON_RPC = [
    Row(
        "a call of 1.0 that failed",
        post(
            {"method": "getblock", "params": [1], "id": 1},
            {"result": None, "error": {"code": -5, "message": "no block"}, "id": 1},
        ),
        {"protocol": "json-rpc", "name": "getblock", "version": "1.0", "outcome": "error", "code": -5},
        "json-rpc -5: no block",
    ),
    Row(
        "a call of 1.0 that says so",
        post(
            {"jsonrpc": "1.0", "method": "getblock", "params": [], "id": "x"}, {"result": 3, "error": None, "id": "x"}
        ),
        {"name": "getblock", "version": "1.0", "outcome": "ok"},
    ),
    Row(
        "a call",
        post(call("add", [1, 2]), result(3)),
        {"protocol": "json-rpc", "name": "add", "outcome": "ok", "id": 1},
    ),
    Row(
        "an error", post(call("add"), error(-32000, "no")), {"outcome": "error", "code": -32000}, "json-rpc -32000: no"
    ),
    Row("a result that holds an error", post(call("log"), result({"error": "seen"})), {"outcome": "ok"}),
    Row("an error that is null", post(call("x"), {**result(1), "error": None}), {"outcome": "ok"}),
    Row(
        "a batch",
        post([call("a", number=1), call("b", number="2")], [error(7, "no", number="2"), result(1)]),
        {
            "name": "batch",
            "type": "batch",
            "count": 2,
            "failed": 1,
            "items": [
                {"protocol": "json-rpc", "name": "a", "method": "a", "id": 1, "outcome": "ok"},
                {"protocol": "json-rpc", "name": "b", "method": "b", "id": "2", "outcome": "error", "code": 7},
            ],
        },
        "json-rpc 7: no",
    ),
    Row(
        "a notification", post({"jsonrpc": "2.0", "method": "log"}, None, status=204), {"name": "log", "outcome": "ok"}
    ),
    Row("over a stream", post(call("a"), sse(result(1)), response_type=SSE), {"name": "a", "outcome": "ok"}),
    Row(
        "of the Language Server Protocol, which also begins with initialize",
        post(call("initialize", {"processId": 1, "rootUri": None, "clientInfo": {"name": "e"}}), result({})),
        {"protocol": "json-rpc", "name": "initialize"},
    ),
    Row(
        "of A2A 0.3, by its method",
        post(call("message/send", {"message": {}}), error(-32001, "Task not found")),
        {"protocol": "a2a", "name": "message/send", "outcome": "error"},
        "a2a -32001: Task not found",
    ),
    Row(
        "of A2A 1.0, by its header, over a stream",
        post(
            call("SendStreamingMessage"),
            sse(result({"task": {}}), result({"statusUpdate": {}})),
            headers={"a2a-version": "1.0"},
            response_type=SSE,
        ),
        {"protocol": "a2a", "name": "SendStreamingMessage", "version": "1.0", "outcome": "ok"},
    ),
    Row(
        "a batch whose calls have one id",
        post([call("add"), call("divide"), call("add")], [result(1), error(7, "by zero"), result(3)]),
        {"name": "batch", "count": 3, "failed": 1, "outcome": "error", "code": 7},
        "json-rpc 7: by zero",
    ),
    Row(
        "a batch with a member that is no call",
        post([call("a"), {"foo": "boo"}], [result(1), error(-32600, "Invalid Request", number=None)]),
        {"name": "batch", "count": 2, "failed": 1, "outcome": "error", "code": -32600},
        "json-rpc -32600: Invalid Request",
    ),
    Row(
        "a batch with a notification that failed, as Flask-JSONRPC 4.0.0 answers it",
        post(
            [call("add", number=1), {"jsonrpc": "2.0", "method": "log"}],
            [error(-32000, "Server error", number=None), result(3)],
        ),
        {"count": 2, "failed": 1, "outcome": "error"},
        "json-rpc -32000: Server error",
    ),
    Row(
        "a batch that was too long to be recorded whole",
        post(
            [call("put", ["x" * 1_000], number) for number in range(100)],
            [result(1, number) if number != 90 else error(7, "no", number) for number in range(100)],
        ),
        {"name": "batch", "count": 100, "failed": 1, "outcome": "error", "code": 7},
        "json-rpc 7: no",
    ),
    Row("an id that is null", post(call("a", number=None), result(1, number=None)), {"name": "a", "outcome": "ok"}),
    Row(
        "a long call whose id stands last",
        post({"jsonrpc": "2.0", "method": "put", "params": ["x" * 90_000], "id": 3}, error(5, "no", number=3)),
        {"name": "put", "outcome": "error"},
        "json-rpc 5: no",
    ),
    Row(
        "a long error whose id stands last",
        post(call("a"), {"jsonrpc": "2.0", "error": {"code": 5, "message": "no", "data": "x" * 90_000}, "id": 1}),
        {"outcome": "error", "code": 5},
        "json-rpc 5: no",
    ),
    Row(
        "an error that says nothing",
        post(call("a"), {"jsonrpc": "2.0", "id": 1, "error": {}}),
        {"outcome": "error"},
        "json-rpc: failed",
    ),
    Row(
        "a request that is no JSON",
        post(b"not json", error(-32700, "Parse error", number=None)),
        {"protocol": "json-rpc", "outcome": "error", "code": -32700},
        "json-rpc -32700: Parse error",
    ),
    Row(
        "a request without a method",
        post({"jsonrpc": "2.0", "method": 1, "params": "bar"}, error(-32600, "Invalid Request", number=None)),
        {"protocol": "json-rpc", "outcome": "error"},
        "json-rpc -32600: Invalid Request",
    ),
    Row(
        "a request without a method, whose id fastapi-jsonrpc 4.1.0 gives back",
        post({"jsonrpc": "2.0", "id": 3, "params": {}}, error(-32600, "Invalid Request", number=3)),
        {"protocol": "json-rpc", "id": 3, "outcome": "error"},
        "json-rpc -32600: Invalid Request",
    ),
    Row(
        "a batch of nothing but what is no call",
        post([1, 2, 3], [error(-32600, "Invalid Request", number=None)] * 3),
        {"name": "batch", "count": 3, "failed": 3, "outcome": "error"},
        "json-rpc -32600: Invalid Request",
    ),
    Row(
        "an answer under another id than the call's",
        post(call("add", number=1), error(-32000, "no", number="1")),
        {"name": "add", "outcome": "error"},
        "json-rpc -32000: no",
    ),
    Row(
        "of A2A 1.0, a task that failed",
        post(
            call("SendMessage"),
            result({"task": {"status": {"state": "TASK_STATE_FAILED", "message": {"parts": [{"text": "no funds"}]}}}}),
            headers={"a2a-version": "1.0"},
        ),
        {"protocol": "a2a", "name": "SendMessage", "outcome": "error", "code": "task_failed"},
        "a2a task_failed: no funds",
    ),
    Row(
        "of A2A 1.0, a task that was rejected in the last event of a stream",
        post(
            call("SendStreamingMessage"),
            sse(
                result({"task": {"status": {"state": "TASK_STATE_SUBMITTED"}}}),
                result({"statusUpdate": {"status": {"state": "TASK_STATE_REJECTED"}}}),
            ),
            headers={"a2a-version": "1.0"},
            response_type=SSE,
        ),
        {"outcome": "error", "code": "task_rejected"},
        "a2a task_rejected",
    ),
    Row(
        "of A2A 0.3, a task that failed",
        post(call("tasks/get"), result({"kind": "task", "status": {"state": "failed"}})),
        {"name": "tasks/get", "outcome": "error", "code": "task_failed"},
        "a2a task_failed",
    ),
    Row(
        "of A2A 0.3, a task that asks for more",
        post(call("message/send"), result({"kind": "task", "status": {"state": "input-required"}})),
        {"outcome": "input_required"},
    ),
    Row(
        "of A2A 0.3, a task that somebody cancelled",
        post(call("tasks/get"), result({"kind": "task", "status": {"state": "canceled"}})),
        {"outcome": "cancelled"},
    ),
    Row(
        "of A2A 0.3, a task that is cancelled as was asked for",
        post(call("tasks/cancel"), result({"kind": "task", "status": {"state": "canceled"}})),
        {"protocol": "a2a", "outcome": "ok"},
    ),
    Row(
        "a request that is no JSON, to a server of the package mcp before its version 2",
        post(b"{nope", error(-32700, "Parse error: Expecting property name", number="server-error"), status=400),
        {"protocol": "json-rpc", "outcome": "error", "code": -32700},
        "json-rpc -32700: Parse error: Expecting property name",
    ),
    Row(
        "of A2A 1.0 over plain HTTP, a task that failed",
        post(
            {"message": {}},
            {"task": {"status": {"state": "TASK_STATE_FAILED", "message": {"parts": [{"text": "no funds"}]}}}},
            headers={"a2a-version": "1.0"},
            path="/agents/shop/message:send",
        ),
        {"protocol": "a2a", "name": "SendMessage", "version": "1.0", "outcome": "error", "code": "task_failed"},
        "a2a task_failed: no funds",
    ),
    Row(
        "of A2A 1.0 over plain HTTP, a stream",
        post(
            {"message": {}},
            sse({"task": {"id": "1"}}, {"statusUpdate": {"status": {"state": "TASK_STATE_COMPLETED"}}}),
            headers={"a2a-version": "1.0"},
            path="/message:stream",
            response_type=SSE,
        ),
        {"protocol": "a2a", "name": "SendStreamingMessage", "outcome": "ok"},
    ),
    Row(
        "of A2A 1.0 over plain HTTP, a task that is unknown",
        post(
            None,
            {"error": {"code": 404, "status": "NOT_FOUND", "message": "Task not found"}},
            headers={"a2a-version": "1.0"},
            path="/tasks/7",
            method="GET",
            status=404,
        ),
        {"protocol": "a2a", "name": "GetTask", "outcome": "error", "code": 404},
        "a2a 404: Task not found",
    ),
]
