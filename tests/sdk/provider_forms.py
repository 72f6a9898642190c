"""A host that speaks the documented wire forms of model providers: one short answer, whole or streamed."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from agent.host import as_json, streams
from agent.models import WORDS, serve_models

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from agent.host import Answer, Host, Received

TEXT = "".join(WORDS)
MODEL = "gpt-4o-2024-08-06"


def serve_providers(host: Host) -> None:
    """Have a host answer as OpenAI, Anthropic, Gemini, Mistral, Cohere, Groq, Together, Ollama and a router do."""
    serve_models(host)
    chat = host.answer_to("/v1/chat/completions")
    for path in ("/openai/v1/chat/completions", "/chat/completions"):  # Groq; what a base URL leads to
        host.on(path, chat)
    for version in ("v1", "v1beta"):
        model = f"/{version}/models/gemini-2.5-flash"
        host.on(f"{model}:generateContent", as_json(_gemini(TEXT, last=True)))
        host.on(f"{model}:streamGenerateContent", streams(list(_gemini_stream())))
    host.on("/v2/chat", _by_flag(_cohere(), _cohere_stream, default=False))
    host.on("/api/chat", _by_flag(_ollama(TEXT, done=True), _ollama_stream, default=True, kind="application/x-ndjson"))
    # Hugging Face's client asks its hub where a model is served.
    host.on("/api/models/some/model", as_json({"id": "some/model", "pipeline_tag": "text-generation"}))


def _by_flag(
    whole: dict[str, Any],
    pieces: Callable[[], Iterable[bytes]],
    *,
    default: bool,
    kind: str = "text/event-stream",
) -> Answer:
    """Answer whole or streamed, as the request's `stream` says."""

    def answer(request: Received) -> Iterable[bytes]:
        if json.loads(request.body).get("stream", default):
            return streams(pieces(), kind)(request)
        return as_json(whole)(request)

    return answer


def _data(document: dict[str, Any], end: bytes = b"\n\n") -> bytes:
    return b"data: " + json.dumps(document).encode() + end


# ---- Gemini, as ai.google.dev documents it


def _gemini(text: str, *, last: bool) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    usage: dict[str, Any] = {"promptTokenCount": 9, "totalTokenCount": 9}
    if last:
        candidate["finishReason"] = "STOP"
        usage = {
            "promptTokenCount": 9,
            "cachedContentTokenCount": 4,
            "candidatesTokenCount": 7,
            "thoughtsTokenCount": 5,
            "totalTokenCount": 21,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 9}],
        }
    return {
        "candidates": [candidate],
        "usageMetadata": usage,
        "modelVersion": "gemini-2.5-flash",
        "responseId": "r-1",
    }


def _gemini_stream() -> Iterator[bytes]:
    for number, word in enumerate(WORDS, start=1):
        yield _data(_gemini(word, last=number == len(WORDS)), b"\r\n\r\n")


GEMINI_USAGE = {"input": 9, "output": 12, "total": 21, "cached_input": 4, "reasoning": 5}


# ---- Cohere, as docs.cohere.com documents it

_COHERE_USAGE = {
    "billed_units": {"input_tokens": 5, "output_tokens": 12},
    "tokens": {"input_tokens": 9, "output_tokens": 12},
}
COHERE_USAGE = {"input": 9, "output": 12, "total": 21}


def _cohere() -> dict[str, Any]:
    return {
        "id": "c-1",
        "finish_reason": "COMPLETE",
        "message": {"role": "assistant", "content": [{"type": "text", "text": TEXT}]},
        "usage": _COHERE_USAGE,
    }


def _cohere_stream() -> Iterator[bytes]:
    documents: list[dict[str, Any]] = [
        {"type": "message-start", "id": "c-1", "delta": {"message": {"role": "assistant", "content": []}}},
        {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
        *({"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": word}}}} for word in WORDS),
        {"type": "content-end", "index": 0},
        {"type": "message-end", "id": "c-1", "delta": {"finish_reason": "COMPLETE", "usage": _COHERE_USAGE}},
    ]
    for document in documents:
        yield f"event: {document['type']}\n".encode() + _data(document)


# ---- Ollama, as docs.ollama.com documents it

OLLAMA_USAGE = {"input": 9, "output": 12, "total": 21}


def _ollama(text: str, *, done: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "model": "llama3.2",
        "created_at": "2026-11-01T12:00:00.000000Z",
        "message": {"role": "assistant", "content": text},
        "done": done,
    }
    if done:
        document |= {"done_reason": "stop", "total_duration": 5, "prompt_eval_count": 9, "eval_count": 12}
    return document


def _ollama_stream() -> Iterator[bytes]:
    for word in WORDS:
        yield json.dumps(_ollama(word, done=False)).encode() + b"\n"
    yield json.dumps(_ollama("", done=True)).encode() + b"\n"


def names_a_model(path: str) -> bool:
    """Say whether a path names the model, as Gemini's and Bedrock's do."""
    return re.search(r"/models?/", path) is not None
