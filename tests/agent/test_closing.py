"""Closing a session delivers what was logged, whatever its clients' own `close` does."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import httpx2
import pytest

from agent.callers import TLS
from otas_middleware.agent import AgentSession
from otas_middleware.testing import record_events

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.host import Host
    from otas_middleware.localbrain import LocalBrain


class Odd(httpx2.HTTPTransport):
    """A transport that cannot be closed."""

    error: type[BaseException] = OSError
    failed = False

    def close(self) -> None:
        """Fail, once."""
        super().close()
        if not self.failed:
            self.failed = True
            raise self.error("odd transport")


class Stopped(Odd):
    """One in whose `close` the user stops the program."""

    error = KeyboardInterrupt


@pytest.fixture
def agent(brain: LocalBrain) -> Iterator[AgentSession]:
    """A session that the test closes."""
    agent = AgentSession(agent_key=brain.agent_key, brain_url=brain.url, uasam_url=brain.url)
    agent.open()
    yield agent
    agent.close()


def delivered(agent: AgentSession, brain: LocalBrain) -> list[str]:
    assert agent.session_id is not None
    return [event["path"] for event in brain.events(agent.session_id)]


def test_a_client_that_cannot_be_closed_keeps_nothing_back(
    agent: AgentSession, outside: Host, brain: LocalBrain, caplog: pytest.LogCaptureFixture
) -> None:
    bad = agent.client(transport=Odd(verify=TLS))
    good = agent.client(verify=TLS, trust_env=False)
    bad.get(outside.url + "/bad")
    good.get(outside.url + "/good")
    agent.close()
    assert sorted(delivered(agent, brain)) == ["/bad", "/good"]
    assert good.is_closed
    assert "could not be closed (OSError)" in caplog.text
    assert "odd transport" not in caplog.text


def test_being_stopped_while_a_client_is_closed_delivers_all_the_same(
    agent: AgentSession, outside: Host, brain: LocalBrain
) -> None:
    stopped = agent.client(transport=Stopped(verify=TLS))
    stopped.get(outside.url + "/x")
    with pytest.raises(KeyboardInterrupt):
        agent.close()
    assert delivered(agent, brain) == ["/x"]


# Python says it of the connections that nobody can close any more.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_client_of_an_event_loop_that_has_ended_keeps_nothing_back(
    agent: AgentSession, outside: Host, brain: LocalBrain, caplog: pytest.LogCaptureFixture
) -> None:
    clients = [agent.async_client(verify=TLS, trust_env=False) for _ in range(2)]

    async def call() -> None:
        for client in clients:
            await client.get(outside.url + "/a")

    asyncio.run(call())
    asyncio.run(agent.aclose())
    assert delivered(agent, brain) == ["/a", "/a"]
    assert "could not be closed (RuntimeError)" in caplog.text
    clients.clear()
    gc.collect()


def test_a_call_left_open_before_is_none_of_what_the_test_kit_waits_for(agent: AgentSession, outside: Host) -> None:
    with agent.client(verify=TLS) as http:
        left = http.send(http.build_request("GET", outside.url), stream=True)
        with record_events() as events, pytest.raises(AssertionError) as raised:
            events.one()
        left.close()
    assert "has not been read" not in str(raised.value)
