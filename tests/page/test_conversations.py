"""What models and tools were asked and answered, in a real browser. `make page-test` runs these."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from page.browser import looking_at

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from localbrain.wire import Client

pytestmark = pytest.mark.slow

Body = dict[str, Any]

OPENAI: Body = {
    "model": "some-model",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hi?"}]},
    ],
}
ANTHROPIC: Body = {"model": "some-model", "system": "Be brief.", "messages": [{"role": "user", "content": "Hi?"}]}
CALL: Body = {"id": "c", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
STREAM: list[Body] = [
    {"choices": [{"delta": {"content": "Hello"}}]},
    {"choices": [{"delta": {"content": " there"}}]},
    {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"name": "add", "arguments": '{"a"'}}]}}]},
    {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]}}]},
    {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}},
]
ANTHROPIC_STREAM: list[Body] = [
    {"type": "message_start", "message": {"usage": {"input_tokens": 7, "output_tokens": 3}}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello there"}},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "name": "add", "input": {}}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"a": 1}'}},
]
USAGE = {"prompt_tokens": 7, "completion_tokens": 3}
OTHER_USAGE = {"input_tokens": 7, "output_tokens": 3}


def stream(chunks: list[Body]) -> str:
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        (OPENAI, {"choices": [{"message": {"content": "Hello there", "tool_calls": [CALL]}}], "usage": USAGE}),
        (OPENAI, stream(STREAM)),
        (
            ANTHROPIC,
            {
                "content": [
                    {"type": "text", "text": "Hello there"},
                    {"type": "tool_use", "id": "c", "name": "add", "input": {"a": 1}},
                ],
                "usage": OTHER_USAGE,
            },
        ),
        (ANTHROPIC, stream(ANTHROPIC_STREAM)),
        (
            {"model": "some-model", "instructions": "Be brief.", "input": [{"role": "user", "content": "Hi?"}]},
            {
                "output": [
                    {"type": "message", "content": [{"type": "output_text", "text": "Hello there"}]},
                    {"type": "function_call", "id": "c", "name": "add", "arguments": '{"a": 1}'},
                ],
                "usage": OTHER_USAGE,
            },
        ),
    ],
    ids=["chat", "streamed chat", "messages", "streamed messages", "responses"],
)
def test_a_model_shows_prompt_answer_tokens_and_tool_calls_before_the_raw_bodies(
    browser: Browser, client: Client, asked: Body, answered: Body | str
) -> None:
    reply = answered if isinstance(answered, str) else json.dumps(answered)
    client.log(path="/v1/model", method="POST", request_body=json.dumps(asked), response_body=reply)
    with looking_at(browser, client.brain, "events?event=1") as sight:
        part = sight.page.get_by_role("region", name="Model", exact=True)
        part.wait_for()
        assert part.locator("h4").all_inner_texts() == ["system", "user", "answer", "calls add"]
        assert [text.replace("\n", "").replace(" ", "") for text in part.locator("pre").all_inner_texts()] == [
            "Bebrief.",
            "Hi?",
            "Hellothere",
            '{"a":1}',
        ]
        part.get_by_text("Tokens: 7 input · 3 output").wait_for()
        raw, shown = sight.page.get_by_role("region", name="Response body").bounding_box(), part.bounding_box()
        assert raw is not None
        assert shown is not None
        assert raw["y"] > shown["y"]


@pytest.mark.parametrize(
    ("fields", "title", "texts"),
    [
        (
            {
                "request_body": '{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "add", '
                '"arguments": {"a": 1}}}',
                "response_body": 'event: message\ndata: {"jsonrpc": "2.0", "id": 1, "result": {"content": '
                '[{"type": "text", "text": "two"}]}}\n\n',
            },
            "Tool add",
            ['{"a":1}', "two"],
        ),
        (
            {"request_body": '{"a": 1}', "response_body": "two", "custom_properties": {"tool": "add"}},
            "Tool add",
            ['{"a":1}', "two"],
        ),
    ],
    ids=["MCP", "the agent's own"],
)
def test_a_tool_shows_arguments_and_result(
    browser: Browser, client: Client, fields: Body, title: str, texts: list[str]
) -> None:
    client.log(**fields)
    with looking_at(browser, client.brain, "events?event=1") as sight:
        part = sight.page.get_by_role("region", name="Tool", exact=True)
        part.get_by_role("heading", name=title).wait_for()
        found = [text.replace("\n", "").replace(" ", "") for text in part.locator("pre").all_inner_texts()]
        assert found == texts


@pytest.mark.parametrize(
    ("operation", "request_body", "answer", "texts"),
    [
        (
            {"protocol": "mcp", "name": "resources/read", "outcome": "ok"},
            {"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {"uri": "orders://42"}},
            {"jsonrpc": "2.0", "id": 1, "result": {"contents": []}},
            ['{"uri":"orders://42"}', '{"contents":[]}'],
        ),
        (
            {"protocol": "graphql", "name": "query Orders", "outcome": "ok"},
            {"query": "query Orders { a }", "variables": {"id": 1}},
            {"data": {"a": 2}},
            ["queryOrders{a}", '{"id":1}', '{"a":2}'],
        ),
    ],
    ids=["MCP", "GraphQL"],
)
def test_an_operation_shows_arguments_and_result(
    browser: Browser, client: Client, operation: Body, request_body: Body, answer: Body, texts: list[str]
) -> None:
    client.log(
        path="/api",
        metadata={"operation": operation},
        request_body=json.dumps(request_body),
        response_body=json.dumps(answer),
    )
    with looking_at(browser, client.brain, "events?event=1") as sight:
        sight.page.get_by_role("heading", name=operation["name"], level=2).wait_for()
        part = sight.page.get_by_role("region", name="Operation", exact=True)
        found = [text.replace("\n", "").replace(" ", "") for text in part.locator("pre").all_inner_texts()]
        assert found == texts


@pytest.mark.parametrize(
    "fields",
    [
        {"request_body": '{"model": "T", "price": 3}', "response_body": "{}"},
        {"request_body": '{"input": "text"}', "response_body": '{"content": [1]}'},
        {"request_body": "[1]", "response_body": "data: no stream"},
        {"request_body": "null", "response_body": "null", "metadata": ["odd"], "custom_properties": ["odd"]},
    ],
)
def test_what_is_no_model_and_no_tool_is_shown_as_it_is(browser: Browser, client: Client, fields: Body) -> None:
    client.log(**fields)
    with looking_at(browser, client.brain, "events?event=1") as sight:
        sight.page.get_by_role("region", name="Response body").wait_for()
        assert sight.page.locator(".conversation").count() == 0
