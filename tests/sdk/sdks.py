"""Each SDK asked for one answer by the way that `docs/sdks.md` gives for it, instrumented and bare.

Every entry of `SDKS` makes one call, whole or streamed, synchronous or not, and returns the text that the SDK gave.
With `session=None` the SDK uses the client that it makes itself.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sdk.provider_forms import COHERE_USAGE, GEMINI_USAGE, OLLAMA_USAGE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from otas_middleware.agent import AgentSession

    Ask = Callable[[AgentSession | None, str, bool], str]
    AskAsync = Callable[[AgentSession | None, str, bool], Awaitable[str]]

QUESTION: list[Any] = [{"role": "user", "content": "How long do refunds take?"}]
OPENAI_MODEL = "gpt-4o-2024-08-06"
CHAT_USAGE = {"input": 9, "output": 12, "total": 21}
RESPONSES_USAGE = {"input": 9, "output": 12, "total": 21, "cached_input": 4, "reasoning": 5}
MESSAGE_USAGE = {"input": 28, "output": 15, "total": 43, "cached_input": 3}


@dataclass(frozen=True)
class Sdk:
    """One row of the table in `docs/sdks.md`.

    Attributes:
        name: What the test is called.
        module: What has to be importable.
        path: Where its calls go at the provider.
        model: The model that the event names.
        usage: The usage that the event has.
        ask: Asks synchronously; None where the SDK cannot.
        ask_async: Asks on asyncio; None where the SDK cannot.
        beside: Paths of other calls that it makes with its client.
    """

    name: str
    module: str
    path: str
    model: str = OPENAI_MODEL
    usage: dict[str, int] = field(default_factory=lambda: CHAT_USAGE)
    ask: Ask | None = None
    ask_async: AskAsync | None = None
    beside: tuple[str, ...] = ()


def _module(name: str) -> Any:
    return import_module(name)  # not every environment has every SDK, and some have no types


def library_of(sdk: Any) -> str:
    """The httpx that a generated SDK is built on, by the class of its own default client."""
    return next(str(base.__name__) for base in _libraries() if issubclass(sdk.DefaultHttpxClient, base.Client))


def _libraries() -> list[Any]:
    found: list[Any] = []
    for name in ("httpx2", "httpx"):
        try:
            found.append(_module(name))
        except ImportError:
            continue
    return found


# ---- OpenAI, and the SDKs that are generated as its is


def _chat_text(answer: Any, stream: bool) -> str:
    if stream:
        return "".join(piece.choices[0].delta.content or "" for piece in answer if piece.choices)
    return str(answer.choices[0].message.content)


async def _chat_text_async(answer: Any, stream: bool) -> str:
    if stream:
        return "".join([piece.choices[0].delta.content or "" async for piece in answer if piece.choices])
    return str(answer.choices[0].message.content)


def _generated(module: str, client: str, base: str = "") -> tuple[Ask, AskAsync]:
    def ask(session: AgentSession | None, url: str, stream: bool) -> str:
        sdk = _module(module)
        http = session.client(library=library_of(sdk)) if session else None
        with getattr(sdk, client)(api_key="sk-x", base_url=url + base, http_client=http) as made:
            return _chat_text(
                made.chat.completions.create(model="gpt-4o", messages=QUESTION, stream=stream),
                stream,
            )

    async def ask_async(session: AgentSession | None, url: str, stream: bool) -> str:
        sdk = _module(module)
        http = session.async_client(library=library_of(sdk)) if session else None
        async with getattr(sdk, f"Async{client}")(api_key="sk-x", base_url=url + base, http_client=http) as made:
            answer = await made.chat.completions.create(model="gpt-4o", messages=QUESTION, stream=stream)
            return await _chat_text_async(answer, stream)

    return ask, ask_async


def _responses(session: AgentSession | None, url: str, stream: bool) -> str:
    openai = _module("openai")

    http = session.client(library=library_of(openai)) if session else None
    with openai.OpenAI(api_key="sk-x", base_url=url + "/v1", http_client=http) as made:
        answer: Any = made.responses.create(model="gpt-4o", input="How long?", stream=stream)
        if not stream:
            return str(answer.output_text)
        text = ""
        for event in answer:  # left as soon as the answer is complete
            if event.type == "response.output_text.delta":
                text += event.delta
            elif event.type == "response.completed":
                break
        return text


async def _responses_async(session: AgentSession | None, url: str, stream: bool) -> str:
    openai = _module("openai")

    http = session.async_client(library=library_of(openai)) if session else None
    async with openai.AsyncOpenAI(api_key="sk-x", base_url=url + "/v1", http_client=http) as made:
        answer: Any = await made.responses.create(model="gpt-4o", input="How long?", stream=stream)
        if not stream:
            return str(answer.output_text)
        return "".join([event.delta async for event in answer if event.type == "response.output_text.delta"])


def _message_text(event: Any) -> str:
    return str(event.delta.text) if event.type == "content_block_delta" else ""


def _anthropic(session: AgentSession | None, url: str, stream: bool) -> str:
    anthropic = _module("anthropic")

    http = session.client(library=library_of(anthropic)) if session else None
    with anthropic.Anthropic(api_key="sk-x", base_url=url, http_client=http) as made:
        answer: Any = made.messages.create(model="claude-test-1", max_tokens=9, messages=QUESTION, stream=stream)
        return "".join(map(_message_text, answer)) if stream else str(answer.content[0].text)


async def _anthropic_async(session: AgentSession | None, url: str, stream: bool) -> str:
    anthropic = _module("anthropic")

    http = session.async_client(library=library_of(anthropic)) if session else None
    async with anthropic.AsyncAnthropic(api_key="sk-x", base_url=url, http_client=http) as made:
        answer: Any = await made.messages.create(model="claude-test-1", max_tokens=9, messages=QUESTION, stream=stream)
        return "".join([_message_text(event) async for event in answer]) if stream else str(answer.content[0].text)


# ---- Gemini


def _gemini_options(url: str, **clients: Any) -> Any:
    # Named, since its default is another in 3 than in 2, which Google's own agents still need.
    return _module("google.genai.types").HttpOptions(base_url=url, api_version="v1", **clients)


def _gemini(session: AgentSession | None, url: str, stream: bool) -> str:
    genai = _module("google.genai")

    clients: dict[str, Any] = {"httpx_client": session.client()} if session else {}
    with genai.Client(api_key="k", http_options=_gemini_options(url, **clients)) as made:
        asked: dict[str, Any] = {"model": "gemini-2.5-flash", "contents": "How long?"}
        if stream:
            return "".join(str(piece.text) for piece in made.models.generate_content_stream(**asked))
        return str(made.models.generate_content(**asked).text)


async def _gemini_text(clients: dict[str, Any], url: str, stream: bool) -> str:
    genai = _module("google.genai")

    async with genai.Client(api_key="k", http_options=_gemini_options(url, **clients)).aio as made:
        asked: dict[str, Any] = {"model": "gemini-2.5-flash", "contents": "How long?"}
        if stream:
            return "".join([str(piece.text) async for piece in await made.models.generate_content_stream(**asked)])
        return str((await made.models.generate_content(**asked)).text)


async def _gemini_async(session: AgentSession | None, url: str, stream: bool) -> str:
    return await _gemini_text({"httpx_async_client": session.async_client()} if session else {}, url, stream)


async def _gemini_aiohttp(session: AgentSession | None, url: str, stream: bool) -> str:
    if session is None:
        return await _gemini_text({}, url, stream)
    async with session.aiohttp_session() as client:
        return await _gemini_text({"aiohttp_client": client}, url, stream)


# ---- Mistral, Cohere, Ollama, Hugging Face


def _mistral_text(event: Any) -> str:
    return str(event.data.choices[0].delta.content or "") if event.data.choices else ""


def _mistral(session: AgentSession | None, url: str, stream: bool) -> str:
    mistral = _module("mistralai.client").Mistral

    clients: dict[str, Any] = {"client": session.client()} if session else {}
    with mistral(api_key="k", server_url=url, **clients) as made:
        if stream:
            return "".join(map(_mistral_text, made.chat.stream(model="gpt-4o", messages=QUESTION)))
        return str(made.chat.complete(model="gpt-4o", messages=QUESTION).choices[0].message.content)


async def _mistral_async(session: AgentSession | None, url: str, stream: bool) -> str:
    mistral = _module("mistralai.client").Mistral

    clients: dict[str, Any] = {"async_client": session.async_client()} if session else {}
    async with mistral(api_key="k", server_url=url, **clients) as made:
        if stream:
            events = await made.chat.stream_async(model="gpt-4o", messages=QUESTION)
            return "".join([_mistral_text(event) async for event in events])
        return str((await made.chat.complete_async(model="gpt-4o", messages=QUESTION)).choices[0].message.content)


def _cohere_text(event: Any) -> str:
    return str(event.delta.message.content.text) if event.type == "content-delta" else ""


def _cohere(session: AgentSession | None, url: str, stream: bool) -> str:
    cohere = _module("cohere")

    clients: dict[str, Any] = {"httpx_client": session.client(library="httpx")} if session else {}
    made = cohere.ClientV2("k", base_url=url, **clients)
    if stream:
        return "".join(map(_cohere_text, made.chat_stream(model="command-a", messages=QUESTION)))
    return str(made.chat(model="command-a", messages=QUESTION).message.content[0].text)


async def _cohere_async(session: AgentSession | None, url: str, stream: bool) -> str:
    cohere = _module("cohere")

    clients: dict[str, Any] = {"httpx_client": session.async_client(library="httpx")} if session else {}
    made = cohere.AsyncClientV2("k", base_url=url, **clients)
    if stream:
        return "".join([_cohere_text(event) async for event in made.chat_stream(model="command-a", messages=QUESTION)])
    return str((await made.chat(model="command-a", messages=QUESTION)).message.content[0].text)


def _ollama(session: AgentSession | None, url: str, stream: bool) -> str:
    ollama = _module("ollama")

    options: dict[str, Any] = {"transport": session.transport()} if session else {}
    answer: Any = ollama.Client(host=url, **options).chat(model="llama3.2", messages=QUESTION, stream=stream)
    return "".join(piece.message.content for piece in answer) if stream else str(answer.message.content)


async def _ollama_async(session: AgentSession | None, url: str, stream: bool) -> str:
    ollama = _module("ollama")

    options: dict[str, Any] = {"transport": session.async_transport()} if session else {}
    made = ollama.AsyncClient(host=url, **options)
    answer: Any = await made.chat(model="llama3.2", messages=QUESTION, stream=stream)
    return "".join([piece.message.content async for piece in answer]) if stream else str(answer.message.content)


@contextmanager
def _hub(url: str, session: AgentSession | None) -> Generator[Any]:
    """Hugging Face's module with the documented client factories set; its hub is the same host."""
    os.environ["HF_ENDPOINT"] = url  # read when the module is imported first
    hub = _module("huggingface_hub")

    if session is not None:
        hub.set_client_factory(lambda: session.client(follow_redirects=True, timeout=None))
        hub.set_async_client_factory(lambda: session.async_client(follow_redirects=True, timeout=None))
    else:
        library: Any = _module("httpx2")
        hub.set_client_factory(lambda: library.Client(follow_redirects=True, timeout=None))
        hub.set_async_client_factory(lambda: library.AsyncClient(follow_redirects=True, timeout=None))
    yield hub


