"""A backend whose handler is a test's own function, behind the middleware."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx2

from otas_middleware.asgi import OtasMiddleware as AsgiMiddleware
from otas_middleware.wsgi import OtasMiddleware as WsgiMiddleware

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

    from otas_middleware import OtasSettings
    from otas_middleware._capture.asgi_scope import Receive, Scope, Send
    from support.agent import Agent


def ask(settings: OtasSettings, agent: Agent | None, handler: Callable[[], Awaitable[object]]) -> None:
    """Have an asynchronous backend handle one request of an agent, or of somebody without a token."""
    asyncio.run(ask_asynchronously(settings, agent, handler))


async def ask_asynchronously(
    settings: OtasSettings, agent: Agent | None, handler: Callable[[], Awaitable[object]]
) -> None:
    """As `ask`, in a loop that runs already."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await handler()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    transport: Any = httpx2.ASGITransport(AsgiMiddleware(app, settings=settings))
    async with httpx2.AsyncClient(transport=transport, base_url="http://backend") as http:
        response = await http.get("/", headers=[agent.header] if agent is not None else [])
    assert response.status_code == 204


def ask_synchronously(settings: OtasSettings, agent: Agent | None, handler: Callable[[], object]) -> None:
    """Have a synchronous backend handle one request."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        del environ
        handler()
        start_response("204 No Content", [])
        return []

    transport = httpx2.WSGITransport(WsgiMiddleware(app, settings=settings))
    with httpx2.Client(transport=transport, base_url="http://backend") as http:
        response = http.get("/", headers=[agent.header] if agent is not None else [])
    assert response.status_code == 204
