"""JSON-RPC 2.0 (jsonrpc.org/specification): single calls, notifications and batches; over JSON or an event stream.

And calls of 1.0, which have no mark: by exactly their members, and exactly those of the answer.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from otas_middleware._event.operation.exchange import as_list, as_object, as_text, parse_json
from otas_middleware._event.operation.model import Operation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otas_middleware._event.operation.exchange import Exchange

    Message = dict[str, Any]
    Describe = Callable[[Message], Operation]
    Judge = Callable[[Operation, Message], None]

_UNREADABLE = (-32700, -32600)
"""The codes of "Parse error" and "Invalid Request"."""
_FIRST_MARK = frozenset(("jsonrpc",))
"""Some clients of 1.0 say so."""
_MAX_PARTS = 16
_OWN_ID = "server-error"
"""What the package mcp gives before its version 2 as the id of a request that has none."""


def read(exchange: Exchange) -> Operation | None:
    """Recognise an object, or a batch of objects, with `"jsonrpc": "2.0"` and `method`; or that one was refused."""
    if exchange.calls:
        return read_calls(exchange, describe, judge)
    tells = partial(_tells_of_no_call, as_object(exchange.request_json).get("id"))
    return _read_first_edition(exchange) or read_refusal(exchange, "json-rpc", judge, tells)


def _read_first_edition(exchange: Exchange) -> Operation | None:
    if '"method"' not in exchange.request.text or not (exchange.request_whole and exchange.response_whole):
        return None
    call, answer = as_object(exchange.request_json), as_object(parse_json(exchange.response_text))
    if not isinstance(call.get("method"), str) or not isinstance(call.get("params"), list):
        return None
    if call.keys() - _FIRST_MARK != {"method", "params", "id"} or answer.keys() != {"result", "error", "id"}:
        return None
    if call["id"] != answer["id"] or (answer["result"] is not None and answer["error"] is not None):
        return None
    operation = describe(call)
    operation.version = "1.0"
    judge(operation, answer)
    return operation


def read_calls(exchange: Exchange, describe: Describe, judge: Judge) -> Operation:
    """Return the operation of one call or of a batch.

    Args:
        exchange: Headers and bodies; its request holds a call.
        describe: Names a call.
        judge: Sets the outcome of a call by the response to it.
    """
    calls, responses = exchange.calls, Responses(exchange)
    if isinstance(exchange.request_json, dict):
        operation = describe(calls[0])
        if "id" not in calls[0] and exchange.request_whole:
            operation.outcome = "ok"  # nobody answers a notification, so it cannot fail
            judge_refusal(operation, exchange, judge)
            return operation
        response = responses.to(calls[0]) or responses.refusal or _cut(exchange, calls[0])
        if response is not None:
            judge(operation, response)
        return operation
    items: list[Operation] = []
    spare = responses.to_notifications(calls)
    for call in reversed(calls):
        items.append(describe(call))
        if "id" in call:
            response = responses.to(call, batched=True)
            if response is not None:
                judge(items[-1], response)
        elif exchange.request_whole:
            items[-1].outcome = "ok"  # as above
            if spare:
                judge(items[-1], spare.pop())
    items.reverse()
    others = [answered(items[0].protocol, response, judge) for response in responses.to_others(calls)]
    return batch([*items, *others])


def read_refusal(
    exchange: Exchange, protocol: str, judge: Judge, tells: Callable[[Message], bool] = bool
) -> Operation | None:
    """Return the operation of a request that holds no call, when an answer of the protocol's says that it is none.

    Args:
        exchange: Headers and bodies.
        protocol: Which it is.
        judge: Sets the outcome of a call by the response to it.
        tells: Says of an error whether it is such an answer.
    """
    errors = Responses(exchange).errors if exchange.may_be_refused else ()
    items = [answered(protocol, response, judge) for response in filter(tells, errors)]
    return batch(items) if len(items) > 1 else next(iter(items), None)


def answered(protocol: str, response: Message, judge: Judge) -> Operation:
    """Return the operation of a call of which nothing but the response is known."""
    operation = Operation(protocol, id=call_id(response))
    judge(operation, response)
    return operation


def judge_refusal(operation: Operation, exchange: Exchange, judge: Judge) -> None:
    """Set the outcome of what has no response of its own, if it was refused; a notification is by the status alone."""
    refused = exchange.failed or (exchange.may_be_refused and not exchange.calls)
    response = Responses(exchange).refusal if refused else None
    if response is not None:
        judge(operation, response)


def batch(items: list[Operation]) -> Operation:
    """Return the operation that a batch of calls is: failed when one of them did."""
    first = items[0]
    operation = Operation(first.protocol, "batch", type="batch", version=first.version, client=first.client)
    operation.hold(items)
    if operation.is_error:
        operation.outcome = "error" if any(item.outcome == "error" for item in items) else "partial"
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


def text_of(parts: object) -> str:
    """Return the texts among the parts of an answer or a message, as MCP and A2A have them, in lines."""
    texts = [as_text(as_object(part).get("text")) for part in as_list(parts)[:_MAX_PARTS]]
    return "\n".join(filter(None, texts))


class Responses:
    """The responses among the complete texts of an exchange.

    Args:
        exchange: Headers and bodies.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._request_whole = exchange.request_whole
        self._asked = len(as_list(exchange.request_json))
        self.all = list(_responses(exchange))
        """In their order."""
        self._by_id: dict[object, list[Message]] = {}
        for response in self.all:
            if "id" in response:
                self._by_id.setdefault(call_id(response), []).append(response)
        self._nameless = [response for response in self.all if _is_nameless(response)]

    @property
    def errors(self) -> list[Message]:
        """All that say that something failed."""
        return [response for response in self.all if response.get("error") is not None]

    @property
    def refusal(self) -> Message | None:
        """The last error, whatever its id: that of a server that had none to answer to may be of its own making."""
        return next(reversed(self.errors), None)

    def to(self, call: Message, *, batched: bool = False) -> Message | None:
        """Return the last response to a request, or the error of a server that could not read the request's id.

        Args:
            call: The request; any response is to one whose id is not known, since it was cut before it.
            batched: Others of its batch may have the same id; they are asked for after it, the last first.
        """
        same = self._by_id.get(call_id(call), []) if "id" in call else self.all
        found = same.pop() if batched and len(same) > 1 else next(reversed(same), None)
        if found is None and len(self.all) == 1 and str(call_id(self.all[0])) == str(call_id(call)):
            found = self.all[0]  # some servers give back a number as a text
        return found or next(reversed(self._nameless), None)

    def to_notifications(self, calls: list[Message]) -> list[Message]:
        """Return the errors that some servers answer notifications of a batch with."""
        answered = all(call_id(call) in self._by_id for call in calls if "id" in call)
        return self._nameless[self._asked - len(calls) :] if answered else []

    def to_others(self, calls: list[Message]) -> list[Message]:
        """Return the responses to members of a batch that are no calls at all, or of which nothing was recorded."""
        if self._request_whole:
            return self._nameless[: self._asked - len(calls)]
        known = {call_id(call) for call in calls}
        return [response for response in self.all if call_id(response) not in known]


