"""The HTTP side of every endpoint: reading a request as Django reads it, methods, faults, and the answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from otas_middleware.localbrain.faults import Mode
from otas_middleware.localbrain.pages import page, refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import Receive, Scope, Send

    from otas_middleware.localbrain.faults import Fault, Faults, Service

    Handler = Callable[["Incoming"], Awaitable[Response]]


class Drop(Protocol):
    """Ends the connection of a request."""

    def __call__(self, scope: Scope, last_words: bytes) -> None:
        """Reset it, or close it after writing bytes that the client gets as they are."""


MAX_BODY_BYTES = 2_621_440
_HANG_STEP = 0.02
_CONNECTION_CLOSE = {"connection": "close"}
_GARBAGE = b"\x16\x03\x01\x00\xa5 this is not HTTP \x00\xff\r\n\r\n"
_TRUNCATED = (
    b'HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: 74\r\n\r\n{"status": 1, "status_'
)


class GoneDownError(Exception):
    """The Brain went down while it handled the request: there is no answer."""


@dataclass(slots=True)
class Incoming:
    """A request that was read to its end."""

    headers: dict[str, str]
    """Lower-case names; several of one name are joined by a comma, as WSGI servers join them."""
    query: dict[str, str]
    body: bytes
    """Empty when it was sent chunked: Django reads a body of the declared length, and there is none."""
    is_too_large: bool = False
    outage: bool = False
    """Whether UASAM is to be taken for down."""

    @property
    def shown(self) -> dict[str, str]:
        """What a debug page of this request displays."""
        names = {"sdk_key": "x-otas-sdk-key", "agent_key": "x-otas-agent-key", "token": "x-otas-agent-session-token"}
        return {shown: self.headers[name] for shown, name in names.items() if name in self.headers}


class Endpoint:
    """An ASGI application for one path: one method, one handler, and the faults of its service.

    Args:
        handler: Turns a request into an answer.
        method: The one method that it answers; another is 405, and OPTIONS names it.
        service: Whose faults strike it; None is safe from them.
        faults: The Brain's faults.
        drop: Ends the connection of a request after sending some bytes.
    """

    def __init__(
        self, handler: Handler, *, faults: Faults, drop: Drop, method: str = "POST", service: Service | None = None
    ) -> None:
        self._handler = handler
        self._method = method
        self._allow = {"allow": f"{method}, {'HEAD, ' if method == 'GET' else ''}OPTIONS"}
        self._service: Service | None = service
        self._faults = faults
        self._drop = drop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        method: str = scope["method"]
        if method != self._method and not (method == "HEAD" and self._method == "GET"):
            answer = Response(status_code=200 if method == "OPTIONS" else 405, headers=self._allow)
            await answer(scope, receive, send)
            return
        try:
            incoming = await read(scope, receive)
        except ClientDisconnect:
            return
        if self._service is None:
            await self._answer(incoming, scope, receive, send)
            return
        if self._faults.slow_ms > 0:
            await asyncio.sleep(self._faults.slow_ms / 1000)
        fault = self._faults.next(self._service)
        if fault is not None:
            await self._misbehave(fault, incoming, scope, receive, send)
        elif self._service == "brain" and self._faults.fails():
            await refusal(500, "event_capture_failed")(scope, receive, send)
        else:
            await self._answer(incoming, scope, receive, send)

    async def _answer(self, incoming: Incoming, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await self._handler(incoming)
        except GoneDownError:
            await self._end(scope, receive)
            return
        if "transfer-encoding" in incoming.headers:
            # The real server takes the chunks for the next request, and chokes; nothing comes back on this connection.
            response.headers.update(_CONNECTION_CLOSE)
        await response(scope, receive, send)
        if self._service == "brain":
            self._faults.after_event()

    async def _end(self, scope: Scope, receive: Receive, last_words: bytes = b"") -> None:
        self._drop(scope, last_words)
        await receive()  # the server must know of the end before this returns, or it would answer 500

    async def _misbehave(self, fault: Fault, incoming: Incoming, scope: Scope, receive: Receive, send: Send) -> None:
        match fault.mode:
            case Mode.HANG:
                while fault.is_within_time:
                    await asyncio.sleep(_HANG_STEP)
                await self._answer(incoming, scope, receive, send)
            case Mode.RESET:
                await self._end(scope, receive)
            case Mode.RESET_AFTER:
                await self._handler(incoming)
                await self._end(scope, receive)
            case Mode.GARBAGE:
                await self._end(scope, receive, _GARBAGE)
            case Mode.TRUNCATED:
                await self._end(scope, receive, _TRUNCATED)
            case Mode.OUTAGE:
                incoming.outage = True
                await self._answer(incoming, scope, receive, send)
            case Mode.CAPTURE_FAILED:
                await refusal(500, "event_capture_failed")(scope, receive, send)
            case Mode.BUSY:
                response = page(503, "Service Unavailable")
                response.headers["retry-after"] = "1"
                await response(scope, receive, send)
            case Mode.PAGE:
                await page(500, "OperationalError at " + scope["path"], incoming.shown)(scope, receive, send)


async def read(scope: Scope, receive: Receive) -> Incoming:
    """Read a request to its end, keeping no more of the body than Brain accepts.

    Raises:
        ClientDisconnect: The client went away before its end.
    """
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size <= MAX_BODY_BYTES:
            chunks.append(chunk)
        if not message.get("more_body"):
            break
    has_length = "content-length" in headers
    return Incoming(
        headers=headers,
        query=dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
        body=b"".join(chunks) if has_length and size <= MAX_BODY_BYTES else b"",
        is_too_large=has_length and size > MAX_BODY_BYTES,
    )
