"""The SDKs of `docs/sdks.md`, each by its documented way, against a host that speaks its provider's wire form."""

from __future__ import annotations

import asyncio
import gc
import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from agent.host import Host
from sdk.frameworks import FRAMEWORKS
from sdk.provider_forms import TEXT, serve_providers
from sdk.sdks import SDKS, Sdk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.record import Record
    from otas_middleware.agent import AgentSession

pytestmark = [
    pytest.mark.slow,
    # What SDKs leave behind themselves, without us as well.
    pytest.mark.filterwarnings("default"),
]


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A host that speaks all wire forms."""
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else it fetches a list when it is imported
    with Host() as host:
        serve_providers(host)
        yield host


def installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def needs(sdk: Sdk) -> None:
    if not installed(sdk.module):
        assert sdk.module not in os.environ.get("OTAS_SDKS", "").split(","), f"{sdk.module} is to be installed here"
        pytest.skip(f"{sdk.module} is not installed in this environment")


def ask(sdk: Sdk, session: AgentSession | None, url: str, *, asynchronously: bool, stream: bool) -> str:
    if not asynchronously:
        if sdk.ask is None:
            pytest.skip("it has no synchronous side")
        text: str = sdk.ask(session, url, stream)
        return text
    if sdk.ask_async is None:
        pytest.skip("it has no asynchronous side")
    answer: Any = sdk.ask_async(session, url, stream)
    found: str = asyncio.run(answer)
    return found


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("asynchronously", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("sdk", [*SDKS, *FRAMEWORKS], ids=lambda sdk: sdk.name)
def test_a_call_of_an_sdk_is_one_true_event(
    sdk: Sdk, asynchronously: bool, stream: bool, session: AgentSession, provider: Host, record: Record
) -> None:
    needs(sdk)
    assert ask(sdk, session, provider.url, asynchronously=asynchronously, stream=stream) == TEXT
    gc.collect()  # a stream that was left is closed when the SDK's objects, which refer to each other, are gone
    events = [event for event in record.events() if event["path"] not in sdk.beside]
    assert len(events) == 1, [event["path"] for event in events]
    (event,) = events
    assert str(event["path"]).startswith(sdk.path)
    assert (event["status_code"], event["error"]) == (200, "")
    assert event["custom_properties"]["model"] == sdk.model
    assert event["custom_properties"]["usage"] == sdk.usage
    assert "aborted" not in event["metadata"]
    if stream:
        assert event["metadata"]["stream"]["ended"] == "complete"
        assert event["metadata"]["stream"]["text"] == TEXT


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("asynchronously", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("sdk", [*SDKS, *FRAMEWORKS], ids=lambda sdk: sdk.name)
def test_an_sdk_sends_what_it_sends_without_us(
    sdk: Sdk, asynchronously: bool, stream: bool, session: AgentSession, provider: Host
) -> None:
    needs(sdk)
    ask(sdk, None, provider.url, asynchronously=asynchronously, stream=stream)
    bare = [(request.line, request.body) for request in provider.requests]
    provider.requests.clear()
    ask(sdk, session, provider.url, asynchronously=asynchronously, stream=stream)
    assert [(request.line, request.body) for request in provider.requests] == bare
