"""Runs an application on a loopback port in a background thread: start, stop, and going down in between."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import math
import os
import socket
import struct
import threading
import time
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import uvicorn

from otas_middleware._errors import ConfigurationError
from otas_middleware.localbrain.django_http import until_disconnected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from otas_middleware.localbrain.faults import Faults

_REBIND_SECONDS = 0.05
_STOP_SECONDS = 10.0
_CHANGE_SECONDS = 5.0
"""The longest wait for the port to be closed, or open again: somebody may have taken it meanwhile."""


class Runner:
    """A server thread.

    Args:
        host: Where to listen.
        port: Where to listen; 0 chooses a free port, which stays the same when it goes down and up.
        faults: Say when to be down.
        keep_alive: How long an idle connection stays open, in seconds.
    """

    def __init__(self, host: str, port: int, faults: Faults, *, keep_alive: int) -> None:
        self.host = host
        self.port = port
        self._faults = faults
        self._keep_alive = keep_alive
        self._listener: Listener | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()
        self._waiting: list[threading.Event] = []
        """Who waits until all changes are made."""
        self._stopping = False
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None
        faults.on_change(self._change)

    def start(self, app: ASGIApp) -> None:
        """Bind the port and serve; returns when connections are answered.

        Raises:
            ConfigurationError: The port is taken, or not allowed.
        """
        try:
            bound = bind(self.host, self.port)
        except OSError as error:
            raise _cannot_listen(self.host, self.port, error) from None
        self.port = bound.getsockname()[1]
        self._thread = threading.Thread(target=self._main, args=(app, bound), name="otas-local-brain", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Answer what is in flight, within a quarter of a second, and end the thread."""
        if self._thread is not None:
            self._stopping = True
            self._wake(threading.Event())
            self._thread.join(_STOP_SECONDS)
            self._thread = None

    async def drop(self, scope: Scope, receive: Receive, last_words: bytes = b"") -> None:
        """End the connection of a request: reset it, or close it after writing some bytes."""
        if self._listener is not None:
            await self._listener.drop(scope, receive, last_words)

    def _change(self) -> None:
        """Go down or up; returns when that is done, unless the loop's own thread asks for it."""
        changed = threading.Event()
        if self._wake(changed) and threading.current_thread() is not self._thread:
            changed.wait(_CHANGE_SECONDS)

    def _wake(self, changed: threading.Event) -> bool:
        def ask() -> None:
            self._waiting.append(changed)
            self._changed.set()

        if self._loop is None:
            return False
        try:
            self._loop.call_soon_threadsafe(ask)
        except RuntimeError:  # the loop has just been closed
            return False
        return True

    def _main(self, app: ASGIApp, bound: socket.socket) -> None:
        try:
            with asyncio.Runner(loop_factory=_new_loop) as runner:
                runner.run(self._run(app, bound))
        except BaseException as error:
            if self._ready.is_set():
                raise
            self._failure = error  # for the thread that waits in `start`
            bound.close()
        finally:
            self._ready.set()
            self._tell()

    async def _run(self, app: ASGIApp, bound: socket.socket | None) -> None:
        self._loop = asyncio.get_running_loop()
        while not self._stopping:
            if bound is None:
                bound = await self._rebind()
                continue
            listener = self._listener = Listener(app, keep_alive=self._keep_alive)
            serving = asyncio.create_task(listener.serve(sockets=[bound]))
            bound = None
            self._ready.set()
            await self._until(lambda: self._stopping or self._faults.seconds_down > 0)
            listener.leave(abruptly=not self._stopping)
            await serving
            await self._until(lambda: self._stopping or self._faults.seconds_down == 0)

    async def _rebind(self) -> socket.socket | None:
        try:
            return bind(self.host, self.port)
        except OSError:  # somebody took the port meanwhile, or its last connections linger
            await asyncio.sleep(_REBIND_SECONDS)
            return None

    async def _until(self, met: Callable[[], bool]) -> None:
        while True:
            self._changed.clear()
            if met():
                return
            self._tell()
            seconds = self._faults.seconds_down
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), seconds if 0 < seconds < math.inf else None)

    def _tell(self) -> None:
        while self._waiting:
            self._waiting.pop().set()


def _new_loop() -> asyncio.AbstractEventLoop:
    """Make the faster loop when it is there, as uvicorn does: uvloop carries a quarter more events a second."""
    try:
        import uvloop  # noqa: PLC0415  # optional
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _cannot_listen(host: str, port: int, error: OSError) -> ConfigurationError:
    if error.errno == errno.EADDRINUSE:
        reason = f"port {port} is already in use"
    elif error.errno == errno.EACCES:
        reason = f"port {port} needs more rights than this user has"
    else:
        reason = f"{host} port {port} cannot be listened on ({error.strerror or error})"
    return ConfigurationError(f"{reason}; choose another with --port, or --port 0 for any free one")


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
