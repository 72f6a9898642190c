"""Failures that come after a status of 200: in streams of events and of lines, and in language models' answers.

Models' answers that went well, and are no streams, are none of a protocol's: nothing is called inside of them.
"""

from __future__ import annotations

from types import NoneType
from typing import TYPE_CHECKING, Any

from otas_middleware._event.operation.exchange import as_list, as_object, as_text, parse_json
from otas_middleware._event.operation.model import Operation, Outcome

if TYPE_CHECKING:
    from otas_middleware._event.operation.exchange import Exchange, ServerSentEvent

_DONE = "[DONE]"
_LINES = frozenset(("application/x-ndjson", "application/jsonl", "application/json-lines"))
_LAST = (
    "message_stop response.completed response.incomplete response.failed response.cancelled response.done message-end "
    "stream-end finish abort RUN_FINISHED RUN_ERROR interaction.completed conversation.response.done "
    "conversation.response.error transcript.text.done transcription.done speech.audio.done image_generation.completed "
    "image_edit.completed"
)
LAST_EVENTS = frozenset(_LAST.split())
"""The names or types of events with which models' answers end.

Of Anthropic, OpenAI's Responses, Cohere, Vercel's AI SDK, AG-UI, Gemini's Interactions, Mistral's Conversations, and of
OpenAI's and Mistral's speech and images, in this order.
"""
_IN_LAST = ('"type"', '"finish_reason"', '"finishReason"', '"stop_reason"', '"promptFeedback"')
_ENDS: dict[str, Outcome] = {"interrupt": "input_required", "cancelled": "cancelled"}
"""How a run of AG-UI may end but by a success."""
_INCOMPLETE = ("incomplete", "the stream ended without its end mark")
_TELL_OF_FAILURE = ('"error"', '"ERROR', '"TIMEOUT"', 'failed"', '"RUN_ERROR"', '"errorCode"', '.error"')
_LOOKED_AT = 8
"""So many events from either end tell whether a model streams, and whether it came to its end."""
_FIRST_EVENTS = frozenset(
    (
        "message_start",
        "response.created",
        "message-start",
        "text-start",
        "RUN_STARTED",
        "interaction.created",
        "conversation.response.started",
    )
)
"""The types of events that begin them, of the same ones."""
_AGENTS = frozenset(("newMessage", "assistant_id"))
"""Members of requests to agents: Google ADK's, LangGraph's."""
_TEXTS = ("message", "detail", "errorText", "errorMessage", "error")
_ENDED = "the answer ended with an error"
_COHERES_FAILURES = frozenset(("ERROR", "ERROR_LIMIT", "ERROR_TOXIC", "TIMEOUT"))
PROMPTS = frozenset(("messages", "input", "prompt", "documents"))
"""Members of requests to models, beside `model`."""
_ROOTS = ("/api/", "/apis/")
_WATCH = frozenset(("1", "true"))


def read_events(exchange: Exchange) -> Operation | None:
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
    if any(is_end(event) for event in events[-_LOOKED_AT:]):
        outcome = as_object(as_object(parse_json(events[-1].data)).get("outcome"))
        operation.outcome = _ENDS.get(as_text(outcome.get("type")), "ok")
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
    if not any(name in event.data for name in ('"choices"', 'type"', '"completion"', '"candidates"')):
        return False
    data = as_object(parse_json(event.data))
    candidates = [as_object(candidate) for candidate in as_list(data.get("candidates"))]
    if any("parts" in as_object(candidate.get("content")) for candidate in candidates):
        return True
    if isinstance(data.get("choices"), list):
        return "object" in data or any("delta" in as_object(choice) for choice in as_list(data["choices"]))
    if isinstance(data.get("completion"), str) and "stop_reason" in data:
        return True
    return (data.get("type") or data.get("event_type")) in _FIRST_EVENTS


def is_end(event: ServerSentEvent) -> bool:
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


