"""What the processes that benchmarks start have in common: a free port, a wait until they listen, an end."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

START_SECONDS = 30.0
STOP_SECONDS = 10.0


class StartError(Exception):
    """A process ended, or took too long, before it listened."""


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def running(
    command: Sequence[str], folder: Path, environ: Mapping[str, str] | None = None
) -> Generator[subprocess.Popen[bytes]]:
    """Run a command, and stop it by its own number afterwards. Its errors go where ours go."""
    process = subprocess.Popen(command, cwd=folder, env=environ, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_it_listens(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a connection to the port succeeds.

    Raises:
        StartError: It does not.
    """
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            check(process, deadline)
            time.sleep(0.02)
        else:
            return


def check(process: subprocess.Popen[bytes], deadline: float) -> None:
    """Raise if there is nothing to wait for any longer.

    Args:
        process: What is waited for.
        deadline: `time.monotonic` seconds.

    Raises:
        StartError: It has ended, or the time is up.
    """
    if process.poll() is not None or time.monotonic() > deadline:
        raise StartError(f"it did not start: {process.args!r}")
