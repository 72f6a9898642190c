"""Tools: what an agent does besides HTTP, with links to what happened in it."""

from __future__ import annotations

import asyncio
import contextvars
import json
import re
import threading
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator

    from agent.host import Host
    from agent.record import Record
    from otas_middleware.agent import AgentSession


def test_a_decorated_tool_records_arguments_result_and_duration(session: AgentSession, record: Record) -> None:
    @session.tool("search")
    def search(query: str, limit: int = 3) -> list[str]:
        """Find things."""
        return [query] * limit

    assert search("shoes", limit=2) == ["shoes", "shoes"]
    assert (search.__name__, search.__doc__) == ("search", "Find things.")
    event = record.one()
    assert (event["source"], event["method"], event["path"]) == ("agent", "TOOL", "/tools/search")
    assert (event["status_code"], event["error"]) == (200, "")
    assert json.loads(event["request_body"] or "") == {"query": "shoes", "limit": 2}
    assert json.loads(event["response_body"] or "") == ["shoes", "shoes"]
    assert event["custom_properties"] == {"tool": "search"}
    assert event["metadata"]["route"] == "/tools/search"
    assert event["latency_ms"] > 0
    assert "parent_id" not in event["metadata"]


def test_a_tools_name_is_the_functions_when_none_is_given(session: AgentSession, record: Record) -> None:
    @session.tool()
    def look_up() -> None: ...

    look_up()
    assert record.one()["path"] == "/tools/look_up"


def test_a_function_is_decorated_without_parentheses_too(session: AgentSession, record: Record) -> None:
    @session.tool
    def search(query: str) -> str:
        return query.upper()

    assert search("shoes") == "SHOES"
    event = record.one()
    assert (event["path"], json.loads(event["request_body"] or "")) == ("/tools/search", {"query": "shoes"})


