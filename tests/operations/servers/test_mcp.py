"""The conversation of a real MCP client with real MCP servers, in both eras: each call with its operation."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from operations.servers import shop_mcp
from otas_middleware.agent import AgentSession
from otas_middleware.asgi import OtasMiddleware
from support.loopback import Uvicorn

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware.testing import RecordedEvents

pytest.importorskip("mcp", reason="the group `operations` is not installed")
pytest.importorskip("fastmcp", reason="the group `operations` is not installed")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

CONVERSATION = [
    ("tools/list", "ok"),
    ("tools/call add", "ok"),
    ("tools/call boom", "error"),
    ("tools/call nope", "error"),
    ("tools/call add", "error"),
    ("resources/read", "ok"),
    ("resources/read", "error"),
    ("prompts/get summarise", "ok"),
    ("tools/call slow", "ok"),
]


async def converse(url: str, headers: dict[str, str], mode: str, *, streams: bool) -> None:
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,  # type: ignore[arg-type]
    ):
        await client.list_tools()
        await client.call_tool("add", {"a": 1, "b": 2})
        await client.call_tool("boom", {"order_id": 9})
        await client.call_tool("nope", {})
        await client.call_tool("add", {"a": "x"})
        await client.read_resource("orders://42")
        with suppress(Exception):
            await client.read_resource("nothing://42")
        await client.get_prompt("summarise", {"order_id": "42"})
        begun = asyncio.Event()

        async def progress(*_: object) -> None:
            begun.set()

        await client.call_tool("slow", {"steps": 2}, progress_callback=progress)
        if streams:  # else nobody learns that the call has begun
            begun.clear()
            endless = asyncio.create_task(client.call_tool("slow", {"steps": 10_000}, progress_callback=progress))
            await begun.wait()
            endless.cancel()
            with suppress(asyncio.CancelledError):
                await endless
        await client.list_tools()  # so that the session does not end before the server has heard of it


def recorded(events: RecordedEvents) -> list[tuple[str, str, str]]:
    """Return name, outcome and error of every call, in the order of their arrival."""
    ordered = sorted(events, key=lambda event: str(event.metadata["captured_at"]))
    found = [
        (event.metadata["operation"]["name"], event.metadata["operation"]["outcome"], event.error) for event in ordered
    ]
    helpers = ("initialize", "notifications/", "GET stream", "DELETE session", "server/discover")
    return [row for row in found if not row[0].startswith(helpers)]


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
@pytest.mark.parametrize(
    ("make", "streams", "stateless"),
    [
        pytest.param(shop_mcp.official, True, False, id="mcp"),
        pytest.param(partial(shop_mcp.official, json_response=True), False, False, id="mcp-json"),
        pytest.param(partial(shop_mcp.official, stateless_http=True), True, True, id="mcp-stateless"),
        pytest.param(shop_mcp.fast, True, False, id="fastmcp"),
    ],
)
def test_every_call_has_its_operation_and_every_failure_is_an_error(
    make: Callable[[], Any], streams: bool, stateless: bool, mode: str, otas_events: RecordedEvents
) -> None:
    # Without a session the cancelling notification reaches nobody; until 2026-07-28 a closed connection says nothing.
    outcome = "unknown" if mode == "legacy" and stateless else "cancelled"
    cancelled = [("tools/call slow", outcome)] if streams else []
    expected = [*CONVERSATION, *cancelled, ("tools/list", "ok")]
    with Uvicorn(OtasMiddleware(make()), lifespan=True) as server:
        asyncio.run(converse(f"http://127.0.0.1:{server.port}/mcp", dict(otas_events.headers), mode, streams=streams))
    otas_events.wait(len(expected))
    calls = recorded(otas_events)
    assert [(name, outcome) for name, outcome, _ in calls] == expected
    assert all(bool(error) == (outcome == "error") for _, outcome, error in calls)
    for event in otas_events.matching(operation="tools/call boom"):
        assert event.error.startswith("mcp tool_error: Error ")
        assert event.metadata["operation"]["version"] == ("2025-11-25" if mode == "legacy" else mode)
    for event in otas_events.matching(operation="GET stream"):
        assert event.metadata["stream"]["long_lived"] is True
        assert event.latency_ms < event.metadata["stream"]["duration_ms"]


def test_the_transport_of_2024_has_its_failures_on_both_sides(otas_events: RecordedEvents) -> None:
    from mcp import Client
    from mcp.client.sse import sse_client

    async def converse(url: str, **options: Any) -> None:
        async with Client(sse_client(url, **options), mode="legacy") as client:
            await client.call_tool("add", {"a": 1, "b": 2})
            await client.call_tool("boom", {"order_id": 9})

    with (
        Uvicorn(OtasMiddleware(shop_mcp.official_sse()), lifespan=True) as server,
        AgentSession("https://shop.example") as session,
    ):

        def client(headers: Any = None, timeout: Any = None, auth: Any = None) -> Any:
            return session.async_client(library="httpx2", headers=headers, timeout=timeout, auth=auth)

        url = f"http://127.0.0.1:{server.port}/sse"
        asyncio.run(converse(url, headers=dict(otas_events.headers)))
        asyncio.run(converse(url, httpx_client_factory=client))
    otas_events.wait(10)
    theirs, ours = sorted(otas_events.matching(operation="GET stream"), key=lambda event: "origin" in event.metadata)
    for event in (theirs, ours):
        assert event.metadata["operation"]["outcome"] == "partial"
        assert event.error.startswith("mcp tool_error: Error ")
    assert ours.metadata["stream"]["ended"] == "complete"
    assert {event.error for event in otas_events.matching(operation="tools/call boom")} == {""}
