"""One server process with one worker, started for a benchmark and stopped by its own number."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.served import APPLICATION, DOOR, VARIANT, Account

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from benchmarks.applications import Variant

ROOT = Path(__file__).parents[1]
START_SECONDS = 30.0
STOP_SECONDS = 10.0
SERVED = "benchmarks.served:application"
COMMANDS: dict[str, Sequence[str]] = {
    "uvicorn": ("uvicorn", "--factory", SERVED, "--port", "{port}", "--log-level", "warning"),
    "gunicorn": (
        *("gunicorn", f"{SERVED}()", "--bind", "127.0.0.1:{port}", "--log-level", "warning"),
        *("--worker-class", "gthread", "--threads", "4", "--keep-alive", "60"),
    ),
}
"""How each server is started with one worker; both listen on the loopback interface only."""


class Server:
    """A server that is up.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, port: int, door: socket.socket) -> None:
        self.port = port
        self._door = door.makefile("rw", encoding="utf-8")

    def account(self) -> Account:
        """Wait until all events are delivered, and return the worker's figures."""
        self._door.write("\n")
        self._door.flush()
        return Account(**json.loads(self._door.readline()))


@contextlib.contextmanager
def serving(kind: str, application: str, variant: Variant, environ: Mapping[str, str]) -> Generator[Server]:
    """Run a server, and stop it afterwards.

    Args:
        kind: A key of `COMMANDS`.
        application: A key of `APPLICATIONS`.
        variant: Which variant of it.
        environ: Settings of the middleware.

    Raises:
        RuntimeError: It does not start.
    """
    port = _free_port()
    with socket.create_server(("127.0.0.1", 0)) as doorway:
        given = {APPLICATION: application, VARIANT: variant, DOOR: str(doorway.getsockname()[1]), **environ}
        usual = {name: value for name, value in os.environ.items() if not name.startswith("OTAS_")}
        command = [sys.executable, "-m", *(part.format(port=port) for part in COMMANDS[kind])]
        process = subprocess.Popen(command, cwd=ROOT, env=usual | given)
        try:
            with _door(doorway, process) as door:
                _wait_for(port, process)
                yield Server(port, door)
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _door(doorway: socket.socket, process: subprocess.Popen[bytes]) -> socket.socket:
    """Return the worker's connection; a server that ends or hangs instead is an error, not a wait for ever."""
    doorway.settimeout(0.2)
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            door, _ = doorway.accept()
        except TimeoutError:
            _check(process, deadline)
        else:
            door.settimeout(None)
            return door


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            _check(process, deadline)
            time.sleep(0.05)
        else:
            return


def _check(process: subprocess.Popen[bytes], deadline: float) -> None:
    if process.poll() is not None or time.monotonic() > deadline:
        raise RuntimeError("the server did not start; what it said is above")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
