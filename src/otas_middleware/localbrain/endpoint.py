"""What all endpoints have in common: one method, one handler, and the faults of their service."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Protocol

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from otas_middleware.localbrain.django_http import (
    CSRF_FAILED,
    RefusedError,
    options,
    page,
    read_request,
    refusal,
    until_disconnected,
    wrong_method,
)
from otas_middleware.localbrain.faults import Mode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import Receive, Scope, Send

    from otas_middleware.localbrain.django_http import Incoming
    from otas_middleware.localbrain.faults import Fault, Faults, Service

    Handler = Callable[[Incoming], Awaitable[Response]]

_HANG_STEP = 0.02
_WITH_A_VIEW = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "TRACE")
_SAFE = {"GET", "HEAD", "OPTIONS", "TRACE"}
_GARBAGE = b"\x16\x03\x01\x00\xa5 this is not HTTP \x00\xff\r\n\r\n"
_TRUNCATED = (
    b'HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: 74\r\n\r\n{"status": 1, "status_'
)


class GoneDownError(Exception):
    """The Brain went down while it handled the request: there is no answer."""


class Drop(Protocol):
    """Ends the connection of a request."""

    async def __call__(self, scope: Scope, receive: Receive, last_words: bytes = b"") -> None:
        """Reset it, or close it after writing bytes that the client gets as they are; returns when it has ended."""


@dataclass(eq=False)
class Endpoint:
    """An ASGI application for one path: one method, one handler, and the faults of its service.

    Attributes:
        handler: Turns a request into an answer.
        method: The one method that it answers; another is 405, and OPTIONS names it.
        key_first: Whether the handler gets requests of every known method, because it looks at the key before that.
        csrf: Whether Django's protection against forged requests refuses methods that could change something.
        service: Whose faults strike it; None is safe from them.
        faults: The Brain's faults.
        drop: Ends the connection of a request.
    """

    handler: Handler
    _: KW_ONLY
    faults: Faults
    drop: Drop
    method: str = "POST"
    key_first: bool = False
    csrf: bool = False
    service: Service | None = None

    def __post_init__(self) -> None:
        self._allowed = (self.method, "HEAD", "OPTIONS") if self.method == "GET" else (self.method, "OPTIONS")
        self._answered = {*self._allowed, *(_WITH_A_VIEW if self.key_first else ())} - {"OPTIONS"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["method"] not in self._answered:
            await self._unanswered(scope["method"])(scope, receive, send)
            return
        try:
            incoming = await read_request(scope, receive)
            fault = None if self.service is None else await self._delay(self.service)
            if fault is not None:
                await self._misbehave(fault, incoming, scope, receive, send)
            elif self.service == "brain" and self.faults.fails():
                await refusal(500, "event_capture_failed")(scope, receive, send)
            else:
                await self._answer(incoming, scope, receive, send)
        except ClientDisconnect:
            return
        except GoneDownError:
            self.faults.after_event()
            await until_disconnected(receive)  # its end comes when no connection is accepted any more, and not before

    def _unanswered(self, method: str) -> Response:
        if self.csrf and method not in _SAFE:
            return CSRF_FAILED
        return options(self._allowed) if method == "OPTIONS" else wrong_method(self._allowed)

    async def _delay(self, service: Service) -> Fault | None:
        if self.faults.slow_ms > 0 and service != "uasam":
            await asyncio.sleep(self.faults.slow_ms / 1000)
        return self.faults.next(service)

    async def _answer(self, incoming: Incoming, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await self.handler(incoming)
        except RefusedError as error:
            response = error.answer
        if incoming.is_chunked:
            # The real server takes the chunks for the next request, and chokes: nothing more comes of this connection.
            response = Response(response.body, response.status_code, {**response.headers, "connection": "close"})
        await response(scope, receive, send)
        if self.service == "brain":
            self.faults.after_event()

    async def _misbehave(self, fault: Fault, incoming: Incoming, scope: Scope, receive: Receive, send: Send) -> None:
        match fault.mode:
            case Mode.HANG:
                while fault.is_within_time:  # noqa: ASYNC110  # it is lifted from other threads, or by the clock
                    await asyncio.sleep(_HANG_STEP)
                await self._answer(incoming, scope, receive, send)
            case Mode.RESET:
                await self.drop(scope, receive)
            case Mode.RESET_AFTER:
                with contextlib.suppress(RefusedError):
                    await self.handler(incoming)
                await self.drop(scope, receive)
            case Mode.GARBAGE:
                await self.drop(scope, receive, _GARBAGE)
            case Mode.TRUNCATED:
                await self.drop(scope, receive, _TRUNCATED)
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
