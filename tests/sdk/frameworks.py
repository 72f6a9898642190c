"""Agents' frameworks and protocols asked by the ways of `docs/sdks.md`; see `sdk.sdks`."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from sdk.provider_forms import GEMINI_USAGE
from sdk.sdks import CHAT_USAGE, MESSAGE_USAGE, OPENAI_MODEL, QUESTION, RESPONSES_USAGE, Sdk, library_of

if TYPE_CHECKING:
    from otas_middleware.agent import AgentSession

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it fetches a list when it is imported
os.environ["OPENAI_AGENTS_DISABLE_TRACING"] = "1"  # else the SDK sends its traces to OpenAI
os.environ["CREWAI_DISABLE_TELEMETRY"] = os.environ["OTEL_SDK_DISABLED"] = "true"  # as above, to its makers


def _module(name: str) -> Any:
    return import_module(name)


# ---- litellm


def _texts(pieces: list[Any]) -> str:
    return "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)


def _litellm(session: AgentSession | None, url: str, stream: bool) -> str:
    litellm = _module("litellm")
    litellm.client_session = session.client() if session else None
    answer = litellm.completion(
        model="openai/gpt-4o",
        messages=QUESTION,
        stream=stream,
        api_key=f"k{id(litellm.client_session)}",  # it keeps its clients by their keys
        api_base=url + "/v1",
    )
    return _texts(list(answer)) if stream else str(answer.choices[0].message.content)


async def _litellm_async(session: AgentSession | None, url: str, stream: bool) -> str:
    litellm = _module("litellm")
    litellm.aclient_session = session.async_client() if session else None
    answer = await litellm.acompletion(
        model="openai/gpt-4o",
        messages=QUESTION,
        stream=stream,
        api_key=f"k{id(litellm.aclient_session)}",
        api_base=url + "/v1",
    )
    return _texts([piece async for piece in answer]) if stream else str(answer.choices[0].message.content)


def _litellm_anthropic(session: AgentSession | None, url: str, stream: bool) -> str:
    litellm = _module("litellm")
    handlers = _module("litellm.llms.custom_httpx.http_handler")
    options: dict[str, Any] = {}
    if session:
        options["client"] = handlers.HTTPHandler(client=session.client(library="httpx"))
    answer = litellm.completion(
        model="anthropic/claude-test-1", messages=QUESTION, stream=stream, api_key="k", api_base=url, **options
    )
    return _texts(list(answer)) if stream else str(answer.choices[0].message.content)


# ---- langchain-openai


def _chain(session: AgentSession | None, url: str) -> Any:
    clients: dict[str, Any] = {}
    if session:
        library = library_of(_module("openai"))
        clients["http_client"] = session.client(library=library)
        clients["http_async_client"] = session.async_client(library=library)
    kind = _module("langchain_openai").ChatOpenAI
    return kind(model="gpt-4o", api_key="k", base_url=url + "/v1", stream_usage=True, **clients)


def _langchain(session: AgentSession | None, url: str, stream: bool) -> str:
    chain = _chain(session, url)
    if stream:
        return "".join(str(piece.content) for piece in chain.stream("How long?"))
    return str(chain.invoke("How long?").content)


async def _langchain_async(session: AgentSession | None, url: str, stream: bool) -> str:
    chain = _chain(session, url)
    if stream:
        return "".join([str(piece.content) async for piece in chain.astream("How long?")])
    return str((await chain.ainvoke("How long?")).content)


# ---- llama-index, smolagents, crewai


def _llama(session: AgentSession | None, url: str) -> tuple[Any, Any]:
    clients: dict[str, Any] = {}
    if session:
        library = library_of(_module("openai"))
        clients["http_client"] = session.client(library=library)
        clients["async_http_client"] = session.async_client(library=library)
    model = _module("llama_index.llms.openai").OpenAI(model="gpt-4o", api_key="k", api_base=url + "/v1", **clients)
    return model, [_module("llama_index.core.llms").ChatMessage(content="How long?")]


def _llama_index(session: AgentSession | None, url: str, stream: bool) -> str:
    model, question = _llama(session, url)
    if stream:
        return "".join(piece.delta or "" for piece in model.stream_chat(question))
    return str(model.chat(question).message.content)


async def _llama_index_async(session: AgentSession | None, url: str, stream: bool) -> str:
    model, question = _llama(session, url)
    if stream:
        return "".join([piece.delta or "" async for piece in await model.astream_chat(question)])
    return str((await model.achat(question)).message.content)


def _smolagents(session: AgentSession | None, url: str, stream: bool) -> str:
    options: dict[str, Any] = {}
    if session:
        options["client_kwargs"] = {"http_client": session.client(library=library_of(_module("openai")))}
    model = _module("smolagents").OpenAIModel("gpt-4o", api_base=url + "/v1", api_key="k", **options)
    question = [{"role": "user", "content": [{"type": "text", "text": "How long?"}]}]
    if stream:
        return "".join(piece.content or "" for piece in model.generate_stream(question))
    return str(model.generate(question).content)


def _crewai(session: AgentSession | None, url: str, stream: bool) -> str:
    litellm = _module("litellm")
    litellm.client_session = session.client() if session else None
    key = f"k{id(litellm.client_session)}"  # it keeps its clients by their keys
    kind = _module("crewai").LLM
    return str(
        kind(model="openai/gpt-4o", is_litellm=True, api_key=key, base_url=url + "/v1", stream=stream).call("How long?")
    )


# ---- openai-agents, pydantic-ai


async def _agents(session: AgentSession | None, url: str, stream: bool) -> str:
    agents, openai = _module("agents"), _module("openai")
    http = session.async_client(library=library_of(openai)) if session else None
    agents.set_default_openai_client(
        openai.AsyncOpenAI(api_key="k", base_url=url + "/v1", http_client=http), use_for_tracing=False
    )
    agent = agents.Agent(name="clerk", model="gpt-4o")
    if not stream:
        return str((await agents.Runner.run(agent, "How long?")).final_output)
    run = agents.Runner.run_streamed(agent, "How long?")
    async for _ in run.stream_events():
        pass
    return str(run.final_output)


async def _pydantic_ai(session: AgentSession | None, url: str, stream: bool) -> str:
    options: dict[str, Any] = {}
    if session:
        options["http_client"] = session.async_client(library=library_of(_module("openai")))
    provider = _module("pydantic_ai.providers.openai").OpenAIProvider(api_key="k", base_url=url + "/v1", **options)
    model = _module("pydantic_ai.models.openai").OpenAIChatModel("gpt-4o", provider=provider)
    agent = _module("pydantic_ai").Agent(model)
    if not stream:
        return str((await agent.run("How long?")).output)
    async with agent.run_stream("How long?") as run:
        return "".join([piece async for piece in run.stream_text(delta=True)])


# ---- instructor, ag2, dspy, google-adk


def _instructor(session: AgentSession | None, url: str, stream: bool) -> str:
    openai = _module("openai")
    http = session.client(library=library_of(openai)) if session else None
    made = _module("instructor").from_openai(openai.OpenAI(api_key="k", base_url=url + "/v1", http_client=http))
    answer = made.chat.completions.create(model="gpt-4o", messages=QUESTION, response_model=None, stream=stream)
    return _texts(list(answer)) if stream else str(answer.choices[0].message.content)


async def _ag2(session: AgentSession | None, url: str, stream: bool) -> str:
    http = session.async_client(library=library_of(_module("openai"))) if session else None
    config = _module("ag2.config").OpenAIConfig(
        model="gpt-4o", api_key="k", base_url=url + "/v1", streaming=stream, http_client=http
    )
    return str((await _module("ag2").Agent("clerk", config=config).ask("How long?")).body)


def _language_model(session: AgentSession | None, url: str) -> Any:
    litellm, library = _module("litellm"), library_of(_module("openai"))
    litellm.client_session = session.client(library=library) if session else None
    litellm.aclient_session = session.async_client(library=library) if session else None
    key = f"k{id(litellm.client_session)}"  # it keeps its clients by their keys
    return _module("dspy").LM("openai/gpt-4o", engine="litellm", api_base=url + "/v1", api_key=key, cache=False)


def _dspy(session: AgentSession | None, url: str, stream: bool) -> str:
    if stream:
        pytest.skip("it streams programs, and not models' answers")
    return str(_language_model(session, url)("How long?")[0])


async def _dspy_async(session: AgentSession | None, url: str, stream: bool) -> str:
    if stream:
        pytest.skip("it streams programs, and not models' answers")
    return str((await _language_model(session, url).acall("How long?"))[0])


async def _google_adk(session: AgentSession | None, url: str, stream: bool) -> str:
    types, runs = _module("google.genai.types"), _module("google.adk.agents.run_config")
    clients = {"httpx_async_client": session.async_client(library="httpx")} if session else {}
    client = _module("google.genai").Client(api_key="k", http_options=types.HttpOptions(base_url=url, **clients))
    model = _module("google.adk.models.google_llm").Gemini(model="gemini-2.5-flash", client=client)
    runner = _module("google.adk.runners").InMemoryRunner(
        agent=_module("google.adk.agents").LlmAgent(name="clerk", model=model)
    )
    ids = {"user_id": "u", "session_id": "s"}
    await runner.session_service.create_session(app_name=runner.app_name, **ids)
    mode = runs.StreamingMode.SSE if stream else runs.StreamingMode.NONE
    asked = types.Content(role="user", parts=[types.Part(text="How long?")])
    events = runner.run_async(new_message=asked, run_config=runs.RunConfig(streaming_mode=mode), **ids)
    return [str(event.content.parts[0].text) async for event in events if event.content][-1]


FRAMEWORKS = [
    Sdk("litellm openai", "litellm", "/v1/chat/completions", OPENAI_MODEL, CHAT_USAGE, _litellm, _litellm_async),
    Sdk("litellm anthropic", "litellm", "/v1/messages", "claude-test-1", MESSAGE_USAGE, _litellm_anthropic),
    Sdk(
        "langchain-openai",
        "langchain_openai",
        "/v1/chat/completions",
        OPENAI_MODEL,
        CHAT_USAGE,
        _langchain,
        _langchain_async,
    ),
    Sdk(
        "llama-index",
        "llama_index.llms.openai",
        "/v1/chat/completions",
        OPENAI_MODEL,
        CHAT_USAGE,
        _llama_index,
        _llama_index_async,
    ),
    Sdk("smolagents", "smolagents", "/v1/chat/completions", OPENAI_MODEL, CHAT_USAGE, _smolagents),
    Sdk("crewai", "crewai", "/v1/chat/completions", OPENAI_MODEL, CHAT_USAGE, _crewai),
    Sdk("openai-agents", "agents", "/v1/responses", OPENAI_MODEL, RESPONSES_USAGE, None, _agents),
    Sdk("pydantic-ai", "pydantic_ai", "/v1/chat/completions", OPENAI_MODEL, CHAT_USAGE, None, _pydantic_ai),
    Sdk("instructor", "instructor", "/v1/chat/completions", OPENAI_MODEL, CHAT_USAGE, _instructor),
    Sdk("ag2", "ag2", "/v1/chat/completions", OPENAI_MODEL, CHAT_USAGE, None, _ag2),
    Sdk("dspy", "dspy", "/v1/chat/completions", OPENAI_MODEL, CHAT_USAGE, _dspy, _dspy_async),
    Sdk(
        "google-adk",
        "google.adk",
        "/v1beta/models/gemini-2.5-flash",
        "gemini-2.5-flash",
        GEMINI_USAGE,
        None,
        _google_adk,
    ),
]