def _hugging_face(session: AgentSession | None, url: str, stream: bool) -> str:
    with _hub(url, session) as hub:
        made = hub.InferenceClient(model=url + "/v1", token="hf_x")
        return _chat_text(made.chat_completion(QUESTION, stream=stream), stream)


async def _hugging_face_async(session: AgentSession | None, url: str, stream: bool) -> str:
    with _hub(url, session) as hub:
        async with hub.AsyncInferenceClient(model=url + "/v1", token="hf_x") as made:
            return await _chat_text_async(await made.chat_completion(QUESTION, stream=stream), stream)


SDKS = [
    Sdk(
        "openai chat",
        "openai",
        "/v1/chat/completions",
        OPENAI_MODEL,
        CHAT_USAGE,
        *_generated("openai", "OpenAI", "/v1"),
    ),
    Sdk("openai responses", "openai", "/v1/responses", OPENAI_MODEL, RESPONSES_USAGE, _responses, _responses_async),
    Sdk("anthropic", "anthropic", "/v1/messages", "claude-test-1", MESSAGE_USAGE, _anthropic, _anthropic_async),
    Sdk("groq", "groq", "/openai/v1/chat/completions", OPENAI_MODEL, CHAT_USAGE, *_generated("groq", "Groq")),
    Sdk("together", "together", "/v1/chat/completions", OPENAI_MODEL, CHAT_USAGE, *_generated("together", "Together")),
    Sdk(
        "google-genai",
        "google.genai",
        "/v1/models/gemini-2.5-flash",
        "gemini-2.5-flash",
        GEMINI_USAGE,
        _gemini,
        _gemini_async,
    ),
    Sdk(
        "google-genai aiohttp",
        "google.genai",
        "/v1/models/gemini-2.5-flash",
        "gemini-2.5-flash",
        GEMINI_USAGE,
        None,
        _gemini_aiohttp,
    ),
    Sdk("mistralai", "mistralai.client", "/v1/chat/completions", OPENAI_MODEL, CHAT_USAGE, _mistral, _mistral_async),
    Sdk("cohere", "cohere", "/v2/chat", "command-a", COHERE_USAGE, _cohere, _cohere_async),
    Sdk("ollama", "ollama", "/api/chat", "llama3.2", OLLAMA_USAGE, _ollama, _ollama_async),
    Sdk(
        "huggingface_hub",
        "huggingface_hub",
        "/v1/chat/completions",
        ask=_hugging_face,
        ask_async=_hugging_face_async,
        beside=("/api/agent-harnesses",),
    ),
]
