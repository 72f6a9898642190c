"""Errors in event streams of no other protocol, a language model's above all: they come after a status of 200."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otas_middleware._event.operation.exchange import as_list, as_object, as_text, parse_json
from otas_middleware._event.operation.model import Operation

if TYPE_CHECKING:
    from otas_middleware._event.operation.exchange import Exchange, ServerSentEvent

_DONE = "[DONE]"
_LOOKED_AT = 8
"""So many events from either end tell whether a model streams, and whether it came to its end."""
_NAMES = "message_stop response.completed response.incomplete response.failed response.cancelled response.done"
_ENDS = frozenset(_NAMES.split())


def read(exchange: Exchange) -> Operation | None:
    """Recognise the media type of the response."""
    if exchange.response_media != "text/event-stream":
        return None
    operation = Operation("sse", exchange.route, type="stream")
    operation.long_lived = exchange.method == "GET"
    events = exchange.events
    for event in events:
        if event.name == "error" or '"error"' in event.data:
            data = as_object(parse_json(event.data))
            if event.name == "error" or data.get("error"):
                _fail(operation, event, data)
                return operation
    if any(_is_end(event) for event in events[-_LOOKED_AT:]):
        operation.outcome = "ok"
    elif not exchange.response_whole:
        pass  # its end was not seen
    elif any(_is_chunk(event) for event in events[:_LOOKED_AT]):
        operation.fail("incomplete", "the stream ended without its end mark")
    else:
        operation.outcome = "ok"
    return operation


def _fail(operation: Operation, event: ServerSentEvent, data: dict[str, Any]) -> None:
    """Note what an error's event says: `{"error": {"type", "code", "message"}}`, `{"message"}`, or a text."""
    error = data.get("error") or data
    details = as_object(error)
    code = details.get("code") or details.get("type")
    message = as_text(details.get("message")) or as_text(details.get("detail")) or as_text(error)
    operation.fail(
        code if isinstance(code, str | int) and not isinstance(code, bool) else None,
        message or (event.data if not data else "error"),
    )


def _is_chunk(event: ServerSentEvent) -> bool:
    """Say whether this is a piece of a model's answer: of Chat Completions, Completions, Responses or Messages."""
    if '"choices"' not in event.data and '"type"' not in event.data:
        return False
    data = as_object(parse_json(event.data))
    if isinstance(data.get("choices"), list):
        return "object" in data or any("delta" in as_object(choice) for choice in as_list(data["choices"]))
    return data.get("type") in {"message_start", "response.created"} or "completion" in data


def _is_end(event: ServerSentEvent) -> bool:
    """Say whether this ends a model's answer."""
    if event.data == _DONE or event.name in _ENDS:
        return True
    if '"type"' not in event.data and '"finish_reason"' not in event.data:
        return False
    data = as_object(parse_json(event.data))
    delta = as_object(data.get("delta"))  # Anthropic's last event but one: clients leave there
    if as_text(data.get("type")) in _ENDS or as_text(data.get("stop_reason")) or as_text(delta.get("stop_reason")):
        return True
    return any(as_object(choice).get("finish_reason") for choice in as_list(data.get("choices")))