def _responses(exchange: Exchange) -> Iterator[Message]:
    for text in exchange.documents:
        if '"id"' not in text and '"error"' not in text:  # MCP allows an error without an id
            continue
        value = parse_json(text)
        for item in as_list(value) or [value]:
            response = as_object(item)
            if ("result" in response or "error" in response) and "method" not in response:
                yield response


def _tells_of_no_call(own: object, response: Message) -> bool:
    """Say whether an error is about a request that could not be read, or was none: nobody knows its id (section 5).

    Args:
        own: The request's id, which some servers give back all the same.
        response: The error.
    """
    number, error = response.get("id"), as_object(response["error"])
    return number == _OWN_ID or (number in (None, own) and error.get("code") in _UNREADABLE)


def _is_nameless(response: Message) -> bool:
    return response.get("id") is None and response.get("error") is not None


def _cut(exchange: Exchange, call: Message) -> Message | None:
    """Return what decides of a response that was cut: an error at its beginning, MCP's `isError` at either end."""
    begun = as_object(exchange.beginning())
    if begun.keys() & call.keys() >= {"id"} and begun["id"] != call["id"]:  # it may stand at the end
        return None
    if begun.get("error") is not None or as_object(begun.get("result")).get("isError") is True:
        return begun
    is_error = exchange.member_at_end("isError", 1)
    return None if is_error is None else {**begun, "result": {**as_object(begun.get("result")), "isError": is_error}}
