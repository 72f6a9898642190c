"""The server's side of ASGI, in process: converses with an application and keeps all that a client could tell apart."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from otas_middleware._capture.asgi_scope import ASGIApp, Message, Scope
    from support.request import Request


@dataclass
class AsgiExchange:
    """What an application answered, and in how many pieces it took the request.

    How often it asks afterwards, to hear of the client's leaving, is left out: Django 6 does so in a task of its own,
    which begins with the first pause of the event loop, if there is any (on Python 3.14 there may be none).
    """

    messages: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    receives: int = 0
    raised: tuple[type[BaseException], str] | None = None

    @property
    def _start(self) -> dict[str, Any]:
        for message in self.messages:
            if message["type"] == "http.response.start":
                return message
        return {}

    @property
    def answered(self) -> bool:
        """Whether the application began a response."""
        return bool(self._start)

    @property
    def status_code(self) -> int:
        """The status; that of a server's own error page when the application raised instead of answering."""
        status: int = self._start.get("status", 500)
        return status

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Names and values, as text."""
        return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self._start.get("headers", [])]

    @property
    def chunks(self) -> list[bytes]:
        """The body's pieces, empty ones included."""
        return [message.get("body", b"") for message in self.messages if message["type"] == "http.response.body"]

    @property
    def body(self) -> bytes:
        """The body as the application gave it."""
        return b"".join(self.chunks)


async def converse(app: ASGIApp, scope: Scope, body: tuple[bytes, ...] = ()) -> AsgiExchange:
    """Run one request: hand out the body's chunks, and the disconnect once the response is complete."""
    exchange = AsgiExchange()
    incoming: list[Message] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in body[:-1]]
    incoming.append({"type": "http.request", "body": body[-1] if body else b"", "more_body": False})
    complete = asyncio.Event()

    async def receive() -> Message:
        if incoming:
            exchange.receives += 1
            return incoming.pop(0)
        await complete.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        exchange.messages.append(dict(message))
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            complete.set()

    try:
        await app(scope, receive, send)
    except Exception as error:  # all that a server would see
        exchange.raised = (type(error), str(error))
    return exchange


def call_asgi(app: ASGIApp, request: Request, **scope_changes: Any) -> AsgiExchange:
    """Run one request in an event loop of its own."""
    return asyncio.run(converse(app, request.scope(**scope_changes), request.body))
