"""Agent2Agent over JSON-RPC: versions 0.2 and 0.3 by their method names, 1.0 by its header; and 1.0 over plain HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otas_middleware._event.operation import json_rpc
from otas_middleware._event.operation.exchange import as_object, as_text, parse_json
from otas_middleware._event.operation.model import Operation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otas_middleware._event.operation.exchange import Exchange

_NAMES = (
    "message/send message/stream tasks/get tasks/list tasks/cancel tasks/resubscribe tasks/send tasks/sendSubscribe "
    "tasks/pushNotificationConfig/set tasks/pushNotificationConfig/get tasks/pushNotificationConfig/list "
    "tasks/pushNotificationConfig/delete agent/getAuthenticatedExtendedCard"
)
_METHODS = frozenset(_NAMES.split())
_CANCELS = frozenset(("tasks/cancel", "CancelTask"))
_VERBS = {
    "send": "SendMessage",
    "stream": "SendStreamingMessage",
    "cancel": "CancelTask",
    "subscribe": "SubscribeToTask",
}


def read(exchange: Exchange) -> Operation | None:
    """Recognise JSON-RPC with `A2A-Version` or a method of the protocol, and with that header its paths."""
    calls = exchange.calls
    declared = "a2a-version" in exchange.request_headers
    if calls and (declared or calls[0]["method"] in _METHODS):
        operation = json_rpc.read_calls(exchange, _describe, _judge)
    elif declared and not calls and (method := _method_of(exchange)):
        operation = Operation("a2a", method, method=method)
        _judge_documents(operation, exchange)
    else:
        return None
    operation.version = exchange.header("a2a-version")
    return operation


def _method_of(exchange: Exchange) -> str:
    """Return the method that a path of plain HTTP is; empty when it is none that can be told from other services."""
    *_, above, last = ("", *exchange.path.strip("/").split("/"))
    resource, _, verb = last.rpartition(":")
    if resource == "message" or above == "tasks":
        named = _VERBS.get(verb if resource else "", "")
        return named or ("GetTask" if exchange.method == "GET" else "")
    return ""


def _judge_documents(operation: Operation, exchange: Exchange) -> None:
    """Decide by the last document of a response, a result or an error as it stands."""
    documents = [as_object(parse_json(text)) for text in exchange.documents]
    if documents:
        last = documents[-1]
        _judge(operation, last if "error" in last else {"result": last})
    if operation.outcome == "ok" and exchange.aborted:
        operation.outcome = "unknown"


def _describe(call: dict[str, Any]) -> Operation:
    operation = json_rpc.describe(call)
    operation.protocol = "a2a"
    return operation


def _judge(operation: Operation, response: dict[str, Any]) -> None:
    """Decide by `error`, and by the state of a task: the result itself, or a member of it; the last one in a stream."""
    json_rpc.judge(operation, response)
    for state, status in states_in(as_object(response.get("result"))):
        if state in {"failed", "rejected"}:
            operation.fail(f"task_{state}", json_rpc.text_of(as_object(status.get("message")).get("parts")))
        elif state == "canceled" and operation.method not in _CANCELS:
            operation.outcome = "cancelled"
        elif state in {"input-required", "auth-required"}:
            operation.outcome = "input_required"


def states_in(result: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield state and status of what may be a task: a result itself, and its members; states as 0.3 spells them."""
    for task in (result, as_object(result.get("task")), as_object(result.get("statusUpdate"))):
        status = as_object(task.get("status"))
        yield as_text(status.get("state")).lower().removeprefix("task_state_").replace("_", "-"), status
