"""JSON-RPC 2.0 (jsonrpc.org/specification): single calls, notifications and batches; over JSON or an event stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otas_middleware._event.operation.exchange import as_list, as_object, as_text, parse_json
from otas_middleware._event.operation.model import MAX_ITEMS, Operation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otas_middleware._event.operation.exchange import Exchange

    Message = dict[str, Any]
    Describe = Callable[[Message], Operation]
    Judge = Callable[[Operation, Message], None]


def read(exchange: Exchange) -> Operation | None:
    """Recognise an object, or a batch of objects, with `"jsonrpc": "2.0"` and `method`."""
    return read_calls(exchange, describe, judge) if exchange.calls else None


def read_calls(exchange: Exchange, describe: Describe, judge: Judge) -> Operation:
    """Return the operation of one call or of a batch.

    Args:
        exchange: Headers and bodies; its request holds a call.
        describe: Names a call.
        judge: Sets the outcome of a call by the response to it.
    """
    calls = exchange.calls
    if isinstance(exchange.request_json, dict):
        operation = describe(calls[0])
        _decide(operation, calls[0], exchange, judge)
        return operation
    items: list[Operation] = []
    for call in calls:
        item = describe(call)
        if "id" in call or exchange.request_whole:
            _decide(item, call, exchange, judge)
        items.append(item)
    refused = len(as_list(exchange.request_json)) - len(calls)
    for response in _nameless(exchange)[:refused]:  # to what is no call at all
        items.append(Operation(items[0].protocol))
        judge(items[-1], response)
    return batch(items)


def batch(items: list[Operation]) -> Operation:
    """Return the operation that a batch of calls is: failed when one of them did."""
    failed = [item for item in items if item.is_error]
    first = items[0]
    operation = Operation(first.protocol, "batch", type="batch", version=first.version, client=first.client)
    operation.count, operation.failed, operation.items = len(items), len(failed), items[:MAX_ITEMS]
    if failed:
        partial = all(item.outcome == "partial" for item in failed)
        operation.fail(failed[0].code, failed[0].message, "partial" if partial else "error")
    elif all(item.outcome == "ok" for item in items):
        operation.outcome = "ok"
    return operation


def describe(call: Message) -> Operation:
    """Name a call by its method."""
    method = call["method"]
    return Operation("json-rpc", method, method=method, id=call_id(call))


def judge(operation: Operation, response: Message) -> None:
    """Decide by the presence of `error`."""
    error = response.get("error")
    if error is None:
        operation.outcome = "ok"
        return
    details = as_object(error)
    code = details.get("code")
    operation.fail(code if isinstance(code, int | str) else None, as_text(details.get("message")) or as_text(error))


def call_id(call: Message) -> str | float | None:
    """Return a call's id; None for a notification."""
    value = call.get("id")
    return value if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def _decide(operation: Operation, call: Message, exchange: Exchange, judge: Judge) -> None:
    if "id" not in call and exchange.request_whole:
        operation.outcome = "ok"  # nobody answers a notification, so it cannot fail
        return
    response = response_to(exchange, call)
    if response is not None:
        judge(operation, response)


def response_to(exchange: Exchange, call: Message) -> Message | None:
    """Return the last response to a request, or the error of a server that could not read the request's id.

    Args:
        exchange: Headers and bodies.
        call: The request; any response is to one whose id is not known, since it was cut before it.
    """
    wanted = call.get("id")
    nameless: Message | None = None
    for response in _responses(exchange):
        if "id" not in call or ("id" in response and response["id"] == wanted):
            return response
        if nameless is None and _is_nameless(response):
            nameless = response
    return nameless or _cut(exchange, call)


def _responses(exchange: Exchange) -> Iterator[Message]:
    """Yield the responses among the complete texts, the last one first."""
    for text in reversed(exchange.documents):
        if '"id"' not in text and '"error"' not in text:  # MCP allows an error without an id
            continue
        value = parse_json(text)
        for item in reversed(as_list(value) or [value]):
            response = as_object(item)
            if ("result" in response or "error" in response) and "method" not in response:
                yield response


def _is_nameless(response: Message) -> bool:
    return response.get("id") is None and response.get("error") is not None


def _nameless(exchange: Exchange) -> list[Message]:
    return [response for response in _responses(exchange) if _is_nameless(response)]


def _cut(exchange: Exchange, call: Message) -> Message | None:
    """Return what decides of a response that was cut: an error at its beginning, MCP's `isError` at either end."""
    begun = as_object(exchange.beginning()) if not exchange.events else {}
    if begun.keys() & call.keys() >= {"id"} and begun["id"] != call["id"]:  # it may stand at the end
        return None
    if begun.get("error") is not None or as_object(begun.get("result")).get("isError") is True:
        return begun
    is_error = exchange.member_at_end("isError", 1)
    return None if is_error is None else {**begun, "result": {**as_object(begun.get("result")), "isError": is_error}}
