"""The SDKs that agents are written with, against a local host that speaks their services' wire formats."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from agent.host import closed_port, drops
from agent.models import WORDS, busy_once, serve_models

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.host import Host
    from agent.record import Record
    from otas_middleware.agent import AgentSession

if find_spec("openai") is None or find_spec("anthropic") is None:
    pytest.skip("the group `agents` is not installed: no SDKs of OpenAI and Anthropic", allow_module_level=True)

KEY = "sk-test-0123456789abcdef"
QUESTION: list[Any] = [{"role": "user", "content": "How long do refunds take?"}]


def sdk(name: str) -> Any:
    """Import an SDK, which takes so long that only workers that run these tests should."""
    return import_module(name)


def dumped(value: Any) -> Any:
    """What an SDK gave, as plain data."""
    return value.model_dump() if hasattr(value, "model_dump") else [dumped(item) for item in value]


def open_ai(url: str, http_client: Any) -> Any:
    return sdk("openai").OpenAI(api_key=KEY, base_url=url + "/v1", http_client=http_client)


def async_open_ai(url: str, http_client: Any) -> Any:
    return sdk("openai").AsyncOpenAI(api_key=KEY, base_url=url + "/v1", http_client=http_client)


def claude(url: str, http_client: Any) -> Any:
    return sdk("anthropic").Anthropic(api_key=KEY, base_url=url, http_client=http_client)


def async_claude(url: str, http_client: Any) -> Any:
    return sdk("anthropic").AsyncAnthropic(api_key=KEY, base_url=url, http_client=http_client)


def chat(client: Any, **options: Any) -> Any:
    return client.chat.completions.create(model="gpt-4o", messages=QUESTION, **options)


def respond(client: Any, **options: Any) -> Any:
    return client.responses.create(model="gpt-4o", input="How long?", **options)


def embed(client: Any) -> Any:
    return client.embeddings.create(model="text-embedding-3-small", input="refunds", encoding_format="float")


def message(client: Any, **options: Any) -> Any:
    return client.messages.create(model="claude-test-1", max_tokens=64, messages=QUESTION, **options)


CHAT_USAGE = {"input": 9, "output": 12, "total": 21}
RESPONSE_USAGE = {**CHAT_USAGE, "cached_input": 4, "reasoning": 5}
MESSAGE_USAGE = {"input": 28, "output": 15, "total": 43, "cached_input": 3}
GPT, CLAUDE, EMBEDDER = "gpt-4o-2024-08-06", "claude-test-1", "text-embedding-3-small"


@dataclass(frozen=True)
class Call:
    """A call of an SDK, and what its event is to say."""

    make: Callable[[str, Any], Any]
    make_async: Callable[[str, Any], Any]
    ask: Callable[..., Any]
    path: str
    model: str
    usage: dict[str, int]

    def check(self, record: Record, without: Any, ours: Any) -> None:
        """What the SDK gave with us is what it gave without, and it left one true event."""
        assert dumped(ours) == dumped(without)
        event = record.one()
        assert (event["method"], event["path"], event["status_code"]) == ("POST", self.path, 200)
        assert event["error"] == ""
        assert "aborted" not in event["metadata"]
        assert event["custom_properties"]["model"] == self.model
        assert event["custom_properties"]["usage"] == self.usage
        assert KEY not in str(event)


STREAMED = {
    "chat": Call(open_ai, async_open_ai, chat, "/v1/chat/completions", GPT, CHAT_USAGE),
    "responses": Call(open_ai, async_open_ai, respond, "/v1/responses", GPT, RESPONSE_USAGE),
    "messages": Call(claude, async_claude, message, "/v1/messages", CLAUDE, MESSAGE_USAGE),
}
WHOLE = {
    **STREAMED,
    "embeddings": Call(open_ai, async_open_ai, embed, "/v1/embeddings", EMBEDDER, {"input": 8, "total": 8}),
}


@pytest.fixture
def models(outside: Host) -> Host:
    """A host outside the domain that speaks as OpenAI and Anthropic do."""
    serve_models(outside)
    return outside


@pytest.mark.parametrize("call", WHOLE.values(), ids=WHOLE)
def test_a_whole_answer(call: Call, session: AgentSession, models: Host, record: Record) -> None:
    with call.make(models.url, None) as client:
        without = call.ask(client)
    with call.make(models.url, session.client()) as client:
        ours = call.ask(client)
    call.check(record, without, ours)


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize("call", WHOLE.values(), ids=WHOLE)
def test_a_whole_answer_asynchronously(
    loop: str, call: Call, session: AgentSession, models: Host, record: Record
) -> None:
    async def answer(http_client: Any) -> Any:
        async with call.make_async(models.url, http_client) as client:
            return await call.ask(client)

    without = anyio.run(answer, None, backend=loop)
    ours = anyio.run(answer, session.async_client(), backend=loop)
    call.check(record, without, ours)


@pytest.mark.parametrize("call", STREAMED.values(), ids=STREAMED)
def test_a_streamed_answer(call: Call, session: AgentSession, models: Host, record: Record) -> None:
    with call.make(models.url, None) as client:
        without = list(call.ask(client, stream=True))
    with call.make(models.url, session.client()) as client:
        ours = list(call.ask(client, stream=True))
    call.check(record, without, ours)
    assert record.one()["metadata"]["stream"]["text"] == "".join(WORDS)


# OpenAI's stops reading at `[DONE]`; trio says it of the generators that are left then, without us as well.
@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize("call", STREAMED.values(), ids=STREAMED)
def test_a_streamed_answer_asynchronously(
    loop: str, call: Call, session: AgentSession, models: Host, record: Record
) -> None:
    async def answer(http_client: Any) -> list[Any]:
        async with call.make_async(models.url, http_client) as client:
            return [piece async for piece in await call.ask(client, stream=True)]

    without = anyio.run(answer, None, backend=loop)
    ours = anyio.run(answer, session.async_client(), backend=loop)
    call.check(record, without, ours)


def test_anthropics_stream_helper_gives_the_text_as_without_us(
    session: AgentSession, models: Host, record: Record
) -> None:
    with (
        claude(models.url, session.client()) as client,
        client.messages.stream(model=CLAUDE, max_tokens=64, messages=QUESTION) as stream,
    ):
        assert "".join(stream.text_stream) == "".join(WORDS)
        assert stream.get_final_message().usage.output_tokens == 15
    assert record.one()["custom_properties"]["usage"] == MESSAGE_USAGE


@pytest.mark.parametrize(
    ("make", "default", "ask"), [(open_ai, "openai", chat), (claude, "anthropic", message)], ids=["openai", "anthropic"]
)
def test_an_sdks_own_default_client_can_be_instrumented(
    make: Any, default: str, ask: Any, session: AgentSession, models: Host, record: Record
) -> None:
    with make(models.url, session.instrument(sdk(default).DefaultHttpxClient())) as client:
        ask(client)
    assert record.one()["status_code"] == 200


@pytest.mark.parametrize(
    ("make", "ask", "path"),
    [(open_ai, chat, "/v1/chat/completions"), (claude, message, "/v1/messages")],
    ids=["openai", "anthropic"],
)
def test_each_try_of_an_sdk_is_an_event(
    make: Any, ask: Any, path: str, session: AgentSession, models: Host, record: Record
) -> None:
    busy_once(models, path)
    with make(models.url, session.client()) as client:
        ask(client)
    events = record.events()
    assert [(event["status_code"], event["error"]) for event in events] == [(429, "429 Too Many Requests"), (200, "")]
    assert len({event["metadata"]["event_id"] for event in events}) == 2


@pytest.mark.parametrize(
    ("make", "ask", "path"),
    [(open_ai, chat, "/v1/chat/completions"), (claude, message, "/v1/messages")],
    ids=["openai", "anthropic"],
)
def test_an_sdks_errors_are_its_own(
    make: Any, ask: Any, path: str, session: AgentSession, models: Host, record: Record
) -> None:
    models.on(path, drops)
    for url in (models.url, closed_port()):
        errors: list[Exception] = []
        for http_client in (None, session.client()):
            with make(url, http_client) as client, pytest.raises(Exception) as failure:  # noqa: PT011  # compared
                ask(client.with_options(max_retries=0))
            errors.append(failure.value)
        assert type(errors[0]) is type(errors[1])
        assert type(errors[0]).__name__ == "APIConnectionError"
    assert [event["status_code"] for event in record.events()] == [0, 0]
    assert all(event["custom_properties"]["model"] for event in record.events())
