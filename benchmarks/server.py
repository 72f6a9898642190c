"""One server process with one worker, and the way to ask it for its figures."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.processes import START_SECONDS, check, free_port, running, wait_until_it_listens
from benchmarks.served import APPLICATION, DOOR, VARIANT, Account

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Generator, Mapping, Sequence

    from benchmarks.applications import Variant

ROOT = Path(__file__).parents[1]
SERVED = "benchmarks.served:application"
_UVICORN = ("uvicorn", "--factory", SERVED, "--port", "{port}", "--log-level", "warning", "--no-access-log")
COMMANDS: dict[str, Sequence[str]] = {
    "uvicorn": (*_UVICORN, "--http", "h11", "--loop", "asyncio"),
    "uvicorn[standard]": (*_UVICORN, "--http", "httptools", "--loop", "uvloop"),
    "gunicorn": (
        *("gunicorn", f"{SERVED}()", "--bind", "127.0.0.1:{port}", "--log-level", "warning"),
        *("--worker-class", "gthread", "--threads", "4", "--keep-alive", "60"),
    ),
}
"""How each server is started with one worker, as its extra installs it; all listen on the loopback interface only."""


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
        StartError: It does not start.
    """
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as doorway:
        given = {APPLICATION: application, VARIANT: variant, DOOR: str(doorway.getsockname()[1]), **environ}
        usual = {name: value for name, value in os.environ.items() if not name.startswith("OTAS_")}
        command = [sys.executable, "-m", *(part.format(port=port) for part in COMMANDS[kind])]
        with running(command, ROOT, usual | given) as process, _door(doorway, process) as door:
            wait_until_it_listens(port, process)
            yield Server(port, door)


def _door(doorway: socket.socket, process: subprocess.Popen[bytes]) -> socket.socket:
    """Return the worker's connection; a server that ends or hangs instead is an error, not a wait for ever."""
    doorway.settimeout(0.2)
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            door, _ = doorway.accept()
        except TimeoutError:
            check(process, deadline)
        else:
            door.settimeout(None)
            return door
