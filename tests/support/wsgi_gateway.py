"""The server's side of PEP 3333, in process: calls an application and keeps all that a client could tell apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable
    from wsgiref.types import WSGIApplication, WSGIEnvironment


@dataclass
class WsgiExchange:
    """What an application answered."""

    status: str | None = None
    headers: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    chunks: list[bytes] = field(default_factory=list[bytes])
    """What was handed to the server, by iteration or by `write()`, in order."""
    raised: tuple[type[BaseException], str] | None = None
    raised_at: Literal["call", "body", "close"] | None = None

    @property
    def status_code(self) -> int:
        """The status; that of a server's own error page when the application raised instead of answering."""
        return 500 if self.status is None else int(self.status.split()[0])

    @property
    def body(self) -> bytes:
        """The body as the application gave it."""
        return b"".join(self.chunks)

    @property
    def answered(self) -> bool:
        """Whether the application began a response."""
        return self.status is not None


def call_wsgi(app: WSGIApplication, environ: WSGIEnvironment, *, stop_after: int | None = None) -> WsgiExchange:
    """Run one request.

    Args:
        app: The application.
        environ: The request.
        stop_after: How many chunks the client takes before it goes away; all of them when left out.
    """
    exchange = WsgiExchange()
    sent = False

    def write(data: bytes) -> object:
        nonlocal sent
        sent = True
        exchange.chunks.append(data)
        return None

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        if exc_info:
            try:
                if sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # no cycle through the traceback's frames
        elif exchange.status is not None:
            raise AssertionError("start_response was called a second time without exc_info")
        exchange.status, exchange.headers = status, list(headers)
        return write

    try:
        iterable = app(environ, start_response)
    except BaseException as error:  # all that a server would see
        exchange.raised, exchange.raised_at = (type(error), str(error)), "call"
        return exchange
    try:
        if stop_after != 0:
            for chunk in iterable:
                assert exchange.status is not None, "a chunk came before start_response was called"
                exchange.chunks.append(chunk)
                sent = sent or bool(chunk)
                if len(exchange.chunks) == stop_after:
                    break
    except BaseException as error:  # as above
        exchange.raised, exchange.raised_at = (type(error), str(error)), "body"
    finally:
        try:
            close = getattr(iterable, "close", None)
            if close is not None:
                close()
        except BaseException as error:  # as above
            exchange.raised, exchange.raised_at = (type(error), str(error)), "close"
    return exchange
