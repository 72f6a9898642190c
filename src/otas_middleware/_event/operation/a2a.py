"""Agent2Agent over JSON-RPC: versions 0.2 and 0.3 by their method names, 1.0 by its header."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otas_middleware._event.operation import json_rpc
from otas_middleware._event.operation.exchange import as_list, as_object, as_text

if TYPE_CHECKING:
    from otas_middleware._event.operation.exchange import Exchange
    from otas_middleware._event.operation.model import Operation

_NAMES = (
    "message/send message/stream tasks/get tasks/list tasks/cancel tasks/resubscribe tasks/send tasks/sendSubscribe "
    "tasks/pushNotificationConfig/set tasks/pushNotificationConfig/get tasks/pushNotificationConfig/list "
    "tasks/pushNotificationConfig/delete agent/getAuthenticatedExtendedCard"
)
_METHODS = frozenset(_NAMES.split())
_CANCELS = frozenset(("tasks/cancel", "CancelTask"))
_MAX_PARTS = 16


def read(exchange: Exchange) -> Operation | None:
    """Recognise JSON-RPC with `A2A-Version`, or with a method of the protocol."""
    calls = exchange.calls
    if not calls or not ("a2a-version" in exchange.request_headers or calls[0]["method"] in _METHODS):
        return None
    operation = json_rpc.read_calls(exchange, _describe, _judge)
    operation.version = exchange.header("a2a-version")
    return operation


def _describe(call: dict[str, Any]) -> Operation:
    operation = json_rpc.describe(call)
    operation.protocol = "a2a"
    return operation


def _judge(operation: Operation, response: dict[str, Any]) -> None:
    """Decide by `error`, and by the state of a task: the result itself, or a member of it; the last one in a stream."""
    json_rpc.judge(operation, response)
    result = as_object(response.get("result"))
    for task in (result, as_object(result.get("task")), as_object(result.get("statusUpdate"))):
        status = as_object(task.get("status"))
        state = as_text(status.get("state")).lower().removeprefix("task_state_").replace("_", "-")
        if state in {"failed", "rejected"}:
            operation.fail(f"task_{state}", _text_of(as_object(status.get("message"))))
        elif state == "canceled" and operation.method not in _CANCELS:
            operation.outcome = "cancelled"
        elif state in {"input-required", "auth-required"}:
            operation.outcome = "input_required"


def _text_of(message: dict[str, Any]) -> str:
    parts = [as_text(as_object(part).get("text")) for part in as_list(message.get("parts"))[:_MAX_PARTS]]
    return "\n".join(part for part in parts if part)
