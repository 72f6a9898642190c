"""The HTTP side of every endpoint: reading a request as Django reads it, methods, faults, and the answer."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from otas_middleware.localbrain.checks import InvalidJsonError, UnreadableBodyError, read_json
from otas_middleware.localbrain.faults import Mode
from otas_middleware.localbrain.pages import RefusedError, page, refusal, refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import Receive, Scope, Send

    from otas_middleware.localbrain.faults import Fault, Faults, Service

    Handler = Callable[["Incoming"], Awaitable[Response]]

MAX_BODY_BYTES = 2_621_440
"""The largest body that Django takes into memory (`DATA_UPLOAD_MAX_MEMORY_SIZE`)."""

_HANG_STEP = 0.02
_GARBAGE = b"\x16\x03\x01\x00\xa5 this is not HTTP \x00\xff\r\n\r\n"
_TRUNCATED = (
    b'HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: 74\r\n\r\n{"status": 1, "status_'
)
_SHOWN = {
    "sdk_key": b"x-otas-sdk-key",
    "agent_key": b"x-otas-agent-key",
    "token": b"x-otas-agent-session-token",
}


class GoneDownError(Exception):
    """The Brain went down while it handled the request: there is no answer."""


class Drop(Protocol):
    """Ends the connection of a request."""

    async def __call__(self, scope: Scope, receive: Receive, last_words: bytes = b"") -> None:
        """Reset it, or close it after writing bytes that the client gets as they are; returns when it has ended."""


class Incoming:
    """A request that was read to its end.

    Attributes:
        body: What Django would read: nothing when no length was declared (a chunked body, for one).
        is_too_large: Whether the body has more bytes than Django takes; `body` is empty then.
        outage: Whether UASAM is to be taken for down.
    """

    __slots__ = ("_headers", "_query_string", "body", "is_too_large", "outage")

    def __init__(self, scope: Scope, body: bytes, *, is_too_large: bool = False) -> None:
        pairs: list[tuple[bytes, bytes]] = scope["headers"]
        self._headers = dict(pairs)
        if len(self._headers) != len(pairs):  # WSGI servers join headers of one name
            self._headers = {name: b",".join(v for n, v in pairs if n == name) for name in self._headers}
        self._query_string: bytes = scope["query_string"]
        self.body = body if b"content-length" in self._headers else b""
        self.is_too_large = is_too_large
        self.outage = False

    def header(self, name: bytes) -> str | None:
        """Return the value of a header, named in lower case; None when it is absent or empty."""
        value = self._headers.get(name)
        return value.decode("latin-1") if value else None

    def parameter(self, name: str) -> str | None:
        """Return the last value of a query parameter; None when it is absent or empty."""
        pairs = parse_qsl(self._query_string.decode("latin-1"), keep_blank_values=True)
        return dict(pairs).get(name) or None

    def json(self) -> Any:
        """Parse the body.

        Raises:
            RefusedError: It is too large, not JSON, or cannot even be read.
        """
        if self.is_too_large:
            raise RefusedError(page(400, f"RequestDataTooBig: Request body exceeded {MAX_BODY_BYTES} bytes."))
        try:
            return read_json(self.body)
        except InvalidJsonError:
            raise refused(400, "invalid_json") from None
        except UnreadableBodyError as error:
            raise self.failure(str(error)) from None

    def failure(self, title: str) -> RefusedError:
        """Make the error of a failure that Brain does not catch: a debug page, with the request's key and token."""
        return RefusedError(page(500, title, self._shown))

    @property
    def is_chunked(self) -> bool:
        """Whether the body came in chunks."""
        return b"transfer-encoding" in self._headers

    @property
    def _shown(self) -> dict[str, str]:
        """What a debug page about this request displays: its keys and its token."""
        values = {name: self.header(header) for name, header in _SHOWN.items()}
        return {name: value for name, value in values.items() if value}


class Endpoint:
    """An ASGI application for one path: one method, one handler, and the faults of its service.

    Args:
        handler: Turns a request into an answer.
        method: The one method that it answers; another is 405, and OPTIONS names it.
        service: Whose faults strike it; None is safe from them.
        faults: The Brain's faults.
        drop: Ends the connection of a request.
    """

    def __init__(
        self, handler: Handler, *, faults: Faults, drop: Drop, method: str = "POST", service: Service | None = None
    ) -> None:
        self._handler = handler
        self._methods = (method, "HEAD") if method == "GET" else (method,)
        self._service: Service | None = service
        self._faults = faults
        self._drop = drop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["method"] not in self._methods:
            allow = {"allow": ", ".join((*self._methods, "OPTIONS"))}
            await Response(status_code=200 if scope["method"] == "OPTIONS" else 405, headers=allow)(
                scope, receive, send
            )
            return
        try:
            incoming = await _read(scope, receive)
            fault = None if self._service is None else await self._delay(self._service)
            if fault is not None:
                await self._misbehave(fault, incoming, scope, receive, send)
            elif self._service == "brain" and self._faults.fails():
                await refusal(500, "event_capture_failed")(scope, receive, send)
            else:
                await self._answer(incoming, scope, receive, send)
        except ClientDisconnect:
            return
        except GoneDownError:
            self._faults.after_event()
            await until_disconnected(receive)  # its end comes when no connection is accepted any more, and not before

    async def _delay(self, service: Service) -> Fault | None:
        if self._faults.slow_ms > 0 and service != "uasam":
            await asyncio.sleep(self._faults.slow_ms / 1000)
        return self._faults.next(service)

    async def _answer(self, incoming: Incoming, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await self._handler(incoming)
        except RefusedError as error:
            response = error.answer
        if incoming.is_chunked:
            # The real server takes the chunks for the next request, and chokes: nothing more comes of this connection.
            response = Response(response.body, response.status_code, {**response.headers, "connection": "close"})
        await response(scope, receive, send)
        if self._service == "brain":
            self._faults.after_event()

    async def _misbehave(self, fault: Fault, incoming: Incoming, scope: Scope, receive: Receive, send: Send) -> None:
        match fault.mode:
            case Mode.HANG:
                while fault.is_within_time:  # noqa: ASYNC110  # it is lifted from other threads, or by the clock
                    await asyncio.sleep(_HANG_STEP)
                await self._answer(incoming, scope, receive, send)
            case Mode.RESET:
                await self._drop(scope, receive)
            case Mode.RESET_AFTER:
                with contextlib.suppress(RefusedError):
                    await self._handler(incoming)
                await self._drop(scope, receive)
            case Mode.GARBAGE:
                await self._drop(scope, receive, _GARBAGE)
            case Mode.TRUNCATED:
                await self._drop(scope, receive, _TRUNCATED)
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
                await incoming.failure("OperationalError at " + scope["path"]).answer(scope, receive, send)


async def until_disconnected(receive: Receive) -> None:
    """Wait until the connection of a request has ended."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _read(scope: Scope, receive: Receive) -> Incoming:
    """Read a request to its end, keeping no more of the body than Brain takes.

    Raises:
        ClientDisconnect: The client went away before its end.
    """
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
    if size > MAX_BODY_BYTES:
        return Incoming(scope, b"", is_too_large=True)
    return Incoming(scope, b"".join(chunks))
