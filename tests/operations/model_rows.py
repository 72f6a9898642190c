"""Answers and streams of language models' services that failed after a status of 200."""

from __future__ import annotations

from operations.wire import SSE, Row, post, sse

ASKED = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
STREAMS: list[tuple[str, list[object], object]] = [
    (
        "Gemini's",
        [{"candidates": [{"content": {"parts": [{"text": "a"}]}}]}],
        {"candidates": [{"content": {"parts": [{"text": "b"}]}, "finishReason": "STOP"}]},
    ),
    (
        "Cohere's",
        [{"type": "message-start"}, {"type": "content-delta", "delta": {"message": {"content": {"text": "a"}}}}],
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE"}},
    ),
    (
        "Vercel's AI SDK",
        [{"type": "start"}, {"type": "text-start", "id": "0"}, {"type": "text-delta", "id": "0", "delta": "a"}],
        {"type": "finish"},
    ),
    (
        "Mistral's Conversations",
        [{"type": "conversation.response.started"}, {"type": "message.output.delta", "content": "a"}],
        {"type": "conversation.response.done", "usage": {"prompt_tokens": 3, "total_tokens": 3}},
    ),
    ("AG-UI", [{"type": "RUN_STARTED"}, {"type": "TEXT_MESSAGE_CONTENT", "delta": "a"}], {"type": "RUN_FINISHED"}),
]
MODELS = [
    *(
        Row(
            f"a stream of {whose} that ends without its end mark",
            post({}, sse(*begun), response_type=SSE),
            {"protocol": "sse", "outcome": "error", "code": "incomplete"},
            "sse incomplete: the stream ended without its end mark",
        )
        for whose, begun, _ in STREAMS
    ),
    *(
        Row(f"a whole stream of {whose}", post({}, sse(*begun, last), response_type=SSE), {"outcome": "ok"})
        for whose, begun, last in STREAMS
    ),
    Row(
        "a prompt that Gemini does not answer",
        post({}, sse({"promptFeedback": {"blockReason": "SAFETY"}}), response_type=SSE),
        {"outcome": "ok"},
    ),
    Row(
        "a list of Gemini's that ends with an error",
        post(
            {"contents": ["hi"]},
            [{"candidates": [1]}, {"error": {"code": 503, "message": "overloaded"}}],
            path="/v1beta/models/m:streamGenerateContent",
        ),
        {"protocol": "model", "outcome": "error", "code": 503},
        "model 503: overloaded",
    ),
    Row(
        "a model's answer that is an error with 200",
        post(ASKED, {"error": {"code": 502, "message": "provider is down"}}, route="/v1/chat/completions"),
        {"protocol": "model", "name": "/v1/chat/completions", "outcome": "error", "code": 502},
        "model 502: provider is down",
    ),
    Row(
        "a model's answer that ended with an error",
        post(ASKED, {"choices": [{"index": 0, "finish_reason": "error", "message": {"content": "a"}}]}),
        {"protocol": "model", "outcome": "error", "code": "error"},
        "model error: the answer ended with an error",
    ),
    Row(
        "an interaction of Gemini's that failed",
        post(
            {"model": "gemini-3-flash", "input": "hi"},
            {"object": "interaction", "status": "failed", "errors": [{"code": "blocked", "message": "no"}]},
        ),
        {"protocol": "model", "outcome": "error", "code": "blocked"},
        "model blocked: no",
    ),
    Row(
        "an answer that was refused to an agent of google-adk 2.13.0",
        post(
            {"appName": "shop", "userId": "u", "sessionId": "s", "newMessage": {"parts": [{"text": "hi"}]}},
            [{"errorCode": "SAFETY", "errorMessage": "blocked", "invocationId": "e-1", "author": "shop"}],
        ),
        {"protocol": "model", "outcome": "error", "code": "SAFETY"},
        "model SAFETY: blocked",
    ),
    Row(
        "a run of LangGraph's that failed, as langgraph-sdk 0.4.14 reads it",
        post(
            {"assistant_id": "agent", "input": {"messages": []}},
            {"__error__": {"error": "ValueError", "message": "no funds"}},
        ),
        {"protocol": "model", "outcome": "error", "code": "ValueError"},
        "model ValueError: no funds",
    ),
    Row(
        "a response of OpenAI's that failed",
        post(
            {"model": "m", "input": "hi"},
            {"object": "response", "status": "failed", "error": {"code": "server_error", "message": "broke"}},
        ),
        {"outcome": "error", "code": "server_error"},
        "model server_error: broke",
    ),
    Row(
        "a model's stream that ended with an error",
        post(
            ASKED,
            sse({"object": "chat.completion.chunk", "choices": [{"index": 0, "finish_reason": "error"}]})
            + b"data: [DONE]\n\n",
            response_type=SSE,
        ),
        {"protocol": "sse", "outcome": "error", "code": "error"},
        "sse error: the answer ended with an error",
    ),
    Row(
        "a stream of Cohere's that ended with an error",
        post(
            ASKED,
            sse({"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "overloaded"}}),
            response_type=SSE,
        ),
        {"protocol": "sse", "outcome": "error", "code": "ERROR"},
        "sse ERROR: overloaded",
    ),
    *(
        Row(
            f"an answer of Cohere's that ended with {reason}",
            post(ASKED, {"finish_reason": reason, "message": {"role": "assistant"}}),
            {"protocol": "model", "outcome": "error", "code": reason},
            f"model {reason}: the answer ended with an error",
        )
        for reason in ("TIMEOUT", "ERROR_LIMIT", "ERROR_TOXIC")
    ),
    Row(
        "a stream of Cohere's that took too long",
        post(ASKED, sse({"type": "message-end", "delta": {"finish_reason": "TIMEOUT"}}), response_type=SSE),
        {"protocol": "sse", "outcome": "error", "code": "TIMEOUT"},
        "sse TIMEOUT: the answer ended with an error",
    ),
    Row(
        "a conversation of Mistral's that failed, as mistralai 3.7.0 reads it",
        post(
            {"inputs": "hi", "agent_id": "ag_1", "stream": True},
            sse(
                {"type": "conversation.response.started", "conversation_id": "conv_1"},
                {"type": "conversation.response.error", "message": "overloaded", "code": 3505},
                name="conversation.response.error",
            ),
            response_type=SSE,
        ),
        {"protocol": "sse", "outcome": "error", "code": 3505},
        "sse 3505: overloaded",
    ),
    Row(
        "a stream of vLLM's that ended with an error",
        post(ASKED, sse({"object": "error", "message": "out of memory", "code": 500}), response_type=SSE),
        {"outcome": "error", "code": 500},
        "sse 500: out of memory",
    ),
    Row(
        "a stream of Dify's that ended with an error",
        post({}, sse({"event": "error", "status": 400, "code": "quota", "message": "used up"}), response_type=SSE),
        {"outcome": "error", "code": "quota"},
        "sse quota: used up",
    ),
]
