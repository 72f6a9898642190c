"""Real servers on loopback: uvicorn in a thread of this process, gunicorn in processes of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import uvicorn

from support.agent import PATIENCE
from support.http1 import fetch
from support.request import Request

if TYPE_CHECKING:
    from types import TracebackType

    from otas_middleware._capture.asgi_scope import ASGIApp
    from otas_middleware.localbrain import LocalBrain


STARTING = 120.0
"""Seconds that a server may take to start on a busy machine."""

GUNICORN = [sys.executable, "-m", "gunicorn", "--worker-class=gthread", "--threads=4", "--log-level=critical"]


def listen() -> socket.socket:
    """Return a socket that listens on a free loopback port."""
    return socket.create_server(("127.0.0.1", 0), backlog=100)


class Uvicorn:
    """Serves an ASGI application from a thread until the `with` block ends.

    Args:
        app: The application.
        lifespan: Whether it gets lifespan events.
        loop: The event loop's kind.
    """

    def __init__(self, app: ASGIApp, *, lifespan: bool = False, loop: Literal["auto", "asyncio"] = "auto") -> None:
        config = uvicorn.Config(
            app, log_config=None, lifespan="on" if lifespan else "off", loop=loop, timeout_graceful_shutdown=2
        )
        self._server = uvicorn.Server(config)
        self._socket = listen()
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="test-uvicorn")

    def __enter__(self) -> Self:
        self._thread.start()
        deadline = time.monotonic() + PATIENCE
        while not self._server.started:
            assert self._thread.is_alive(), "uvicorn did not start"
            assert time.monotonic() < deadline
            time.sleep(0.005)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(PATIENCE)
        self._socket.close()
        assert not self._thread.is_alive(), "uvicorn did not stop"


class Gunicorn:
    """Serves a WSGI application by gunicorn with a thread pool until the `with` block ends.

    Args:
        application: `module:factory()`, importable from the tests' folder.
        brain: Where the application's events go, by environment variables.
    """

    def __init__(self, application: str, brain: LocalBrain) -> None:
        self._application = application
        self._brain = brain
        self._socket = listen()
        self.port: int = self._socket.getsockname()[1]

    def __enter__(self) -> Self:
        tests = str(Path(__file__).parents[1])
        inherited = os.environ.get("PYTHONPATH")
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([tests, inherited] if inherited else [tests]),
            "OTAS_SDK_KEY": self._brain.sdk_key,
            "OTAS_BRAIN_URL": self._brain.url,
            "OTAS_PROJECT_ID": self._brain.project_id,
        }
        descriptor = self._socket.fileno()
        self._process = subprocess.Popen(
            [*GUNICORN, f"--bind=fd://{descriptor}", self._application],
            env=environment,
            pass_fds=[descriptor],
            cwd=tests,
        )
        # Nothing is refused meanwhile, for the socket listens; but all the applications take their time to be built.
        fetch(self.port, Request().wire(), STARTING)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(PATIENCE)
        finally:
            self._process.kill()
            self._process.wait()
            self._socket.close()
