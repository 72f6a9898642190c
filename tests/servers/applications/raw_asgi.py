"""No framework: an ASGI callable."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from otas_middleware.asgi import OtasMiddleware
from servers.applications import behaviour

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from otas_middleware._capture.asgi_scope import ASGIApp, Receive, Scope, Send


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    _, action, *rest = scope["path"].split("/")
    argument = rest[0] if rest else ""
    match action:
        case "echo":
            await _answer(send, b"".join([piece async for piece in _body(receive)]))
        case "upload":
            await _answer(send, await behaviour.read_upload_async(_body(receive)))
        case "stream":
            await _stream(send, behaviour.slow_stream_async(argument))
        case "download":
            await _stream(send, behaviour.download_async(int(argument)))
        case "endless":
            await _stream_while_heard(receive, send, behaviour.endless_async(argument), argument)
        case "quiet":
            await _stream_while_heard(receive, send, behaviour.quiet_async(argument), argument)
        case "fail":
            raise behaviour.BrokenError
        case _:
            await _answer(send, b"", status=404)


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        yield message.get("body", b"")
        more = message.get("more_body", False)


async def _answer(send: Send, body: bytes, status: int = 200) -> None:
    headers = [(b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _stream(send: Send, chunks: AsyncIterator[bytes]) -> None:
    headers = [(b"content-type", b"application/octet-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    async for chunk in chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _stream_while_heard(receive: Receive, send: Send, chunks: AsyncIterator[bytes], name: str) -> None:
    try:
        async with anyio.create_task_group() as group:

            async def speak() -> None:
                await _stream(send, chunks)
                group.cancel_scope.cancel()

            group.start_soon(speak)
            while (await receive())["type"] != "http.disconnect":
                pass
            group.cancel_scope.cancel()
    finally:
        behaviour.note_closed(name)


if not behaviour.BARE:
    _application: ASGIApp = application
    application = OtasMiddleware(_application)
