"""One life of the HTTP server: uvicorn on a socket that is already bound, quick to start and quick to stop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING, Any

import uvicorn

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send

_BACKLOG = 512
_GRACE = 0.25
_RESET = struct.pack("ii", 1, 0)  # linger for 0 s: closing sends RST


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
                _quiet(app),
                access_log=False,
                backlog=_BACKLOG,
                date_header=False,
                h11_max_incomplete_event_size=1 << 20,
                lifespan="off",
                log_config=None,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=keep_alive,
                ws="none",
            )
        )
        self._leaving = asyncio.Event()
        self._abruptly = False

    def leave(self, *, abruptly: bool = False) -> None:
        """Stop serving; to be called on the loop.

        Args:
            abruptly: Break all connections at once, as if the process were killed, instead of answering what was asked.
        """
        self._abruptly = abruptly
        self._leaving.set()

    def drop(self, scope: Scope, last_words: bytes) -> None:
        """End the connection of a request: by a reset, or after writing some bytes in an orderly way."""
        for connection in self._connections():
            if connection.client == scope["client"]:
                if last_words:
                    connection.transport.write(last_words)
                    connection.transport.close()
                else:
                    _reset(connection.transport)

    async def main_loop(self) -> None:
        """Serve until `leave`."""
        await self._leaving.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the listening sockets, then the connections."""
        for server in self.servers:
            server.close()
        for bound in sockets or []:
            bound.close()
        if not self._abruptly:
            for connection in self._connections():
                connection.shutdown()
            if self.server_state.tasks:
                await asyncio.wait(self.server_state.tasks, timeout=_GRACE)
        for connection in self._connections():
            connection.transport.abort()
        await asyncio.sleep(0)  # the transports report their end before the tasks are told
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _connections(self) -> Iterable[Any]:
        return list(self.server_state.connections)


def bind(host: str, port: int) -> socket.socket:
    """Bind a listening address.

    Raises:
        OSError: It cannot be bound, for one because the port is taken.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(_BACKLOG)  # connections are taken, and wait, from this moment on
    except BaseException:
        bound.close()
        raise
    return bound


def _reset(transport: asyncio.Transport) -> None:
    end = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):
        if end is not None:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


def _quiet(app: ASGIApp) -> ASGIApp:
    """Let a cancelled request end without the traceback that uvicorn would log: its connection is gone by then."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await app(scope, receive, send)

    return run
