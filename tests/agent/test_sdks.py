"""The SDKs that agents are written with, against a local host that speaks their services' wire formats."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from agent.host import closed_port, drops
from agent.models import WORDS, busy_once, serve_models

if TYPE_CHECKING:
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

WHOLE = [
    pytest.param(open_ai, async_open_ai, chat, "/v1/chat/completions", GPT, CHAT_USAGE, id="chat"),
    pytest.param(open_ai, async_open_ai, respond, "/v1/responses", GPT, RESPONSE_USAGE, id="responses"),
    pytest.param(open_ai, async_open_ai, embed, "/v1/embeddings", EMBEDDER, {"input": 8, "total": 8}, id="embeddings"),
    pytest.param(claude, async_claude, message, "/v1/messages", CLAUDE, MESSAGE_USAGE, id="messages"),
]
STREAMED = [parameters for parameters in WHOLE if parameters.id != "embeddings"]
COLUMNS = "make, make_async, ask, path, model, usage"


class Check:
    """Compares what an SDK gave with and without us, and looks at the one event that it left."""

    def __init__(self, record: Record, path: str, model: str, usage: dict[str, int]) -> None:
        self._record = record
        self._path = path
        self._model = model
        self._usage = usage

    def same(self, without: Any, ours: Any) -> None:
        """The answers are equal, and there is one true event."""
        assert dumped(ours) == dumped(without)
        event = self._record.one()
        assert (event["method"], event["path"], event["status_code"]) == ("POST", self._path, 200)
        assert event["error"] == ""
        assert "aborted" not in event["metadata"]
        assert event["custom_properties"]["model"] == self._model
        assert event["custom_properties"]["usage"] == self._usage
        assert KEY not in str(event)


@pytest.fixture
def models(outside: Host) -> Host:
    """A host outside the domain that speaks as OpenAI and Anthropic do."""
    serve_models(outside)
    return outside


@pytest.mark.parametrize(COLUMNS, WHOLE)
def test_a_whole_answer(
    make: Any,
    make_async: Any,
    ask: Any,
    path: str,
    model: str,
    usage: dict[str, int],
    session: AgentSession,
    models: Host,
    record: Record,
) -> None:
    with make(models.url, None) as client:
        without = ask(client)
    with make(models.url, session.client()) as client:
        ours = ask(client)
    Check(record, path, model, usage).same(without, ours)


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize(COLUMNS, WHOLE)
def test_a_whole_answer_asynchronously(
    loop: str,
    make: Any,
    make_async: Any,
    ask: Any,
    path: str,
    model: str,
    usage: dict[str, int],
    session: AgentSession,
    models: Host,
    record: Record,
) -> None:
    async def call(http_client: Any) -> Any:
        async with make_async(models.url, http_client) as client:
            return await ask(client)

    without = anyio.run(call, None, backend=loop)
    ours = anyio.run(call, session.async_client(), backend=loop)
    Check(record, path, model, usage).same(without, ours)


@pytest.mark.parametrize(COLUMNS, STREAMED)
def test_a_streamed_answer(
    make: Any,
    make_async: Any,
    ask: Any,
    path: str,
    model: str,
    usage: dict[str, int],
    session: AgentSession,
    models: Host,
    record: Record,
) -> None:
    with make(models.url, None) as client:
        without = list(ask(client, stream=True))
    with make(models.url, session.client()) as client:
        ours = list(ask(client, stream=True))
    Check(record, path, model, usage).same(without, ours)
    assert record.one()["metadata"]["stream"]["text"] == "".join(WORDS)


# OpenAI's stops reading at `[DONE]`; trio says it of the generators that are left then, without us as well.
@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize(COLUMNS, STREAMED)
def test_a_streamed_answer_asynchronously(
    loop: str,
    make: Any,
    make_async: Any,
    ask: Any,
    path: str,
    model: str,
    usage: dict[str, int],
    session: AgentSession,
    models: Host,
    record: Record,
) -> None:
    async def call(http_client: Any) -> list[Any]:
        async with make_async(models.url, http_client) as client:
            return [piece async for piece in await ask(client, stream=True)]

    without = anyio.run(call, None, backend=loop)
    ours = anyio.run(call, session.async_client(), backend=loop)
    Check(record, path, model, usage).same(without, ours)


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
