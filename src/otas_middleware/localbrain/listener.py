"""One life of the HTTP server: uvicorn on a socket that is already bound, quick to start and quick to stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import time
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import uvicorn

from otas_middleware.localbrain.incoming import until_disconnected

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_BACKLOG = 512
_GRACE = 0.25
_TURNS_TO_ACCEPT = 5
_LINGER_ZERO = struct.pack("ii", 1, 0)  # on, for 0 s: closing sends RST


class Listener(uvicorn.Server):
    """Serves an application until `leave` is called.

    uvicorn looks every tenth of a second whether it shall stop, and waits as long again while it stops; here both
    are events. Signals are none of its business: it never runs in the main thread.

    Args:
        app: The ASGI application.
        keep_alive: How long an idle connection stays open, in seconds.
    """

    def __init__(self, app: ASGIApp, *, keep_alive: int) -> None:
        super().__init__(
            uvicorn.Config(
                self._serve_app,
                access_log=False,
                backlog=_BACKLOG,
                date_header=False,  # uvicorn would look at the clock ten times a second; `_dated` does when it is asked
                h11_max_incomplete_event_size=1 << 20,
                interface="asgi3",
                lifespan="off",
                log_config=None,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=keep_alive,
                ws="none",
            )
        )
        self._app = app
        self._leaving = asyncio.Event()
        self._abruptly = False
        self._is_gone = False

    def leave(self, *, abruptly: bool = False) -> None:
        """Stop serving; to be called on the loop.

        Args:
            abruptly: Break all connections at once, as if the process were killed, instead of answering what was asked.
        """
        self._abruptly = abruptly
        self._leaving.set()

    async def drop(self, scope: Scope, receive: Receive, last_words: bytes = b"") -> None:
        """End the connection of a request: by a reset, or after writing some bytes in an orderly way."""
        for connection in self._connections():
            if connection.client == scope["client"]:
                if last_words:
                    connection.transport.write(last_words)
                    connection.transport.close()
                else:
                    _reset(connection.transport)
        await until_disconnected(receive)  # or uvicorn would answer 500 when the application returns

    async def main_loop(self) -> None:
        """Serve until `leave`."""
        await self._leaving.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the listening sockets, then the connections."""
        twins = [bound.dup() for bound in sockets or []]
        await self._finish_accepting(sockets or [])
        for server in self.servers:
            server.close()
        for twin in twins:
            with twin, contextlib.suppress(OSError):  # not everywhere can a listening socket be shut down
                twin.shutdown(socket.SHUT_RDWR)  # a forked child may hold it too, and would keep the port open
        if not self._abruptly:
            for connection in self._connections():
                connection.shutdown()
            if self.server_state.tasks:
                await asyncio.wait(self.server_state.tasks, timeout=_GRACE)
        self._is_gone = True
        for _ in range(_TURNS_TO_ACCEPT):  # those that are just being accepted show up within a few turns of the loop
            self._break_connections()
            await asyncio.sleep(0)
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve_app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application; end the connection instead when this server is gone, without a word in the log."""
        if not self._is_gone:
            with contextlib.suppress(asyncio.CancelledError):  # by `shutdown`
                await self._app(scope, receive, _dated(send))
                return
        await self.drop(scope, receive)

    @staticmethod
    async def _finish_accepting(sockets: list[socket.socket]) -> None:
        """Accept no more, and let what is half accepted become a connection: asyncio would lose it with its server."""
        for bound in sockets:
            with contextlib.suppress(NotImplementedError):  # only selector loops accept in this way
                asyncio.get_running_loop().remove_reader(bound)
        for _ in range(_TURNS_TO_ACCEPT):
            await asyncio.sleep(0)

    def _break_connections(self) -> None:
        for connection in self._connections():
            _break(connection.transport)

    def _connections(self) -> Iterable[Any]:
        return list(self.server_state.connections)


def _dated(send: Send) -> Send:
    """Let each answer tell the time, as the real services' do: `otas-middleware doctor` compares clocks by it."""

    async def send_dated(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", ()), (b"date", _date(int(time.time())))]
            message = {**message, "headers": headers}
        await send(message)

    return send_dated


@lru_cache(maxsize=1)
def _date(moment: int) -> bytes:
    return formatdate(moment, usegmt=True).encode()


def bind(host: str, port: int) -> socket.socket:
    """Bind a listening address.

    Raises:
        OSError: It cannot be bound, for one because the port is taken.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # elsewhere it would let two servers share a port
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(_BACKLOG)  # connections are taken, and wait, from this moment on
    except BaseException:
        bound.close()
        raise
    return bound


def _reset(transport: asyncio.Transport) -> None:
    """End a connection so that the client reads an error."""
    with contextlib.suppress(OSError):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    transport.abort()


def _break(transport: asyncio.Transport) -> None:
    """End a connection as the end of the process would, even when a forked child holds it too."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as end:
        end.shutdown(socket.SHUT_RDWR)
    transport.abort()
