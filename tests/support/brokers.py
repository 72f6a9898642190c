"""Real message brokers for tests, on free loopback ports, started as children of the test and stopped with it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

START_SECONDS = 60.0
_RABBIT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True


class Broker:
    """A broker process. It can be stopped and started again, and keeps what it holds."""

    url = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            TimeoutError: It does not.
        """
        raise NotImplementedError

    def stop(self) -> None:
        """Stop it, and what it has started."""
        for process in reversed(self._processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in reversed(self._processes):
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(5)
        self._processes = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _run(self, command: Sequence[str], environ: Mapping[str, str] | None = None) -> None:
        with (self.folder / "log").open("ab") as log:
            self._processes.append(
                subprocess.Popen(command, stdout=log, stderr=log, env=environ, cwd=self.folder, start_new_session=True)
            )

    def _wait(self, port: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(port):
            if time.monotonic() > deadline or any(process.poll() is not None for process in self._processes):
                log = (self.folder / "log").read_text()[-2000:]
                self.stop()
                raise TimeoutError(f"{type(self).__name__} does not answer on port {port}: {log}")
            time.sleep(0.05)


class Redis(Broker):
    """A Redis that writes every command to disk."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("redis-server") is None:
            pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
        super().__init__(folder)
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        self._run([*command, "--appendonly", "yes", "--save", ""])
        self._wait(self.port)


class RabbitMQ(Broker):
    """A RabbitMQ node with a port mapper, a cookie and files of its own."""

    def __init__(self, folder: Path) -> None:
        if not _RABBIT.exists() or shutil.which("epmd") is None:
            pytest.skip("rabbitmq-server is not installed (Debian: apt-get install rabbitmq-server)")
        super().__init__(folder)
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        self._mapper = free_port()
        self._distribution = free_port()
        (folder / "plugins").write_text("[].")
        (folder / "rabbitmq.conf").write_text("loopback_users.guest = true\n")

    def start(self) -> None:
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._mapper),
            "RABBITMQ_NODENAME": f"otas{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1",
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "logs"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
        }
        self._run(["epmd", "-address", "127.0.0.1", "-port", str(self._mapper)], environ)
        self._wait(self._mapper)
        self._run([str(_RABBIT)], environ)
        self._wait(self.port)
