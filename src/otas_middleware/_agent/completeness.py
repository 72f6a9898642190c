"""Whether an answer that its client left early was complete all the same, as its protocol tells.

Clients stop reading where an answer is complete for them: at `[DONE]`, at an event that says so, at the JSON-RPC
response that they waited for. Runs in the worker.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LAST_EVENTS = frozenset(
    {
        "message_stop",  # Anthropic
        "response.completed",  # OpenAI's Responses
        "response.incomplete",
        "response.failed",
        "response.cancelled",
        "error",  # of all of them
        "message-end",  # Cohere
        "stream-end",
        "finish",  # Vercel's AI SDK
        "RUN_FINISHED",  # AG-UI
        "RUN_ERROR",
        "complete",  # GraphQL
        "end",  # LangServe
    }
)
_STREAMING_CALLS = frozenset({"message/stream", "tasks/resubscribe", "SendStreamingMessage", "SubscribeToTask"})
"""Of A2A: each of their events is a response to the one request, and one that says so is the last."""
_LAST_STATES = frozenset({"completed", "failed", "canceled", "rejected", "input-required", "auth-required"})


def is_complete(media: str, request: str, answer: str) -> bool:
    """Return whether an answer is complete.

    Args:
        media: Its content type, without parameters, in lower case.
        request: The request body.
        answer: The answer, or the end of a long one.
    """
    if media == "text/event-stream":
        documents = list(_events(answer))
        return _ends_a_stream(documents) or _answers_calls(request, documents)
    if media in {"application/x-ndjson", "application/jsonl", "application/json-lines"}:
        documents = [("", line) for line in answer.split("\n") if line.strip()]
        return bool(documents) and _object(documents[-1][1]).get("done") is True
    if media == "application/vnd.amazon.eventstream":  # Bedrock; the last of its events has the usage
        return '"metrics"' in answer[-4096:] and '"usage"' in answer[-4096:]
    return media.endswith("json") and answer.lstrip()[:1] in {"{", "["} and _parse(answer) is not None


def _events(text: str) -> Iterator[tuple[str, str]]:
    """Yield name and data of each event, of one too whose blank line has not come."""
    name, data = "", list[str]()
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for line in [*lines, ""]:
        if not line:
            if data or name in _LAST_EVENTS:  # an end may have nothing to say
                yield name, "\n".join(data)
            name, data = "", []
        elif line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif line.startswith("event:"):
            name = line[6:].strip()


def _ends_a_stream(events: list[tuple[str, str]]) -> bool:
    """Say whether the last event is one that ends a model's answer."""
    if not events:
        return False
    name, data = events[-1]
    document = _object(data)
    if data.strip() == "[DONE]" or name in _LAST_EVENTS or document.get("type") in _LAST_EVENTS:
        return True
    if document.get("type") == "message_delta" and _member(document, "delta").get("stop_reason"):
        return True  # Anthropic's last but one, at which litellm leaves: the answer and its usage are there
    if "candidates" in document:  # Gemini
        return all(candidate.get("finishReason") for candidate in _objects(document["candidates"]))
    if "choices" not in document:
        return False
    begun: set[Any] = set()
    finished: set[Any] = set()
    for _, each in events:
        for choice in _objects(_object(each).get("choices")):
            (finished if choice.get("finish_reason") else begun).add(str(choice.get("index")))
    return bool(finished) and begun <= finished


def _answers_calls(request: str, events: list[tuple[str, str]]) -> bool:
    """Say whether each JSON-RPC call of a request has its response among the events: MCP, A2A."""
    sent = _parse(request)
    if sent is None and '"method"' in request:  # a call that was too long to be kept whole
        return _answers_any_call(request, events)
    calls = [call for call in (_objects(sent) or _objects([sent])) if "id" in call and "method" in call]
    answers = _answers(events)
    if not calls:
        return False
    for call in calls:
        mine = [message for message in answers if message.get("id") == call["id"]]
        if not mine or (call["method"] in _STREAMING_CALLS and not _is_last(mine[-1])):
            return False
    return True


def _answers_any_call(request: str, events: list[tuple[str, str]]) -> bool:
    answers = _answers(events)
    goes_on = any(f'"{name}"' in request for name in _STREAMING_CALLS)
    return bool(answers) and (not goes_on or _is_last(answers[-1]))


def _answers(events: list[tuple[str, str]]) -> list[Mapping[str, Any]]:
    messages = [_object(data) for _, data in events]
    return [message for message in messages if "jsonrpc" in message and message.keys() & {"result", "error"}]


def _is_last(message: Mapping[str, Any]) -> bool:
    """Say whether an event of A2A is the last: an error, a message, a final update, or a task in a last state."""
    if "error" in message:
        return True
    result = _member(message, "result")
    if result.get("final") is True or result.get("kind") == "message" or "message" in result:
        return True
    for part in (result, _member(result, "task"), _member(result, "statusUpdate")):
        state = str(_member(part, "status").get("state", ""))
        if state.lower().removeprefix("task_state_").replace("_", "-") in _LAST_STATES:
            return True
    return False


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _object(text: str) -> Mapping[str, Any]:
    value = _parse(text) if text[:1] == "{" else None
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _objects(value: object) -> list[Mapping[str, Any]]:
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("Mapping[str, Any]", item) for item in items if isinstance(item, dict)]


def _member(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    return cast("Mapping[str, Any]", found) if isinstance(found, dict) else {}
