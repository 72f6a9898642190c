"""Agent2Agent over JSON-RPC: versions 0.2 and 0.3 by their method names, 1.0 by its header."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otas_middleware._event.operation import json_rpc

if TYPE_CHECKING:
    from otas_middleware._event.operation.exchange import Exchange
    from otas_middleware._event.operation.model import Operation

_NAMES = (
    "message/send message/stream tasks/get tasks/list tasks/cancel tasks/resubscribe tasks/send tasks/sendSubscribe "
    "tasks/pushNotificationConfig/set tasks/pushNotificationConfig/get tasks/pushNotificationConfig/list "
    "tasks/pushNotificationConfig/delete agent/getAuthenticatedExtendedCard"
)
_METHODS = frozenset(_NAMES.split())


def read(exchange: Exchange) -> Operation | None:
    """Recognise JSON-RPC with `A2A-Version`, or with a method of the protocol."""
    calls = exchange.calls
    if not calls or not ("a2a-version" in exchange.request_headers or calls[0]["method"] in _METHODS):
        return None
    operation = json_rpc.read_calls(exchange, _describe, json_rpc.judge)
    operation.version = exchange.header("a2a-version")
    return operation


def _describe(call: dict[str, Any]) -> Operation:
    operation = json_rpc.describe(call)
    operation.protocol = "a2a"
    return operation
