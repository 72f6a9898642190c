"""What the demo's agent calls by MCP, with the official client, and what must be recorded of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otas_middleware._cli.demo.checks import secret_problems

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otas_middleware._cli.demo.checks import Event
    from otas_middleware._cli.demo.scenario import Secrets
    from otas_middleware.agent import AgentSession

MCP_PATH = "/mcp"
_REVISION = "2026-07-28"
_TIMEOUT = 20.0


@dataclass(frozen=True)
class Call:
    """One operation, and the error that it must have been recorded with."""

    operation: str
    error: str = ""


CALLS = (
    Call("tools/list"),
    Call("tools/call find_orders"),
    Call("tools/call cancel_order", "mcp tool_error: Error executing tool cancel_order: Order 1 is already shipped."),
    Call("resources/read"),
)


def is_call(event: Event) -> bool:
    """Say whether an event is one of these calls."""
    return bool(event["path"] == MCP_PATH)


def make_calls(session: AgentSession, orders: str) -> None:
    """Make them all.

    Args:
        session: The agent's session.
        orders: The URL of the orders API.
    """
    asyncio.run(_converse(session, orders + MCP_PATH))


async def _converse(session: AgentSession, url: str) -> None:
    from mcp import Client  # noqa: PLC0415  # a part of the extra `demo`
    from mcp.client.streamable_http import streamable_http_client  # noqa: PLC0415  # as above

    async with (
        session.async_client(library="httpx2", timeout=_TIMEOUT, trust_env=False) as http,
        Client(streamable_http_client(url, http_client=http), mode=_REVISION) as client,
    ):
        await client.list_tools()
        await client.call_tool("find_orders", {"customer": "Ada"})
        await client.call_tool("cancel_order", {"order_id": 1})
        await client.read_resource("orders://1")


def call_differences(events: Sequence[Event], secrets: Secrets) -> list[str]:
    """Return a sentence for everything that is not as it should be.

    Args:
        events: The events of these calls.
        secrets: What may stand nowhere.
    """
    return list(_differences(events, secrets))


def _differences(events: Sequence[Event], secrets: Secrets) -> Iterator[str]:
    for call in CALLS:
        found = [event for event in events if event["metadata"].get("operation", {}).get("name") == call.operation]
        if len(found) != 1:
            yield f"{call.operation} was recorded {len(found)} times instead of once"
        for event in found:
            if (event["error"] or "") != call.error:
                yield f"{call.operation}: error is {event['error']!r} instead of {call.error!r}"
            for problem in secret_problems(event, secrets):
                yield f"{call.operation}: {problem}"
    if len(events) != len(CALLS):
        yield f"{len(events)} calls by MCP were recorded instead of {len(CALLS)}"
