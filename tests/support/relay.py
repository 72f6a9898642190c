"""Relays for tests: one in a thread of the test, and one as the process that users run."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from socket import AF_UNIX, SOCK_SEQPACKET, socket
from typing import TYPE_CHECKING, Any, Self

from otas_middleware._cli.relay import make_build
from otas_middleware._delivery.relay.server import Server
from otas_middleware._delivery.relay.start import NoRelayError, state_of
from support.delivery import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping


class RelayThread:
    """A relay in a thread of this process."""

    def __init__(self, **options: Any) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="otas-relay-")
        self.path = str(Path(self._folder.name) / "relay.sock")
        listener = socket(AF_UNIX, SOCK_SEQPACKET)
        listener.bind(self.path)
        listener.listen(64)
        self.server = Server(listener, self.path, make_build, **options)
        self._thread = threading.Thread(target=self.server.run, name="relay", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.end()
        self._thread.join(20)
        assert not self._thread.is_alive()
        self._folder.cleanup()


class RelayProcess:
    """`otas-middleware relay --socket PATH`, which can be killed, stopped and started again."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.path = str(folder / "relay.sock")
        self.log = folder / "relay.log"
        self._environment = environment or {}
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.stop()

    def start(self, largest_file: int | None = None) -> None:
        """Start it, and wait until it serves; no file that it writes may then grow beyond so many bytes."""

        def limit() -> None:
            if largest_file is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

        environ = {"PATH": os.environ["PATH"], **self._environment}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "otas_middleware", "relay", "--socket", self.path],
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=limit,  # noqa: PLW1509
            )
        eventually(lambda: self.state() is not None, within=30)

    def state(self) -> dict[str, Any] | None:
        """Its counters, or None when it does not answer."""
        try:
            return state_of(self.path)
        except NoRelayError:
            return None

    def send(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(number)
            process.wait(30)


def balance(stats: dict[str, Any]) -> int:
    """Return what the account of a host with a relay is out by; 0 is what it must be at any moment."""
    dispositions = stats["acknowledged"] + stats["kept"] + stats["delivered"] + stats["spooled"] + stats["queued"]
    difference: int = stats["captured"] - dispositions - sum(stats["dropped"].values())
    return difference
