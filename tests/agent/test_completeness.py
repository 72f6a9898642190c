"""Whether an answer that its client left was complete is known from its protocol; long compressed answers too."""

from __future__ import annotations

import gzip
import json
import threading
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from agent.callers import How
from agent.host import replies, response, streams
from otas_middleware._agent.events import is_complete
from otas_middleware._event.render.coding import DecodedEnd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.callers import Caller
    from agent.host import Host, Received
    from agent.record import Record
    from otas_middleware.agent import AgentSession

SSE = "text/event-stream"
CALL = json.dumps({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {}})


def chunk(index: int = 0, finish: str | None = None, text: str = "a") -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": {"content": text}, "finish_reason": finish}]}


def sse(*documents: Any, end: str = "") -> str:
    return "".join(f"data: {json.dumps(document)}\n\n" for document in documents) + end


def rpc(**members: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", **members}


def update(state: str) -> dict[str, Any]:
    return rpc(id=7, result={"kind": "status-update", "status": {"state": state}, "final": state == "completed"})


STREAMING = CALL.replace("tools/call", "message/stream")
LONG = CALL.removesuffix("{}}") + '{"arguments": {"text": "xxxx'
LONG_STREAMING = LONG.replace("tools/call", "message/stream")

COMPLETE = {
    "chat": ("", sse(chunk(), end="data: [DONE]\n\n")),
    "no blank": ("", sse(chunk(), end="data:[DONE]\n\n")),
    "CRLF": ("", sse(chunk(), end="data: [DONE]\r\n\r\n")),
    "no empty line yet": ("", sse(chunk(), end="data: [DONE]")),
    "a comment after the end": ("", sse(chunk(), end="data: [DONE]\n\n: bye\n\n")),
    "each choice finished": ("", sse(chunk(0), chunk(1), chunk(0, "stop"), chunk(1, "stop"))),
    "usage after the finish": ("", sse(chunk(0, "stop"), {"choices": [], "usage": {"total_tokens": 3}})),
    "Responses": ("", "event: response.completed\n" + sse({"type": "response.completed", "response": {}})),
    "Responses without names": ("", sse({"type": "response.incomplete"})),
    "Messages": ("", sse({"type": "message_delta"}, {"type": "message_stop"})),
    "Messages, the last but one": ("", sse({"type": "message_delta", "delta": {"stop_reason": "end_turn"}})),
    "an error": ("", "event: error\ndata: {}\n\n"),
    "an error without its event's name": ("", sse(chunk(), {"error": {"message": "overloaded"}})),
    "Gemini": ("", sse({"candidates": [{"finishReason": "STOP"}]})),
    "Cohere": ("", "event: message-end\n" + sse({"type": "message-end"})),
    "Mistral's Conversations": ("", sse({"type": "conversation.response.done", "usage": {"total_tokens": 3}})),
    "speech, from OpenAI": ("", sse({"type": "speech.audio.done", "usage": {"total_tokens": 3}})),
    "speech, to OpenAI": ("", sse({"type": "transcript.text.done", "text": "hi"})),
    "speech, to Mistral": ("", sse({"type": "transcription.done", "text": "hi"})),
    "an image": ("", sse({"type": "image_generation.completed", "b64_json": "aGk="})),
    "an image, changed": ("", sse({"type": "image_edit.completed", "b64_json": "aGk="})),
    "AG-UI": ("", sse({"type": "RUN_FINISHED"})),
    "MCP": (CALL, "event: message\n" + sse(rpc(id=7, result={}))),
    "MCP, an error": (CALL, sse(rpc(method="notifications/progress"), rpc(id=7, error={"code": 1}))),
    "MCP, an error of which nobody knows the call": (CALL, sse(rpc(id=None, error={"code": -32600}))),
    "MCP, an id that became text": (CALL, sse(rpc(id="7", result={}))),
    "a batch": (f"[{CALL}, {CALL.replace('7', '8')}]", sse(rpc(id=8, result={}), rpc(id=7, result={}))),
    "MCP, a call too long to be kept": (LONG, sse(rpc(method="notifications/progress"), rpc(id=7, result={}))),
    "GraphQL": ("", sse({"data": {}}, end="event: complete\n\n")),
    "GraphQL, with empty data": ("", sse({"data": {}}, end="event: complete\ndata:\n\n")),
    "LangServe": ("", sse({"a": 1}, end="event: end\n\n")),
    "A2A": (STREAMING, sse(update("working"), update("completed"))),
    "A2A, a call too long to be kept": (LONG_STREAMING, sse(update("working"), update("completed"))),
    "A2A, a message": (STREAMING, sse(rpc(id=7, result={"kind": "message", "parts": []}))),
    "A2A 1.0": (STREAMING, sse(rpc(id=7, result={"statusUpdate": {"status": {"state": "TASK_STATE_COMPLETED"}}}))),
}

CUT = {
    "chat": ("", sse(chunk(), chunk())),
    "one choice of two finished": ("", sse(chunk(0), chunk(1), chunk(0, "stop"))),
    "half an end": ("", sse(chunk(), end="data: [DO")),
    "an end that is quoted": ("", sse(chunk(text="data: [DONE]"))),
    "Responses": ("", sse({"type": "response.output_text.delta", "delta": "response.completed"})),
    "Messages": ("", sse({"type": "message_delta", "delta": {"stop_reason": None}})),
    "Gemini": ("", sse({"candidates": [{"content": {}}]})),
    "MCP": (CALL, sse(rpc(method="notifications/progress"))),
    "MCP, another's error": (CALL, sse(rpc(id=8, error={"code": 1}))),
    "MCP, another's answer": (CALL, sse(rpc(id=8, result={}))),
    "MCP, a call too long to be kept": (LONG, sse(rpc(method="notifications/progress"))),
    "A2A, a call too long to be kept": (LONG_STREAMING, sse(update("working"))),
    "half a batch": (f"[{CALL}, {CALL.replace('7', '8')}]", sse(rpc(id=8, result={}))),
    "A2A": (STREAMING, sse(update("working"))),
    "unknown": ("", sse({"tick": 1})),
    "nothing": (CALL, ""),
}


@pytest.mark.parametrize(("request_body", "answer"), COMPLETE.values(), ids=COMPLETE.keys())
def test_a_stream_at_its_protocols_end_is_complete(request_body: str, answer: str) -> None:
    assert is_complete(SSE, request_body, answer)


@pytest.mark.parametrize(("request_body", "answer"), CUT.values(), ids=CUT.keys())
def test_a_stream_before_its_protocols_end_is_not(request_body: str, answer: str) -> None:
    assert not is_complete(SSE, request_body, answer)


@pytest.mark.parametrize(
    ("media", "answer", "complete"),
    [
        ("application/x-ndjson", '{"done": false}\n{"done": true}\n', True),
        ("application/x-ndjson", '{"done": false}\n', False),
        ("application/x-ndjson", '{"done": false}\n{"done": tr', False),
        ("application/json", '{"id": 1}', True),
        ("application/problem+json", '{"id": 1', False),
        (
            "application/vnd.amazon.eventstream",
            '\x00metadata{"metrics":{"latencyMs":5},"usage":{"inputTokens":1}}',
            True,
        ),
        ("application/vnd.amazon.eventstream", '\x00contentBlockDelta{"delta":{"text":"a"}}', False),
        ("text/plain", "all of it?", False),
    ],
)
def test_other_forms_have_ends_of_their_own(media: str, answer: str, complete: bool) -> None:
    assert is_complete(media, "", answer) is complete


ENDS: list[bytes] = [
    b"data: [DONE]\n\n",
    b"data:[DONE]\n\n",
    b'event: message_stop\ndata: {"type": "message_stop"}\n\n',
]


# trio says it of httpx's own generators when a stream is left, without us as well.
@pytest.mark.filterwarnings("ignore:Async generator 'http:ResourceWarning")
@pytest.mark.parametrize("end", ENDS)
def test_a_stream_that_is_left_at_its_end_is_complete(
    caller: Caller, session: AgentSession, outside: Host, record: Record, end: bytes
) -> None:
    left = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield sse(chunk()).encode() + end
        left.wait(5)  # the server is slow to end the body

    outside.on("/stream", streams(pieces()))
    caller.call(session.instrument, "POST", outside.url + "/stream", How(stream=True, pieces=1), json={})
    left.set()
    event = record.one()
    assert "aborted" not in event["metadata"]
    assert event["metadata"]["stream"]["ended"] == "complete"


@pytest.mark.filterwarnings("ignore:Async generator 'http:ResourceWarning")
def test_mcps_stream_of_2024_ends_when_its_client_leaves(
    caller: Caller, session: AgentSession, outside: Host, record: Record
) -> None:
    left = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b"event: endpoint\r\ndata: /messages/?session_id=7\r\n\r\n"
        left.wait(5)

    outside.on("/sse", streams(pieces()))
    caller.call(session.instrument, "GET", outside.url + "/sse", How(stream=True, pieces=1))
    left.set()
    event = record.one()
    assert "aborted" not in event["metadata"]
    assert event["metadata"]["stream"]["ended"] == "complete"


def events_of(count: int) -> list[bytes]:
    usage = {"type": "message_delta", "usage": {"output_tokens": count}}
    begun = {"type": "message_start", "message": {"model": "claude", "usage": {"input_tokens": 25, "output_tokens": 1}}}
    middle = [
        {"type": "content_block_delta", "delta": {"text": f"{number * 7919 % 10007} "}} for number in range(count)
    ]
    return [sse(document).encode() for document in (begun, *middle, usage, {"type": "message_stop"})]


@pytest.mark.parametrize("flushed", [True, False], ids=["flushed for each event", "not flushed"])
@pytest.mark.parametrize("count", [50, 6_000, 60_000])
def test_the_usage_of_a_compressed_stream_of_any_length_is_recorded(
    session: AgentSession, outside: Host, record: Record, count: int, flushed: bool
) -> None:
    coder = zlib.compressobj(6, zlib.DEFLATED, 31)
    pieces = [
        coder.compress(event) + (coder.flush(zlib.Z_SYNC_FLUSH) if flushed else b"") for event in events_of(count)
    ]
    body = b"".join([*pieces, coder.flush()])
    outside.on("/v1/messages", replies(body, content_type=SSE, headers=["Content-Encoding: gzip"]))
    with session.client(trust_env=False) as http:
        http.post(outside.url + "/v1/messages", json={"model": "claude", "messages": []})
    usage = {"input": 25, "output": count, "total": 25 + count}
    assert record.one()["custom_properties"]["usage"] == usage


def test_a_long_compressed_document_says_at_its_end_what_was_used(
    caller: Caller, session: AgentSession, outside: Host, record: Record
) -> None:
    numbers = [number * 0.618033988749895 % 1 for number in range(120_000)]
    document = {"data": [{"embedding": numbers}], "model": "emb", "usage": {"prompt_tokens": 8, "total_tokens": 8}}
    plain = json.dumps(document).encode()
    packed = gzip.compress(plain, 1)
    assert len(packed) > 1_100_000

    def answer(_: Received) -> list[bytes]:
        return [response(packed, content_type="application/json", headers=["Content-Encoding: gzip"])]

    outside.on("/v1/embeddings", answer)
    assert len(
        caller.call(session.instrument, "POST", outside.url + "/v1/embeddings", json={"input": "x"}).body
    ) == len(plain)
    assert record.one()["custom_properties"]["usage"] == {"input": 8, "total": 8}


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_the_end_of_a_body_is_decoded_as_it_comes(coding: str) -> None:
    from events.codings import CODINGS

    plain = b"".join(b"%d " % number for number in range(300_000))
    packed = CODINGS[coding](plain)
    end = DecodedEnd(coding, 1000)
    for start in range(0, len(packed), 1500):
        end.add(packed[start : start + 1500])
    assert end.bytes() == plain[-1000:]


def test_a_bomb_has_no_end() -> None:
    end = DecodedEnd("gzip", 1000)
    for _ in range(40):
        end.add(gzip.compress(bytes(4_000_000)))
    assert end.bytes() == b""


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "gzip, gzip", "aws-chunked", ""])
def test_what_cannot_be_decoded_has_no_end(coding: str) -> None:
    end = DecodedEnd(coding, 1000)
    end.add(b"this is no such thing" * 1000)
    assert end.bytes() == b""


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1/chat/completions", "m"),
        ("/v1/responses", "m"),
        ("/v1/messages", "m"),
        ("/v1beta/models/gemini-2.5-flash:streamGenerateContent", "m"),
        ("/v2/chat", "command-a"),
        ("/api/chat", "llama3.2"),
    ],
)
def test_the_text_of_a_stream_is_joined_whoever_wrote_it(
    session: AgentSession, outside: Host, record: Record, path: str, model: str
) -> None:
    from sdk.provider_forms import TEXT, serve_providers

    serve_providers(outside)
    with session.client(trust_env=False) as http:
        http.post(outside.url + path, json={"model": model, "messages": [], "stream": True})
    stream = record.one()["metadata"]["stream"]
    assert (stream["text"], stream["ended"]) == (TEXT, "complete")
