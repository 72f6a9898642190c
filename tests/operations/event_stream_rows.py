"""Valid event streams of no other protocol, a language model's above all."""

from __future__ import annotations

from operations.wire import SSE, Row, post, sse

PIECE = b'{"model": "llama", "message": {"content": "a"}, "done": false}\n'
EVENT_STREAMS = [
    Row(
        "an error's event",
        post(
            {"prompt": "hi"},
            sse({"choices": [{"delta": {"content": "a"}}], "object": "x"})
            + b'event: error\ndata: {"message": "overloaded"}\n\n',
            response_type=SSE,
            route="/chat",
            path="/chat",
        ),
        {"protocol": "sse", "name": "/chat", "outcome": "error"},
        "sse: overloaded",
    ),
    Row(
        "an error at the top of an event",
        post(
            {"prompt": "hi"},
            sse('data: {"error": {"type": "rate_limit", "message": "slow down"}}\n\n'),
            response_type=SSE,
        ),
        {"outcome": "error", "code": "rate_limit"},
        "sse rate_limit: slow down",
    ),
    Row(
        "a model's stream without its end",
        post(
            {"prompt": "hi"},
            sse({"object": "chat.completion.chunk", "choices": [{"delta": {"content": "a"}}]}),
            response_type=SSE,
        ),
        {"outcome": "error", "code": "incomplete"},
        "sse incomplete: the stream ended without its end mark",
    ),
    Row(
        "a model's stream with its end",
        post(
            {"prompt": "hi"},
            sse({"object": "chat.completion.chunk", "choices": [{"delta": {"content": "a"}}]}) + b"data: [DONE]\n\n",
            response_type=SSE,
        ),
        {"outcome": "ok"},
    ),
    Row(
        "a stream of Anthropic's with its end",
        post({}, sse({"type": "message_start", "message": {}}, {"type": "message_stop"}), response_type=SSE),
        {"outcome": "ok"},
    ),
    Row(
        "a stream of the Responses API that failed",
        post(
            {},
            sse(
                {"type": "response.created"},
                {"type": "response.failed", "response": {"error": {"code": "server_error", "message": "broke"}}},
            ),
            response_type=SSE,
        ),
        {"protocol": "sse", "outcome": "error", "code": "server_error"},
        "sse server_error: broke",
    ),
    Row(
        "an error of the Responses API without its event's name",
        post(
            {},
            sse('data: {"type": "error", "code": "rate_limit", "message": "slow down", "sequence_number": 3}\n\n'),
            response_type=SSE,
        ),
        {"outcome": "error", "code": "rate_limit"},
        "sse rate_limit: slow down",
    ),
    Row(
        "an error of the Vercel AI SDK",
        post({}, sse('data: {"type": "error", "errorText": "broke"}\n\ndata: [DONE]\n\n'), response_type=SSE),
        {"outcome": "error"},
        "sse error: broke",
    ),
    Row(
        "an error of ChatKit",
        post(
            {},
            sse('data: {"type":"error","code":"stream.error","message":"broke","allow_retry":true}\n\n'),
            response_type=SSE,
        ),
        {"outcome": "error", "code": "stream.error"},
        "sse stream.error: broke",
    ),
    Row(
        "an error whose kind and text are members of their own, as LangGraph sends it",
        post({}, b'event: error\ndata: {"error":"ValueError","message":"broke"}\n\n', response_type=SSE),
        {"outcome": "error", "code": "ValueError"},
        "sse ValueError: broke",
    ),
    Row(
        "an interaction of Gemini's without its end",
        post(
            {}, sse({"event_type": "interaction.created", "interaction": {"status": "in_progress"}}), response_type=SSE
        ),
        {"outcome": "error", "code": "incomplete"},
        "sse incomplete: the stream ended without its end mark",
    ),
    Row(
        "an interaction of Gemini's that failed",
        post(
            {},
            sse(
                {
                    "event_type": "interaction.completed",
                    "interaction": {"object": "interaction", "status": "failed", "errors": [{"message": "no"}]},
                }
            ),
            response_type=SSE,
        ),
        {"outcome": "error"},
        "sse: no",
    ),
    Row(
        "an answer that was refused to an agent of google-adk 2.13.0",
        post(
            {"appName": "shop", "newMessage": {}},
            sse('data: {"errorCode":"SAFETY","errorMessage":"blocked","invocationId":"e-1","author":"shop"}\n\n'),
            response_type=SSE,
        ),
        {"outcome": "error", "code": "SAFETY"},
        "sse SAFETY: blocked",
    ),
    Row(
        "a run of AG-UI that asks its user something",
        post(
            {},
            sse('data: {"type":"RUN_STARTED"}\n\ndata: {"type":"RUN_FINISHED","outcome":{"type":"interrupt"}}\n\n'),
            response_type=SSE,
        ),
        {"outcome": "input_required"},
    ),
    Row(
        "a run of AG-UI that was cancelled",
        post({}, sse('data: {"type":"RUN_FINISHED","outcome":{"type":"cancelled"}}\n\n'), response_type=SSE),
        {"outcome": "cancelled"},
    ),
    Row(
        "an error of AG-UI",
        post(
            {},
            sse('data: {"type":"RUN_STARTED"}\n\ndata: {"type":"RUN_ERROR","message":"broke","code":"E1"}\n\n'),
            response_type=SSE,
        ),
        {"outcome": "error", "code": "E1"},
        "sse E1: broke",
    ),
    Row("an error's event without data", post({}, b"event: error\ndata:\n\n", response_type=SSE), {}, "sse: failed"),
    Row(
        "a model's stream whose end mark no blank line follows",
        post(
            {},
            sse({"object": "chat.completion.chunk", "choices": [{"delta": {"content": "a"}}]}) + b"data: [DONE]",
            response_type=SSE,
        ),
        {"protocol": "sse", "outcome": "ok"},
    ),
    Row(
        "a model's stream of before, without its end",
        post({}, sse({"completion": "a", "stop_reason": None}), response_type=SSE),
        {"outcome": "error", "code": "incomplete"},
        "sse incomplete: the stream ended without its end mark",
    ),
    Row(
        "an error that is true, with its message beside it",
        post({}, sse({"error": True, "message": "broke"}), response_type=SSE),
        {"outcome": "error"},
        "sse: broke",
    ),
    Row(
        "a model's lines that end with an error",
        post({}, PIECE + b'{"error": "the model has stopped"}\n', response_type="application/x-ndjson"),
        {"protocol": "ndjson", "type": "stream", "outcome": "error"},
        "ndjson: the model has stopped",
    ),
    Row(
        "a model's lines without their end",
        post({}, PIECE * 2, response_type="application/x-ndjson"),
        {"outcome": "error", "code": "incomplete"},
        "ndjson incomplete: the stream ended without its end mark",
    ),
    Row(
        "a model's lines, more than are recorded",
        post({}, PIECE * 5_000 + PIECE.replace(b"false", b"true"), response_type="application/x-ndjson"),
        {"protocol": "ndjson", "outcome": "ok"},
    ),
]
