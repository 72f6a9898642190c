"""The processes of a stage: a Brain that can be killed, a network that can swallow everything, and a web server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.brokers import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

START_SECONDS = 30.0
TESTS = Path(__file__).parents[1]


def until(what: str, met: Any, seconds: float = START_SECONDS) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: It did not.
    """
    deadline = time.monotonic() + seconds
    while not met():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.02)


def get(url: str, body: object = None, **headers: str) -> Any:
    """Call a JSON endpoint; None when nobody answers properly."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return json.loads(response.read())
    except (OSError, ValueError):
        return None


class Brain:
    """A local Brain in its own process, on one port and one database for its whole life."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._database = folder / "brain.sqlite3"
        self._log = folder / "brain.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._after = 0
        self._stored: list[str] = []

    def start(self) -> None:
        command = [sys.executable, "-m", "otas_middleware", "brain", "--port", str(self.port), "--quiet"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--db", str(self._database)], stdout=log, stderr=log, start_new_session=True
            )
        until("Brain answers", lambda: get(f"{self.url}/_local/state") is not None)

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(20)
            self._process = None

    @property
    def environment(self) -> dict[str, str]:
        """The variables that it prints."""
        return dict(re.findall(r"^(?:# )?export (\w+)=(\S+)$", self._log.read_text(), re.MULTILINE))

    def misbehave(self, **order: object) -> None:
        assert get(f"{self.url}/_local/faults", order) is not None

    def behave(self) -> None:
        assert get(f"{self.url}/_local/faults/clear", {}) is not None

    def create_session(self) -> str:
        answer = get(
            f"{self.url}/api/agent/v1/session/create/", {}, **{"X-OTAS-AGENT-KEY": self.environment["OTAS_AGENT_KEY"]}
        )
        token: str = answer["response"]["jwt_token"]
        return token

    def stored(self) -> list[str]:
        """The paths of all events so far, duplicates included."""
        while True:
            found = get(f"{self.url}/_local/events?after={self._after}&limit=1000")
            if not found or not found["events"]:
                return self._stored
            self._stored += [event["path"] for event in found["events"]]
            self._after = found["events"][-1]["id"]


class Network:
    """A TCP relay before Brain. As a black hole it keeps connections open and lets nothing through, for ever."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._hole = False
        self._generation = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self.url = ""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait()

    def report_internal_error(self, *, everything: bool) -> None:
        """Become a black hole, or end being one; what is in it stays in it."""
        self._hole = everything
        self._generation += 1

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._relay, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.05))
        self._loop.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        generation = self._generation
        try:
            if self._hole:
                await asyncio.sleep(3600)
            onward, back = await asyncio.open_connection("127.0.0.1", self._target)
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
            return
        await asyncio.gather(self._pump(reader, back, generation), self._pump(onward, writer, generation))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, generation: int) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            while data := await reader.read(65_536):
                if generation != self._generation:
                    await asyncio.sleep(3600)
                writer.write(data)
                await writer.drain()
        with contextlib.suppress(RuntimeError):
            writer.transport.abort()


GUNICORN = "gunicorn chaos.app:application --workers 2 --threads 4 --graceful-timeout 5 --keep-alive 5"
UVICORN = "uvicorn chaos.app:asgi --workers 2 --no-access-log --timeout-graceful-shutdown 5"


class Server:
    """An application server with two workers.

    Args:
        folder: For its log.
        environment: Variables of its processes, beside the path.
        kind: `gunicorn`, with four threads a worker, or `uvicorn`.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], kind: str = "gunicorn") -> None:
        self.port = free_port()
        self._kind = kind
        self._log = folder / "server.log"
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, largest_file: int | None = None) -> None:
        """Start it; no process of it may then write a file beyond `largest_file` bytes."""
        if self._kind == "gunicorn":
            command = [sys.executable, "-m", *GUNICORN.split(), "--bind", f"127.0.0.1:{self.port}"]
        else:
            command = [sys.executable, "-m", *UVICORN.split(), "--port", str(self.port)]

        def limit() -> None:
            if largest_file is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(TESTS), "PYTHONFAULTHANDLER": "1", **self._environment}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env=environ,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=limit,  # noqa: PLW1509
            )
        until("the server answers", lambda: get(f"http://127.0.0.1:{self.port}/stats") is not None)

    def workers(self) -> list[int]:
        assert self._process is not None
        path = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        children = [int(pid) for pid in path.read_text().split()]
        return [pid for pid in children if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def stop(self, number: int = signal.SIGTERM) -> float:
        """Stop it; return the seconds that took."""
        begun = time.monotonic()
        process, self._process = self._process, None
        if process is not None:
            if number == signal.SIGKILL:
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)
            process.wait(60)
        return time.monotonic() - begun

    def stats(self) -> dict[str, Any] | None:
        """The counters of whichever worker answers."""
        found: dict[str, Any] | None = get(f"http://127.0.0.1:{self.port}/stats")
        return found

    def log(self) -> str:
        return self._log.read_text(errors="replace")
