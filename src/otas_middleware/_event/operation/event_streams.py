"""Errors in event streams of no other protocol, and in a model's lines of JSON: they come after a status of 200."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otas_middleware._event.operation.exchange import as_list, as_object, as_text, parse_json
from otas_middleware._event.operation.model import Operation
from otas_middleware._event.operation.model_failures import failure_in

if TYPE_CHECKING:
    from otas_middleware._event.operation.exchange import Exchange, ServerSentEvent

_DONE = "[DONE]"
_LINES = frozenset(("application/x-ndjson", "application/jsonl", "application/json-lines"))
LAST_EVENTS = frozenset(
    (
        "message_stop",  # Anthropic
        "response.completed",  # OpenAI's Responses
        "response.incomplete",
        "response.failed",
        "response.cancelled",
        "response.done",
        "message-end",  # Cohere
        "stream-end",
        "finish",  # Vercel's AI SDK
        "abort",
        "RUN_FINISHED",  # AG-UI
        "RUN_ERROR",
    )
)
"""The names or types of events with which models' answers end."""
_IN_LAST = ('"type"', '"finish_reason"', '"finishReason"', '"stop_reason"', '"promptFeedback"')
_INCOMPLETE = ("incomplete", "the stream ended without its end mark")
_TELL_OF_FAILURE = ('"error"', '"ERROR"', '"response.failed"', '"RUN_ERROR"')
_LOOKED_AT = 8
"""So many events from either end tell whether a model streams, and whether it came to its end."""
_FIRST_EVENTS = frozenset(("message_start", "response.created", "message-start", "RUN_STARTED", "text-start"))
"""The types of events that begin models' answers: Anthropic's, OpenAI's Responses, Cohere's, AG-UI's, Vercel's."""


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
            failure = failure_in(data)
            if failure is not None or event.name == "error":
                operation.fail(*(failure or _said(data, event.data)))
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
    failure = failure_in(last)
    if failure is not None:
        operation.fail(*failure)
    elif last.get("done") is True:
        operation.outcome = "ok"
    elif not exchange.aborted and last:
        operation.fail(*_INCOMPLETE)
    return operation


def _may_tell_of_failure(data: str) -> bool:
    return any(text in data for text in _TELL_OF_FAILURE)


def _said(data: dict[str, Any], text: str) -> tuple[str | int | None, str]:
    """Return what an event that is named an error says: `{"message"}`, or a text that is no object."""
    return failure_in({"error": data}) or (None, text if not data else "error")


def _is_chunk(event: ServerSentEvent) -> bool:
    """Say whether this is a piece of a model's answer: of Chat Completions, Completions, Gemini, or one with types."""
    if not any(name in event.data for name in ('"choices"', '"type"', '"completion"', '"candidates"')):
        return False
    data = as_object(parse_json(event.data))
    candidates = [as_object(candidate) for candidate in as_list(data.get("candidates"))]
    if any("parts" in as_object(candidate.get("content")) for candidate in candidates):
        return True
    if isinstance(data.get("choices"), list):
        return "object" in data or any("delta" in as_object(choice) for choice in as_list(data["choices"]))
    if isinstance(data.get("completion"), str) and "stop_reason" in data:
        return True
    return data.get("type") in _FIRST_EVENTS


def _is_end(event: ServerSentEvent) -> bool:
    """Say whether this ends a model's answer."""
    if event.data == _DONE or event.name in LAST_EVENTS:
        return True
    if not any(name in event.data for name in _IN_LAST):
        return False
    data = as_object(parse_json(event.data))
    delta = as_object(data.get("delta"))  # Anthropic's last event but one: clients leave there
    if (
        as_text(data.get("type")) in LAST_EVENTS
        or as_text(data.get("stop_reason"))
        or as_text(delta.get("stop_reason"))
    ):
        return True
    if "promptFeedback" in data:  # Gemini's, to what it does not answer
        return True
    parts = [as_object(part) for name in ("choices", "candidates") for part in as_list(data.get(name))]
    return any(part.get("finish_reason") or part.get("finishReason") for part in parts)
