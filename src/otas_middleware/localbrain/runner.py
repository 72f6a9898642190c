"""Runs an application on a loopback port in a background thread: start, stop, and going down in between."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import math
import threading
from typing import TYPE_CHECKING

from otas_middleware._errors import ConfigurationError
from otas_middleware.localbrain.listener import Listener, bind

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope

    from otas_middleware.localbrain.faults import Faults

_REBIND_SECONDS = 0.05
_STOP_SECONDS = 10.0


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
        self._stopping = False
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None
        faults.on_change(self._wake)

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
            self._wake()
            self._thread.join(_STOP_SECONDS)
            self._thread = None

    async def drop(self, scope: Scope, receive: Receive, last_words: bytes = b"") -> None:
        """End the connection of a request: reset it, or close it after writing some bytes."""
        if self._listener is not None:
            await self._listener.drop(scope, receive, last_words)

    def _wake(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has just been closed
                self._loop.call_soon_threadsafe(self._changed.set)

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
            seconds = self._faults.seconds_down
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), seconds if 0 < seconds < math.inf else None)


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
