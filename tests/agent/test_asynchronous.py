"""An asynchronous agent, on asyncio and on trio: its session, its streams, and being cancelled anywhere."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from agent.callers import TLS
from agent.host import response, streams
from agent.record import Record
from agent.uasam import Uasam
from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware.agent import AgentSession

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from agent.host import Host, Received
    from otas_middleware.localbrain import LocalBrain

    Run = Callable[[Callable[[], Awaitable[object]]], object]

# trio says it of httpx's own generators when a stream is left, without us as well.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator 'http:ResourceWarning")


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs an asynchronous function to its end."""
    return partial(anyio.run, backend=request.param)


@pytest.fixture
def unopened(brain: LocalBrain, inside: Host) -> AgentSession:
    """A session that has not been entered."""
    return AgentSession(inside.url, agent_key=brain.agent_key, brain_url=brain.url, uasam_url=brain.url)


def endless(first: bytes) -> Iterator[bytes]:
    yield first
    for _ in range(200):
        time.sleep(0.05)
        yield b": still there\n\n"


def test_entering_creates_the_session_and_leaving_delivers_what_was_logged(
    run: Run, unopened: AgentSession, brain: LocalBrain, inside: Host, outside: Host
) -> None:
    async def agent() -> None:
        async with unopened as session, session.async_client(verify=TLS) as http:
            await http.get(inside.url + "/orders/42")
            await http.post(outside.url + "/v1/chat", json={"a": 1})

    run(agent)
    assert inside.one().header(TOKEN_HEADER)
    assert outside.one().header(TOKEN_HEADER) == []
    assert unopened.session_id is not None
    assert [event["path"] for event in brain.events(unopened.session_id)] == ["/v1/chat"]


def test_without_with_the_session_begins_at_the_first_call_inside(
    run: Run, unopened: AgentSession, inside: Host
) -> None:
    async def agent() -> None:
        async with unopened.async_client(verify=TLS) as http:
            await http.get(inside.url)

    run(agent)
    assert inside.one().header(TOKEN_HEADER)


def test_a_client_that_nobody_closed_is_closed_with_the_session(
    run: Run, unopened: AgentSession, outside: Host
) -> None:
    clients: list[Any] = []

    async def agent() -> None:
        async with unopened as session:
            clients.append(session.async_client(verify=TLS))
            await clients[0].get(outside.url)

    run(agent)
    assert clients[0].is_closed


def test_tools_that_run_at_once_keep_their_own_calls(
    run: Run, unopened: AgentSession, brain: LocalBrain, outside: Host
) -> None:
    runs: dict[str, str] = {}

    async def agent() -> None:
        async with unopened as session, session.async_client(verify=TLS) as http, anyio.create_task_group() as tasks:

            async def look_up(path: str) -> None:
                async with session.tool("look_up") as tool:
                    runs[path] = tool.event_id
                    await anyio.sleep(0.01)
                    await http.get(outside.url + path)

            for number in range(4):
                tasks.start_soon(look_up, f"/{number}")

    run(agent)
    assert unopened.session_id is not None
    events = brain.events(unopened.session_id)
    calls = {event["path"]: event["metadata"]["parent_id"] for event in events if event["method"] == "GET"}
    assert calls == runs
    assert len(runs) == 4


def test_a_stream_that_is_cancelled_is_an_aborted_event_with_what_came_so_far(
    run: Run, unopened: AgentSession, brain: LocalBrain, outside: Host
) -> None:
    outside.on("/stream", streams(endless(b"data: one\n\n")))

    async def agent() -> None:
        async with unopened.async_client(verify=TLS) as http:
            with anyio.move_on_after(5) as scope:
                async with http.stream("GET", outside.url + "/stream") as answer:
                    async for piece in answer.aiter_bytes():
                        assert piece == b"data: one\n\n"
                        scope.cancel()
            assert scope.cancelled_caught

    run(agent)
    event = Record(unopened, brain).one()
    assert event["metadata"]["aborted"] is True
    assert (event["status_code"], event["response_body"]) == (200, "data: one\n\n")


def test_a_call_that_is_cancelled_before_its_answer_is_an_event_that_says_so(
    run: Run, unopened: AgentSession, brain: LocalBrain, outside: Host
) -> None:
    late = threading.Event()

    def hangs(_: Received) -> Iterator[bytes]:
        late.wait(5)
        yield response(b"late")

    outside.on("/slow", hangs)

    async def agent() -> None:
        async with unopened.async_client(verify=TLS) as http:
            with anyio.move_on_after(0.2) as scope:
                await http.get(outside.url + "/slow")
            assert scope.cancelled_caught

    run(agent)
    late.set()
    event = Record(unopened, brain).one()
    assert (event["status_code"], event["error"]) == (0, "Cancelled before the answer came")
    assert event["metadata"]["aborted"] is True


def test_a_call_that_waits_for_its_session_can_be_cancelled_at_once(run: Run, brain: LocalBrain, inside: Host) -> None:
    with Uasam(brain) as uasam:
        uasam.answers.clear()
        session = AgentSession(inside.url, agent_key=brain.agent_key, brain_url=brain.url, uasam_url=uasam.url)

        async def agent() -> None:
            async with session.async_client(verify=TLS) as http:
                with anyio.move_on_after(0.1) as scope:
                    await http.get(inside.url)
                assert scope.cancelled_caught

        began = time.monotonic()
        run(agent)
        assert time.monotonic() - began < 5.0
        uasam.answers.set()
    assert inside.requests == []


def test_entering_can_be_cancelled_at_once(run: Run, brain: LocalBrain) -> None:
    with Uasam(brain) as uasam:
        uasam.answers.clear()
        session = AgentSession(agent_key=brain.agent_key, brain_url=brain.url, uasam_url=uasam.url)

        async def agent() -> None:
            with anyio.move_on_after(0.1) as scope:
                await session.__aenter__()
            assert scope.cancelled_caught

        began = time.monotonic()
        run(agent)
        assert time.monotonic() - began < 5.0
        uasam.answers.set()


def test_a_session_whose_block_is_cancelled_ends_and_delivers_all_the_same(
    run: Run, unopened: AgentSession, brain: LocalBrain, outside: Host
) -> None:
    clients: list[Any] = []

    async def agent() -> None:
        with anyio.move_on_after(5) as scope:
            async with unopened as session:
                clients.append(session.async_client(verify=TLS))
                await clients[0].get(outside.url + "/before")
                scope.cancel()
                await anyio.sleep(5)

    run(agent)
    assert clients[0].is_closed
    assert unopened.session_id is not None
    assert [event["path"] for event in brain.events(unopened.session_id)] == ["/before"]
