"""What the ASGI adapter makes of applications that return before they have sent the whole of their response."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from otas_middleware.asgi import OtasMiddleware
from support.asgi_gateway import call_asgi
from support.request import Request

if TYPE_CHECKING:
    from otas_middleware import OtasSettings
    from support.agent import Agent

UNFINISHED = "RuntimeError: the application returned before its response was complete"


@pytest.mark.parametrize(
    ("method", "headers", "error"),
    [
        ("GET", [], UNFINISHED),
        ("GET", [(b"content-length", b"9")], UNFINISHED),
        ("GET", [(b"content-length", b"3")], ""),  # all that was announced is there
        ("HEAD", [], ""),
    ],
)
def test_an_application_that_returns_in_the_middle_of_its_response_has_failed(
    method: str, headers: list[tuple[bytes, bytes]], error: str, settings: OtasSettings, agent: Agent
) -> None:
    """As Sanic does, which answers for an exception by itself, and can no longer answer when a stream has begun."""

    async def app(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"abc", "more_body": True})

    request = Request(method, headers=(agent.header,))
    assert call_asgi(OtasMiddleware(app, settings=settings), request) == call_asgi(app, request)
    event = agent.event()
    assert (event["status_code"], event["error"]) == (200, error)
    assert "aborted" not in event["metadata"]


def test_one_that_returns_because_its_client_has_gone_has_not(settings: OtasSettings, agent: Agent) -> None:
    async def app(_: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"abc", "more_body": True})
        assert (await receive())["type"] == "http.disconnect"

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None:
        pass

    name, value = agent.header
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(name.lower().encode(), value.encode())]}
    asyncio.run(OtasMiddleware(app, settings=settings)(scope, receive, send))
    event = agent.event()
    assert (event["status_code"], event["error"], event["metadata"]["aborted"]) == (200, "", True)
