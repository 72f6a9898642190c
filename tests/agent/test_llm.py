"""What model a call went to and how much it used, read off the answers of OpenAI's, Anthropic's and like services."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otas_middleware._agent.llm import describe

ASKED = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]})


def sse(*documents: object) -> str:
    return "".join(f"data: {json.dumps(document)}\n\n" for document in documents)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(
            json.dumps(
                {
                    "model": "gpt-4o-2024-08-06",
                    "choices": [],
                    "usage": {
                        "prompt_tokens": 9,
                        "completion_tokens": 12,
                        "total_tokens": 21,
                        "prompt_tokens_details": {"cached_tokens": 4},
                        "completion_tokens_details": {"reasoning_tokens": 7},
                    },
                }
            ),
            {
                "model": "gpt-4o-2024-08-06",
                "usage": {"input": 9, "output": 12, "total": 21, "cached_input": 4, "reasoning": 7},
            },
            id="chat completion",
        ),
        pytest.param(
            json.dumps({"model": "emb", "data": [], "usage": {"prompt_tokens": 8, "total_tokens": 8}}),
            {"model": "emb", "usage": {"input": 8, "total": 8}},
            id="embedding",
        ),
        pytest.param(
            json.dumps(
                {"model": "o3", "output": [], "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}}
            ),
            {"model": "o3", "usage": {"input": 1, "output": 2, "total": 3}},
            id="response",
        ),
        pytest.param(
            json.dumps(
                {"model": "claude", "usage": {"input_tokens": 5, "output_tokens": 6, "cache_read_input_tokens": 2}}
            ),
            {"model": "claude", "usage": {"input": 7, "output": 6, "total": 13, "cached_input": 2}},
            id="message",
        ),
        pytest.param(
            sse(
                {"model": "gpt-4o-x", "choices": [{"delta": {"content": "Hel"}}], "usage": None},
                {
                    "model": "gpt-4o-x",
                    "choices": [],
                    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
                },
            )
            + "data: [DONE]\n\n",
            {"model": "gpt-4o-x", "usage": {"input": 3, "output": 2, "total": 5}},
            id="chat completion, streamed",
        ),
        pytest.param(
            sse(
                {"type": "response.created", "response": {"model": "o3", "usage": None}},
                {
                    "type": "response.completed",
                    "response": {"model": "o3", "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}},
                },
            ),
            {"model": "o3", "usage": {"input": 1, "output": 2, "total": 3}},
            id="response, streamed",
        ),
        pytest.param(
            sse(
                {
                    "type": "message_start",
                    "message": {"model": "claude", "usage": {"input_tokens": 25, "output_tokens": 1}},
                },
                {"type": "content_block_delta", "delta": {"text": "Hello"}},
                {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 15}},
                {"type": "message_stop"},
            ),
            {"model": "claude", "usage": {"input": 25, "output": 15, "total": 40}},
            id="message, streamed",
        ),
        pytest.param('{"error": {"message": "busy"}}', {"model": "gpt-4o"}, id="error"),
        pytest.param("", {"model": "gpt-4o"}, id="no answer"),
    ],
)
def test_it_reads(answer: str, expected: dict[str, Any]) -> None:
    assert describe(ASKED, answer) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(
            {
                "model": "claude",
                "usage": {
                    "input_tokens": 4,
                    "cache_creation_input_tokens": 1000,
                    "cache_read_input_tokens": 40000,
                    "output_tokens": 6,
                },
            },
            {"input": 41004, "output": 6, "total": 41010, "cached_input": 40000, "cache_write": 1000},
            id="Anthropic, with its cache",
        ),
        pytest.param(
            {
                "model": "grok-4",
                "choices": [],
                "usage": {
                    "prompt_tokens": 32,
                    "completion_tokens": 9,
                    "total_tokens": 135,
                    "completion_tokens_details": {"reasoning_tokens": 94},
                },
            },
            {"input": 32, "output": 103, "total": 135, "reasoning": 94},
            id="xAI, with its reasoning",
        ),
        pytest.param(
            {
                "modelVersion": "gemini",
                "candidates": [],
                "usageMetadata": {
                    "promptTokenCount": 9,
                    "cachedContentTokenCount": 4,
                    "toolUsePromptTokenCount": 2,
                    "candidatesTokenCount": 7,
                    "thoughtsTokenCount": 5,
                    "totalTokenCount": 23,
                },
            },
            {"input": 11, "output": 12, "total": 23, "cached_input": 4, "reasoning": 5},
            id="Gemini",
        ),
        pytest.param(
            {
                "interaction": {  # google-genai 3.6.1
                    "object": "interaction",
                    "status": "completed",
                    "usage": {
                        "total_input_tokens": 7,
                        "total_cached_tokens": 2,
                        "total_tool_use_tokens": 3,
                        "total_output_tokens": 20,
                        "total_thought_tokens": 22,
                        "total_tokens": 52,
                    },
                }
            },
            {"input": 10, "output": 42, "total": 52, "cached_input": 2, "reasoning": 22},
            id="Gemini's Interactions",
        ),
        pytest.param(
            {
                "model": "claude",
                "usage": {
                    "input_tokens": 10,
                    "cache_creation_input_tokens": 0,
                    "cache_read_input_tokens": 0,
                    "output_tokens": 50,
                    "output_tokens_details": {"thinking_tokens": 30},
                },
            },
            {"input": 10, "output": 50, "total": 60, "cached_input": 0, "cache_write": 0, "reasoning": 30},
            id="Anthropic, with its thinking",
        ),
        pytest.param(
            {
                "model": "claude",
                "usage": {
                    "input_tokens": 10,
                    "cache_read_input_tokens": 0,
                    "output_tokens": 50,
                    "iterations": [  # anthropic 2.14: a compaction's tokens are not in the sums
                        {"type": "compaction", "input_tokens": 900, "cache_read_input_tokens": 80, "output_tokens": 30},
                        {"type": "message", "input_tokens": 10, "cache_read_input_tokens": 0, "output_tokens": 50},
                    ],
                },
            },
            {"input": 990, "output": 80, "total": 1070, "cached_input": 80},
            id="Anthropic, with a conversation that was made shorter",
        ),
        pytest.param(
            {
                "message": {"content": []},
                "usage": {
                    "billed_units": {"input_tokens": 5, "output_tokens": 12},
                    "tokens": {"input_tokens": 9, "output_tokens": 12},
                    "cached_tokens": 4,
                },
            },
            {"input": 9, "output": 12, "total": 21, "cached_input": 4},
            id="Cohere",
        ),
        pytest.param(
            {"embeddings": {}, "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 5}}},
            {"input": 5},
            id="Cohere's embeddings",
        ),
        pytest.param(
            {"model": "llama", "done": True, "prompt_eval_count": 9, "eval_count": 12},
            {"input": 9, "output": 12, "total": 21},
            id="Ollama",
        ),
        pytest.param(
            {
                "model": "mistral",
                "choices": [],
                "usage": {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21},
            },
            {"input": 9, "output": 12, "total": 21},
            id="Mistral",
        ),
        pytest.param(
            {
                "output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}},
                "usage": {
                    "inputTokens": 4,
                    "outputTokens": 6,
                    "totalTokens": 10,
                    "cacheReadInputTokens": 40,
                    "cacheWriteInputTokens": 10,
                },
            },
            {"input": 54, "output": 6, "total": 60, "cached_input": 40, "cache_write": 10},
            id="Bedrock's converse",
        ),
        pytest.param(
            {
                "choices": [],
                "usage": {
                    "prompt_tokens": 9,
                    "completion_tokens": 12,
                    "total_tokens": 21,
                    "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
                },
            },
            {"input": 9, "output": 12, "total": 21, "cached_input": 3, "cache_write": 2},
            id="a router that says what it wrote to the cache",
        ),
    ],
)
def test_counts_mean_the_same_whoever_gave_them(answer: dict[str, Any], expected: dict[str, int]) -> None:
    assert describe("", json.dumps(answer))["usage"] == expected
    assert describe("", sse({"usage": None}, answer))["usage"] == expected


def test_the_counts_of_a_stream_of_anthropics_are_put_together() -> None:
    begun = {"input_tokens": 4, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 10, "output_tokens": 1}
    answer = sse(
        {"type": "message_start", "message": {"model": "claude", "usage": begun}},
        {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 15}},
        {"type": "message_stop"},
    )
    usage = {"input": 54, "output": 15, "total": 69, "cached_input": 40, "cache_write": 10}
    assert describe(ASKED, answer)["usage"] == usage


def test_the_model_stands_in_a_part_of_a_form_where_a_file_goes_along() -> None:
    form = '--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-2\r\n--x\r\n'
    answer = json.dumps({"text": "hi", "usage": {"type": "tokens", "input_tokens": 1, "output_tokens": 2}})
    assert describe(form, answer) == {"model": "whisper-2", "usage": {"input": 1, "output": 2, "total": 3}}
    assert describe(form, '{"text": "hi"}') == {}


def test_a_request_to_rank_documents_names_its_model() -> None:
    asked = json.dumps({"model": "rerank-v4", "query": "q", "documents": ["a"]})
    answer = json.dumps({"results": [], "meta": {"billed_units": {"search_units": 1}}})
    assert describe(asked, answer) == {"model": "rerank-v4"}


def test_lines_of_json_are_read_too() -> None:
    lines: list[dict[str, Any]] = [{"model": "llama", "message": {"content": "a"}, "done": False}]
    lines.append({"model": "llama", "done": True, "prompt_eval_count": 9, "eval_count": 12})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    expected = {"model": "llama", "usage": {"input": 9, "output": 12, "total": 21}}
    assert describe(ASKED, text) == expected
    assert describe(ASKED, text[:60], text[-80:])["usage"] == expected["usage"]


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1beta/models/gemini-2.5-flash:streamGenerateContent", "gemini-2.5-flash"),
        ("/model/anthropic.claude-3-v1:0/converse-stream", "anthropic.claude-3-v1:0"),
        ("/models/7/comments", None),
    ],
)
def test_the_path_names_the_model_where_the_body_does_not(path: str, model: str | None) -> None:
    asked = json.dumps({"contents": [{"parts": [{"text": "hi"}]}], "messages": []})
    assert describe(asked, "", "", path).get("model") == model
    assert describe('{"name": "x"}', "", "", path) == {}


@pytest.mark.parametrize(
    ("request_body", "answer"),
    [
        ("", '{"model": "Volvo 240", "year": 1974}'),
        ('{"model": "Volvo 240", "year": 1974}', '{"id": 1}'),
        ('{"messages": ["hi"]}', '{"ok": true}'),
        ("", '{"usage": {"disk": 3}}'),
        ("", '{"usage": "much"}'),
        ("not json", "<html>"),
        ('["model"]', "[1, 2]"),
        ("{" * 2000, "{" * 2000),
        ('{"model": 4, "messages": []}', '{"model": null}'),
    ],
)
def test_other_services_are_left_alone(request_body: str, answer: str) -> None:
    assert describe(request_body, answer) == {}


def test_counts_that_are_no_counts_are_left_out() -> None:
    usage = {"input_tokens": -1, "output_tokens": True, "total_tokens": "9", "prompt_tokens": 1.5}
    assert describe("", json.dumps({"usage": usage})) == {}


def test_the_end_of_a_long_stream_says_what_was_used() -> None:
    beginning = sse({"model": "gpt-4o-x", "choices": [{"delta": {"content": "a"}}]})
    end = 't": "z"}}]}\n\n' + sse({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 999}})
    assert describe(ASKED, beginning, end) == {
        "model": "gpt-4o-x",
        "usage": {"input": 3, "output": 999, "total": 1002},
    }


def test_the_end_of_a_long_document_says_what_was_used() -> None:
    document = json.dumps({"model": "emb", "data": ["x" * 1000], "usage": {"prompt_tokens": 8, "total_tokens": 8}})
    assert describe("", document[:500], document[-200:]) == {"model": "emb", "usage": {"input": 8, "total": 8}}


def test_a_request_too_long_to_keep_still_names_its_model() -> None:
    assert describe(ASKED[:40] + "x" * 1000, "") == {"model": "gpt-4o"}
