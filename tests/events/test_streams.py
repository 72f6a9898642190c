"""Event streams, and the text that models stream in them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from events.exchange import event_of, exchange

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._event import BackendEvent

SECRET = "zq7xkv9wjh3yfb5t"


def stream(*chunks: object, **arguments: Any) -> BackendEvent:
    """Return the event of an answer that streamed these chunks."""
    body = "".join(f"data: {chunk if isinstance(chunk, str) else json.dumps(chunk)}\n\n" for chunk in chunks)
    return event_of(exchange(response_body=body.encode(), response_type="text/event-stream", **arguments))


def chat(text: str, index: int = 0) -> dict[str, Any]:
    return {"object": "chat.completion.chunk", "choices": [{"index": index, "delta": {"role": "a", "content": text}}]}


def arguments_of(text: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}}]}


def message(text: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}


def response(text: str) -> dict[str, Any]:
    return {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": text}


def completion(text: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "text": text}]}


def interaction(text: str) -> dict[str, Any]:
    return {"event_type": "step.delta", "index": 0, "delta": {"type": "text", "text": text}}


def old_completion(text: str) -> dict[str, Any]:
    return {"type": "completion", "completion": text}


DIALECTS: dict[str, Callable[[str], dict[str, Any]]] = {
    "OpenAI chat": chat,
    "OpenAI completions": completion,
    "OpenAI responses": response,
    "Anthropic messages": message,
    "Anthropic completions": old_completion,
    "Gemini interactions": interaction,
}


def test_events_are_recorded_as_they_came_and_counted() -> None:
    event = stream({"a": 1}, "two", "three")
    assert event.response_body == 'data: {"a": 1}\n\ndata: two\n\ndata: three\n\n'
    about = event.metadata["stream"]
    assert (about["events"], about["ended"]) == (3, "complete")
    assert about["first_event_ms"] == event.metadata["ttfb_ms"]
    assert "text" not in about


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_comments_and_unfinished_events_do_not_count(line_end: str) -> None:
    lines = [": ping", "", "event: x", "data: 1", "data: 2", "", "id: 3", "", "data: 4", "", "data: 5"]
    capture = exchange(response_body=line_end.join(lines).encode(), response_type="text/event-stream")
    assert event_of(capture).metadata["stream"]["events"] == 2


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_models_tokens_are_joined_to_its_text(dialect: str) -> None:
    pieces = [DIALECTS[dialect](piece) for piece in ("Hel", "lo, ", "größe", "!")]
    event = stream({"type": "ping"}, *pieces, "[DONE]")
    assert event.metadata["stream"]["text"] == "Hello, größe!"
    assert event.metadata["stream"]["events"] == 6


def test_tool_calls_and_roles_are_no_text() -> None:
    last = '{"choices": [{"index": 0, "delta": {}}]}'
    event = stream(chat("Hi"), arguments_of('{"a":'), arguments_of("1}"), last)
    assert event.metadata["stream"]["text"] == "Hi"


@pytest.mark.parametrize("dialect", [*DIALECTS, "arguments"])
def test_a_secret_that_is_cut_into_tokens_is_masked_in_the_text_and_in_the_tokens(dialect: str) -> None:
    make = arguments_of if dialect == "arguments" else DIALECTS[dialect]
    text = json.dumps({"password": SECRET, "n": 1}) if dialect == "arguments" else f"the password: {SECRET}"
    event = stream(chat("Sure."), *[make(text[at : at + 3]) for at in range(0, len(text), 3)], "[DONE]")
    sent = event.to_json().decode()
    assert SECRET not in sent
    pieces = "".join(line.removeprefix("data: ") for line in event.response_body.splitlines())
    assert not any(f'"{SECRET[at : at + 3]}"' in pieces for at in range(len(SECRET) - 3))
    assert "[REDACTED]" in sent
    assert "Sure." in sent


def gemini(text: str) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": [{"text": text}]}}]}


def events(*data: str) -> str:
    return "".join(f"event: output\ndata: {one}\n\n" for one in data)


PIECES = [f"my password: {SECRET} thanks"[at : at + 3] for at in range(0, 36, 3)]
STREAMS: dict[str, tuple[str, str]] = {
    # what streams so → its media type, and an answer in which a password is cut
    "Replicate: words": ("text/event-stream", events(*PIECES)),
    "LangServe: words as JSON": ("text/event-stream", events(*map(json.dumps, PIECES))),
    "Gemini's REST: a list": ("application/json", json.dumps([gemini(piece) for piece in PIECES], indent=1)),
    "Text Generation Inference: numbered tokens": (
        "text/event-stream",
        events(*(json.dumps({"index": at, "token": {"text": p, "logprob": -0.1}}) for at, p in enumerate(PIECES))),
    ),
    "Titan": ("text/event-stream", events(*(json.dumps({"outputText": piece}) for piece in PIECES))),
    "watsonx": ("text/event-stream", events(*(json.dumps({"results": [{"generated_text": p}]}) for p in PIECES))),
    "AI SDK 5: a tool's input": ("text/event-stream", events(*(json.dumps({"inputTextDelta": p}) for p in PIECES))),
    "JSON Patch": ("text/event-stream", events(*(json.dumps({"p": "/0", "o": "append", "v": p}) for p in PIECES))),
    "RFC 7464": ("application/json-seq", "".join(f"\x1e{json.dumps({'delta': piece})}\n" for piece in PIECES)),
}


@pytest.mark.parametrize("media", STREAMS)
def test_a_secret_that_is_cut_is_masked_in_whatever_way_it_is_streamed(media: str) -> None:
    response_type, body = STREAMS[media]
    event = event_of(exchange(response_body=body.encode(), response_type=response_type))
    assert not any(piece in event.response_body for piece in PIECES[5:9])
    assert "[REDACTED]" in event.response_body
    assert '"my "' in event.response_body or "my \n" in event.response_body
    assert response_type != "application/json" or len(json.loads(event.response_body)) == len(PIECES)


def test_streams_without_a_secret_stay_as_they_came() -> None:
    for response_type, body in STREAMS.values():
        harmless = body.replace("wor", "age").replace("pas", "lov")
        assert (
            event_of(exchange(response_body=harmless.encode(), response_type=response_type)).response_body == harmless
        )


def test_streams_that_broke_off_say_so() -> None:
    assert stream("a", error=ValueError("x")).metadata["stream"]["ended"] == "error"
    capture = exchange(response_body=b"data: a\n\n", response_type="text/event-stream")
    capture.complete, capture.disconnected = False, True
    assert event_of(capture).metadata["stream"]["ended"] == "aborted"


@pytest.mark.parametrize(
    "chunk",
    [
        '{"choices": null, "delta"',
        '{"choices": [1, null, {"delta": 5}, {"delta": {"content": 7, "tool_calls": [3]}}]}',
        '{"type": "content_block_delta", "delta": null}',
        '{"type": "x.delta", "delta": {"a": 1}}',
        '["choices"]',
        '{"choices": ' + "[" * 5000,
    ],
)
def test_chunks_of_any_shape_do_no_harm(chunk: str) -> None:
    assert stream(chunk).metadata["stream"]["events"] == 1


def test_a_stream_of_lists_is_recorded() -> None:
    """As LangGraph streams messages: each with its metadata."""
    pieces: list[list[dict[str, Any]]] = [
        [{"type": "AIMessageChunk", "delta": "my password is hun"}, {"step": 1}],
        [{"delta": "ter2."}, {"step": 2}],
    ]
    for document in pieces:
        document.append({"delta": {"text": "x"}, "type": ["content_block_delta"]})
    body = "".join(f"data: {json.dumps(piece)}\n\n" for piece in pieces)
    event = event_of(exchange(response_body=body.encode(), response_type="text/event-stream"))
    assert event.metadata["stream"]["events"] == 2