def test_an_asynchronous_tool_is_recorded_to_its_end(session: AgentSession, record: Record) -> None:
    @session.tool("wait")
    async def wait(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "done"

    assert asyncio.run(wait(0.05)) == "done"
    event = record.one()
    assert event["latency_ms"] >= 50
    assert event["response_body"] == '"done"'


class Searcher:
    """What is called as a function is, and is none."""

    __name__ = "searcher"

    async def __call__(self, query: str) -> str:
        await asyncio.sleep(0)
        if query == "shoes":
            raise LookupError(query)
        return query.upper()


def test_a_tool_that_only_returns_a_coroutine_is_recorded_to_its_end(
    session: AgentSession, outside: Host, record: Record
) -> None:
    @session.tool
    def search(query: str) -> Coroutine[object, object, str]:
        return Searcher()(query)

    async def use() -> None:
        waiting = [search("hats"), session.tool(Searcher())("shoes")]
        async with session.async_client() as http:
            await http.get(outside.url + "/beside")
        assert await waiting[0] == "HATS"
        with pytest.raises(LookupError):
            await waiting[1]

    asyncio.run(use())
    events = {event["path"]: event for event in record.events()}
    assert events.keys() == {"/beside", "/tools/search", "/tools/searcher"}
    hats, shoes = events["/tools/search"], events["/tools/searcher"]
    assert "parent_id" not in events["/beside"]["metadata"]
    assert (hats["error"], hats["response_body"]) == ("", '"HATS"')
    assert (shoes["error"], shoes["status_code"]) == ("LookupError: shoes", 500)
    assert json.loads(shoes["request_body"] or "") == {"query": "shoes"}


def test_a_with_block_is_a_tool_too(session: AgentSession, record: Record) -> None:
    with session.tool("plan", goal="refund") as run:
        run.result = {"steps": 3}
        run.properties["model"] = "m-1"
    event = record.one()
    assert event["metadata"]["event_id"] == run.event_id
    assert json.loads(event["request_body"] or "") == {"goal": "refund"}
    assert json.loads(event["response_body"] or "") == {"steps": 3}
    assert event["custom_properties"] == {"tool": "plan", "model": "m-1"}


def test_an_async_with_block_is_a_tool_too(session: AgentSession, record: Record) -> None:
    async def plan() -> None:
        async with session.tool("plan"):
            pass

    asyncio.run(plan())
    assert record.one()["path"] == "/tools/plan"


def test_an_exception_passes_and_is_named(session: AgentSession, record: Record) -> None:
    @session.tool("divide")
    def divide(a: int, b: int) -> float:
        return a / b

    with pytest.raises(ZeroDivisionError):
        divide(1, 0)
    event = record.one()
    assert (event["status_code"], event["error"]) == (500, "ZeroDivisionError: division by zero")
    assert event["metadata"]["exception"] == {"type": "ZeroDivisionError", "message": "division by zero"}


def test_a_cancelled_tool_is_no_failure_of_the_tool(session: AgentSession, record: Record) -> None:
    @session.tool("wait")
    async def wait() -> None:
        await asyncio.sleep(10)

    async def give_up() -> None:
        await asyncio.wait_for(wait(), 0.01)

    with pytest.raises(TimeoutError):
        asyncio.run(give_up())
    event = record.one()
    assert (event["status_code"], event["error"]) == (499, "Cancelled")
    assert event["metadata"]["aborted"] is True


def test_secrets_among_arguments_and_results_are_masked(session: AgentSession, record: Record) -> None:
    @session.tool("log_in")
    def log_in(user: str, password: str) -> dict[str, str]:
        return {"user": user, "api_key": "sk-live-0123456789abcdef"}

    log_in("ada", "hunter2")
    stored = json.dumps(record.one())
    assert "ada" in stored
    assert "hunter2" not in stored
    assert "0123456789abcdef" not in stored


def test_what_happens_within_a_tool_points_at_it(session: AgentSession, outside: Host, record: Record) -> None:
    with session.client() as http:

        @session.tool("inner")
        def inner() -> None:
            http.get(outside.url + "/inner")

        http.get(outside.url + "/before")
        with session.tool("outer") as outer:
            http.get(outside.url + "/outer")
            inner()
            session.log("GET", "/logged", status_code=200, latency_ms=1)
        http.get(outside.url + "/after")
    events = {event["path"]: event["metadata"] for event in record.events()}
    assert "parent_id" not in events["/before"]
    assert "parent_id" not in events["/after"]
    assert "parent_id" not in events["/tools/outer"]
    assert events["/tools/outer"]["event_id"] == outer.event_id
    assert {events[path]["parent_id"] for path in ("/outer", "/tools/inner", "/logged")} == {outer.event_id}
    assert events["/inner"]["parent_id"] == events["/tools/inner"]["event_id"]


def test_tools_that_run_at_once_keep_their_own_children(session: AgentSession, outside: Host, record: Record) -> None:
    http = session.async_client()

    @session.tool("each")
    async def each(number: int) -> None:
        await asyncio.sleep(0.001 * (5 - number))
        await http.get(f"{outside.url}/{number}")

    async def agent() -> None:
        async with http, session.tool("all"):
            await asyncio.gather(*(each(number) for number in range(5)))

    asyncio.run(agent())
    events = record.events()
    (parent,) = (event["metadata"]["event_id"] for event in events if event["path"] == "/tools/all")
    tools = {
        event["metadata"]["event_id"]: json.loads(event["request_body"] or "")["number"]
        for event in events
        if event["path"] == "/tools/each"
    }
    assert all(event["metadata"]["parent_id"] == parent for event in events if event["path"] == "/tools/each")
    calls = {event["path"]: event["metadata"]["parent_id"] for event in events if re.fullmatch(r"/\d", event["path"])}
    assert {f"/{number}": event_id for event_id, number in tools.items()} == calls


def test_a_thread_of_a_tool_is_within_it_when_it_gets_the_context(
    session: AgentSession, outside: Host, record: Record
) -> None:
    with session.tool("fan_out") as run, session.client() as http:
        context = contextvars.copy_context()
        thread = threading.Thread(target=lambda: context.run(http.get, outside.url + "/in-thread"))
        thread.start()
        thread.join()
    (call,) = (event for event in record.events() if event["path"] == "/in-thread")
    assert call["metadata"]["parent_id"] == run.event_id


def test_what_cannot_be_looked_into_keeps_no_tool_from_running(session: AgentSession, record: Record) -> None:
    class Detached:
        def __getattr__(self, name: str) -> object:
            raise RuntimeError("detached")

    @session.tool("load")
    def load(row: object, number: int) -> object:
        del number
        return row

    row = Detached()
    assert load(row, number=10**5000) is row
    event = record.one()
    assert json.loads(event["request_body"] or "") == {"row": "<Detached>", "number": "<an integer of 16610 bits>"}
    assert json.loads(event["response_body"] or "") == "<Detached>"


def test_generator_functions_are_refused_with_what_to_do(session: AgentSession) -> None:
    def numbers() -> Iterator[int]:
        yield 1

    async def more_numbers() -> AsyncIterator[int]:
        yield 1

    for function in (numbers, more_numbers):
        with pytest.raises(TypeError, match="inside it"):
            session.tool("numbers")(function)


def test_a_tool_is_called_as_it_was_also_when_called_wrongly(session: AgentSession) -> None:
    @session.tool("greet")
    def greet(name: str) -> str:
        return name

    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        greet()  # type: ignore[call-arg]  # on purpose