def read_answer(exchange: Exchange) -> Operation | None:
    """Recognise a request that asks a model something, and an answer that tells of a failure; of a list, the last."""
    if exchange.failed or exchange.method != "POST" or "json" not in exchange.response_media:
        return None
    asked = as_object(exchange.request_json)
    by_name = not _AGENTS.isdisjoint(asked) or (as_text(asked.get("model")) and not PROMPTS.isdisjoint(asked))
    if not by_name and not (isinstance(asked.get("contents"), list) and ":streamGenerateContent" in exchange.path):
        return None
    answers = parse_json(exchange.response_text)
    answer = as_object((as_list(answers) or [answers])[-1])
    answer = as_object(answer.get("__error__")) or answer  # LangGraph's
    failure = failure_in(answer) if isinstance(answer.get("error"), dict | str | NoneType) else None
    if failure is None:
        return None
    operation = Operation("model", exchange.route, type="answer")
    operation.fail(*failure)
    return operation


def failure_in(data: dict[str, Any]) -> tuple[str | int | None, str] | None:
    """Return code and text of the failure that a document or an event tells of; None when it tells of none."""
    error = _error_in(data)
    if error is None:
        return None
    if isinstance(error, str) and as_text(data.get("message")):  # LangGraph's, among others
        return error, data["message"]
    details = as_object(error)
    code = details.get("code") or details.get("errorCode") or details.get("type")
    texts = [as_text(details.get(name)) for name in _TEXTS]
    message = next(filter(None, texts), as_text(error)) or "error"
    return code if isinstance(code, str | int) and not isinstance(code, bool) else None, message


def _error_in(data: dict[str, Any]) -> object | None:
    """Return what tells of a failure: a top-level `error`, or what a known protocol has instead."""
    error = data.get("error")
    if error and not isinstance(error, float):  # a measure
        return data if error is True else error
    kind = data.get("type")
    if kind == "response.failed":
        return as_object(data.get("response")).get("error") or data
    interaction = as_object(data.get("interaction")) or data  # Gemini's
    if interaction.get("object") == "interaction" and interaction.get("status") == "failed":
        return next(iter(as_list(interaction.get("errors"))), data)
    if (
        kind in {"RUN_ERROR", "conversation.response.error"}  # AG-UI's, Mistral's
        # the Vercel AI SDK's, the Responses API's, ChatKit's
        or (kind == "error" and not data.keys().isdisjoint(("errorText", "sequence_number", "allow_retry")))
        or (data.get("object") == "error" and isinstance(data.get("message"), str))  # vLLM's of before
        or (data.get("event") == "error" and isinstance(data.get("status"), int))  # Dify's
        or (isinstance(data.get("errorCode"), str) and "invocationId" in data)  # Google ADK's
    ):
        return data
    return _end_in(data)


def _end_in(data: dict[str, Any]) -> object | None:
    """Return the end of an answer that is a failure: one of Cohere's, Mistral's and OpenRouter's `error`."""
    delta = as_object(data.get("delta"))
    reason = as_text(delta.get("finish_reason")) or as_text(data.get("finish_reason"))
    if reason in _COHERES_FAILURES:
        return {"code": reason, "message": as_text(delta.get("error")) or _ENDED}
    for choice in as_list(data.get("choices")):
        if as_object(choice).get("finish_reason") == "error":
            return as_object(choice).get("error") or {"code": "error", "message": _ENDED}
    return None


def read_watch(exchange: Exchange) -> Operation | None:
    """Recognise a GET below `/api/` or `/apis/` with `watch=true`, answered by lines of a type and an object."""
    if "watch=" not in exchange.query or not any(root in exchange.path for root in _ROOTS):
        return None
    if exchange.method != "GET" or exchange.query_fields.get("watch", "").lower() not in _WATCH:
        return None
    text = exchange.response_text
    if exchange.gap:
        text = exchange.ending().decode("utf-8", "replace").partition("\n")[2]
    lines = text.split("\n") if exchange.response_whole else text.split("\n")[:-1]
    events = [as_object(parse_json(line)) for line in lines if line.strip()]
    if not events or not all(map(_is_change, events)):
        return None
    operation = Operation("kubernetes", "watch", method="watch", type="stream", long_lived=True)
    operation.target = exchange.path.rpartition("/")[2]
    status = as_object(events[-1]["object"])
    if events[-1]["type"] == "ERROR":
        code = status.get("reason") or status.get("code")
        operation.fail(code if isinstance(code, str | int) else None, as_text(status.get("message")))
    else:
        operation.outcome = "ok"
    return operation


def _is_change(event: dict[str, Any]) -> bool:
    return event.keys() == {"type", "object"} and isinstance(event["object"], dict)
