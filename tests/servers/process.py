"""Servers as processes of their own: started as their users start them, and never left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from servers.catalogue import Application, Server

READY_SECONDS = 30.0
STOP_SECONDS = 10.0
TESTS = Path(__file__).parents[1]

# Has the kernel end a server whose test run was killed.
_LAUNCH = Path(str(files("otas_middleware._cli.demo"))) / "launch.py"
_FOREIGN = (
    "OTAS_",
    "DJANGO_",
    "FLASK_",
    "GUNICORN_",
    "UVICORN_",
    "GRANIAN_",
    "UWSGI_",
    "COV_CORE_",
    "BARE",
    "WEB_CONC",
)


class NotServingError(Exception):
    """A server ended or stayed silent; the message ends with what it logged last."""


class Running:
    """A server that runs.

    Attributes:
        port: Where it listens.
        scratch: The folder through which test and application talk.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: int, scratch: Path, log: Path) -> None:
        self.port = port
        self.scratch = scratch
        self._process = process
        self._log = log

    def log(self) -> str:
        """What it has printed so far."""
        return self._log.read_text(errors="replace")

    @property
    def alive(self) -> bool:
        """Whether its first process still runs."""
        return self._process.poll() is None

    @property
    def pids(self) -> list[int]:
        """Its processes: the first one and all that it started."""
        return [pid for pid, group in _groups() if group == self._process.pid]

    def wait_until_serving(self) -> None:
        """Wait until connections are accepted.

        Raises:
            NotServingError: It ended, or `READY_SECONDS` passed.
        """
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if not self.alive:
                raise NotServingError(f"it ended with status {self._process.returncode}:\n{self.log()[-3000:]}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise NotServingError(f"it did not listen within {READY_SECONDS:g} s:\n{self.log()[-3000:]}")

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Stop it as its users do, and make sure that none of its processes is left."""
        if self.alive:
            self._process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End what is left of it at once."""
        if self._process.returncode is None or self.pids:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def allow(self, name: str) -> None:
        """Let the stream of this name go on."""
        (self.scratch / f"go-on-{name}").touch()

    def saw_close_of(self, name: str, timeout: float) -> bool:
        """Wait until the application's stream of this name was closed."""
        mark = self.scratch / f"closed-{name}"
        deadline = time.monotonic() + timeout
        while not mark.exists():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True


@contextmanager
def running(
    server: Server, application: Application, scratch: Path, environ: Mapping[str, str], *, bare: bool = False
) -> Generator[Running]:
    """Run a server as a context; when it closes, none of its processes is left.

    Args:
        server: Which server.
        application: What it runs.
        scratch: An empty folder.
        environ: What is added to its environment.
        bare: Leave the middleware out.

    Raises:
        NotServingError: It does not start.
    """
    with start(server, application, scratch, environ, bare=bare) as started:
        started.wait_until_serving()
        yield started


@contextmanager
def start(
    server: Server, application: Application, scratch: Path, environ: Mapping[str, str], *, bare: bool = False
) -> Generator[Running]:
    """As `running`, without waiting until it serves."""
    port = free_port()
    log = scratch / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_LAUNCH), str(os.getpid()), *server.command(application, port)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=scratch,
            env={**clean_environ(scratch), **environ, **({"BARE": "1"} if bare else {})},
            start_new_session=True,
        )
    started = Running(process, port, scratch, log)
    try:
        yield started
    finally:
        started.stop(signal.Signals[server.by_signal])


def free_port() -> int:
    """Return a port of the loopback address on which nobody listens just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def clean_environ(scratch: Path) -> dict[str, str]:
    """Return this process's environment without what would change a server, and with the scratch folder."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)},
        "HOME": str(scratch),  # gunicorn keeps a socket there
        "PYTHONPATH": str(TESTS),
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "default",
        "SCRATCH": str(scratch),
    }


def _groups() -> Iterator[tuple[int, int]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                after_name = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            if after_name[0] != "Z":
                yield int(entry.name), int(after_name[2])
