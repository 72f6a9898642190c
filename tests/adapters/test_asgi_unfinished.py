"""What the ASGI adapter makes of applications that return before they have sent the whole of their response."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from starlette.responses import StreamingResponse

from otas_middleware.asgi import OtasMiddleware
from support.asgi_gateway import call_asgi
from support.request import Request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from otas_middleware import OtasSettings
    from support.agent import Agent

PATIENCE = 5.0

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


@pytest.mark.parametrize("last", [b"", b"def"])
def test_one_that_is_cancelled_while_its_last_message_goes_out_has_not_once_the_server_calls_it_over(
    last: bytes, settings: OtasSettings, agent: Agent
) -> None:
    """Hypercorn says so before `send` returns; whoever listens for it (Starlette) then cancels what streams."""
    over = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        yield b"abc"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def send_ending(message: Any) -> None:
            if not message.get("more_body", True):
                message = {**message, "body": last}
            await send(message)

        await StreamingResponse(chunks())(scope, receive, send_ending)

    async def receive() -> dict[str, str]:
        await over.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if not message.get("more_body", True):
            over.set()
            await asyncio.sleep(PATIENCE)

    name, value = agent.header
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(name.lower().encode(), value.encode())]}
    asyncio.run(OtasMiddleware(app, settings=settings)(scope, receive, send))
    event = agent.event()
    assert (event["status_code"], event["error"], event["response_body"]) == (200, "", "abc" + last.decode())
    assert "aborted" not in event["metadata"]
