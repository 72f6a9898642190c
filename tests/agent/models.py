"""A host that speaks the wire formats of OpenAI and Anthropic: the same short answer, whole or streamed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from agent.host import as_json, response, streams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from agent.host import Answer, Host, Received

WORDS = ["Refunds ", "take ", "two ", "days."]


def _event(document: dict[str, Any], name: str | None = None) -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(document)}\n\n".encode()


def _chat(content: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "gpt-4o-2024-08-06",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": content, "refusal": None}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21},
    }


def _chat_stream() -> Iterator[bytes]:
    def chunk(choices: list[dict[str, Any]], usage: dict[str, int] | None = None) -> bytes:
        return _event(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion.chunk",
                "created": 1_700_000_000,
                "model": "gpt-4o-2024-08-06",
                "choices": choices,
                "usage": usage,
            }
        )

    for word in WORDS:
        yield chunk([{"index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": None}])
    yield chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}])
    yield chunk([], {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21})
    yield b"data: [DONE]\n\n"


def _response(status: str, usage: dict[str, Any] | None) -> dict[str, Any]:
    text: dict[str, Any] = {"type": "output_text", "text": "".join(WORDS), "annotations": []}
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": [text],
    }
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": status,
        "model": "gpt-4o-2024-08-06",
        "output": [message] if usage else [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage,
    }


_RESPONSE_USAGE = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 12,
    "output_tokens_details": {"reasoning_tokens": 5},
    "total_tokens": 21,
}


def _response_stream() -> Iterator[bytes]:
    begun = {"type": "response.created", "sequence_number": 0, "response": _response("in_progress", None)}
    yield _event(begun, "response.created")
    for number, word in enumerate(WORDS, start=1):
        piece: dict[str, Any] = {
            "type": "response.output_text.delta",
            "sequence_number": number,
            "item_id": "msg_1",
            "output_index": 0,
            "content_index": 0,
            "delta": word,
            "logprobs": [],
        }
        yield _event(piece, "response.output_text.delta")
    done = {"type": "response.completed", "sequence_number": 9, "response": _response("completed", _RESPONSE_USAGE)}
    yield _event(done, "response.completed")


def _message(content: list[dict[str, Any]], output: int) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-test-1",
        "content": content,
        "stop_reason": "end_turn" if content else None,
        "stop_sequence": None,
        "usage": {"input_tokens": 25, "output_tokens": output, "cache_read_input_tokens": 3},
    }


def _message_stream() -> Iterator[bytes]:
    yield _event({"type": "message_start", "message": _message([], 1)}, "message_start")
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    yield _event(block, "content_block_start")
    yield _event({"type": "ping"}, "ping")
    for word in WORDS:
        delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
        yield _event(delta, "content_block_delta")
    yield _event({"type": "content_block_stop", "index": 0}, "content_block_stop")
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    yield _event({"type": "message_delta", "delta": end, "usage": {"output_tokens": 15}}, "message_delta")
    yield _event({"type": "message_stop"}, "message_stop")


def _either(whole: dict[str, Any], stream: Callable[[], Iterable[bytes]]) -> Answer:
    def answer(request: Received) -> Iterable[bytes]:
        if json.loads(request.body).get("stream"):
            return streams(stream())(request)
        return as_json(whole)(request)

    return answer


def serve_models(host: Host) -> None:
    """Have a host answer as both services do."""
    text = "".join(WORDS)
    host.on("/v1/chat/completions", _either(_chat(text), _chat_stream))
    host.on("/v1/responses", _either(_response("completed", _RESPONSE_USAGE), _response_stream))
    embedding = {"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}
    usage = {"prompt_tokens": 8, "total_tokens": 8}
    embeddings = {"object": "list", "model": "text-embedding-3-small", "data": [embedding], "usage": usage}
    host.on("/v1/embeddings", as_json(embeddings))
    host.on("/v1/messages", _either(_message([{"type": "text", "text": text}], 15), _message_stream))


def busy_once(host: Host, path: str) -> None:
    """Have a host answer its first request to a path as a service that is overloaded."""
    usual = host.answer_to(path)
    asked: list[Received] = []

    def answer(request: Received) -> Iterable[bytes]:
        asked.append(request)
        if len(asked) == 1:
            body = b'{"error": {"type": "overloaded_error", "message": "busy"}}'
            return [response(body, "429 Too Many Requests", "application/json", ["retry-after-ms: 1"])]
        return usual(request)

    host.on(path, answer)
