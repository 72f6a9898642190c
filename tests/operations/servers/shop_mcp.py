"""The MCP servers of the tests: the official SDK's and fastmcp's, with the same tools, resource and prompt."""

from __future__ import annotations

import asyncio
from typing import Any


def official(**options: Any) -> Any:
    """Return an ASGI application of the package `mcp`."""
    return _official().streamable_http_app(**options)


def official_sse() -> Any:
    """Return one that speaks the transport of 2024-11-05."""
    return _official().sse_app()


def _official() -> Any:
    from mcp.server import MCPServer
    from mcp.server.mcpserver import Context

    server = MCPServer("Shop", version="1.2.3")
    _fill(server, Context)
    return server


def fast() -> Any:
    """Return an ASGI application of the package `fastmcp`."""
    from fastmcp import Context, FastMCP

    server: Any = FastMCP("Shop")
    _fill(server, Context)
    return server.http_app()


def _fill(server: Any, context: Any) -> None:
    async def add(a: int, b: int) -> int:
        return a + b

    async def boom(order_id: int) -> str:
        raise RuntimeError(f"no such order {order_id}")

    async def slow(steps: int, ctx: Any) -> str:
        for step in range(steps):
            await ctx.report_progress(step + 1, steps, f"step {step + 1}")
            await asyncio.sleep(0.05)
        return "done"

    async def order(order_id: str) -> str:
        return f"order {order_id}"

    async def summarise(order_id: str) -> str:
        return f"Summarise order {order_id}"

    slow.__annotations__["ctx"] = context
    for tool in (add, boom, slow):
        server.tool()(tool)
    server.resource("orders://{order_id}")(order)
    server.prompt()(summarise)
