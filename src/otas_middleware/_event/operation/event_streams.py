"""Errors in event streams of no other protocol, and in a model's lines of JSON: they come after a status of 200."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otas_middleware._event.operation.exchange import as_list, as_object, as_text, parse_json
from otas_middleware._event.operation.model import Operation

if TYPE_CHECKING:
    from otas_middleware._event.operation.exchange import Exchange, ServerSentEvent

_DONE = "[DONE]"
_LINES = frozenset(("application/x-ndjson", "application/jsonl", "application/json-lines"))
_INCOMPLETE = ("incomplete", "the stream ended without its end mark")
_LOOKED_AT = 8
"""So many events from either end tell whether a model streams, and whether it came to its end."""
_NAMES = "message_stop response.completed response.incomplete response.failed response.cancelled response.done"
_ENDS = frozenset(_NAMES.split())


def read(exchange: Exchange) -> Operation | None:
    """Recognise the media type of the response; of lines, those of a model."""
    if exchange.response_media in _LINES:
        return _read_lines(exchange)
    if exchange.response_media != "text/event-stream":
        return None
    operation = Operation("sse", exchange.route, type="stream")
    operation.long_lived = exchange.method == "GET"
    events = exchange.events
    for event in events:
        if event.name == "error" or _may_tell_of_failure(event.data):
            data = as_object(parse_json(event.data))
            if event.name == "error" or _is_failure(data):
                _fail(operation, data, event.data)
                return operation
    if any(_is_end(event) for event in events[-_LOOKED_AT:]):
        operation.outcome = "ok"
    elif not exchange.response_whole:
        pass  # its end was not seen
    elif any(_is_chunk(event) for event in events[:_LOOKED_AT]):
        operation.fail(*_INCOMPLETE)
    else:
        operation.outcome = "ok"
    return operation


def _read_lines(exchange: Exchange) -> Operation | None:
    """Read the answer of a model in lines, as Ollama's are: each names the model, the last says that it is `done`."""
    text = exchange.response_text
    first = as_object(parse_json(text.partition("\n")[0]))
    if not (isinstance(first.get("model"), str) and isinstance(first.get("done"), bool)):
        return None
    operation = Operation("ndjson", exchange.route, type="stream")
    if exchange.gap:
        text = exchange.ending().decode("utf-8", "replace")
    last = as_object(parse_json(text.rstrip().rpartition("\n")[2]))
    if _is_failure(last):
        _fail(operation, last)
    elif last.get("done") is True:
        operation.outcome = "ok"
    elif not exchange.aborted and last:
        operation.fail(*_INCOMPLETE)
    return operation


def _may_tell_of_failure(data: str) -> bool:
    return '"error"' in data or '"response.failed"' in data or '"RUN_ERROR"' in data


def _is_failure(data: dict[str, Any]) -> bool:
    """Say whether an event tells of its stream's failure: by a top-level `error`, or by what a known protocol says."""
    error = data.get("error")
    if error and not isinstance(error, float):  # a measure
        return True
    kind = data.get("type")
    if kind == "error":  # the Vercel AI SDK's; the Responses API's
        return isinstance(data.get("errorText"), str) or isinstance(data.get("sequence_number"), int)
    return kind in {"response.failed", "RUN_ERROR"}


def _fail(operation: Operation, data: dict[str, Any], text: str = "") -> None:
    """Note what an error says: `{"error": {"type", "code", "message"}}`, `{"message"}`, or a text that is no object."""
    said = data.get("error")
    error = (None if said is True else said) or as_object(data.get("response")).get("error") or data
    details = as_object(error)
    code = details.get("code") or details.get("type")
    texts = [as_text(details.get(name)) for name in ("message", "detail", "errorText")]
    message = next(filter(None, texts), as_text(error))
    operation.fail(
        code if isinstance(code, str | int) and not isinstance(code, bool) else None,
        message or (text if not data else "error"),
    )


def _is_chunk(event: ServerSentEvent) -> bool:
    """Say whether this is a piece of a model's answer: of Chat Completions, Completions, Responses or Messages."""
    if not any(name in event.data for name in ('"choices"', '"type"', '"completion"')):
        return False
    data = as_object(parse_json(event.data))
    if isinstance(data.get("choices"), list):
        return "object" in data or any("delta" in as_object(choice) for choice in as_list(data["choices"]))
    if isinstance(data.get("completion"), str) and "stop_reason" in data:
        return True
    return data.get("type") in {"message_start", "response.created"}


def _is_end(event: ServerSentEvent) -> bool:
    """Say whether this ends a model's answer."""
    if event.data == _DONE or event.name in _ENDS:
        return True
    if not any(name in event.data for name in ('"type"', '"finish_reason"', '"stop_reason"')):
        return False
    data = as_object(parse_json(event.data))
    delta = as_object(data.get("delta"))  # Anthropic's last event but one: clients leave there
    if as_text(data.get("type")) in _ENDS or as_text(data.get("stop_reason")) or as_text(delta.get("stop_reason")):
        return True
    return any(as_object(choice).get("finish_reason") for choice in as_list(data.get("choices")))
