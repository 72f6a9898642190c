"""Runs the command line as a process of its own."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

COMMAND = (sys.executable, "-m", "otas_middleware")
_PATIENCE = 20.0


def run(*arguments: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command line to its end; `before` is Python that runs in its process first."""
    if before:
        start = "from otas_middleware.__main__ import main; main()"
        code = f"import sys\n{before}\nsys.argv = ['otas-middleware', *{list(arguments)!r}]\n{start}"
        command = [sys.executable, "-c", code]
    else:
        command = [*COMMAND, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)


class RunningBrain:
    """`otas-middleware brain` on a free port, as a context manager.

    Args:
        *options: Further options.
        read: Whether to read what it prints; otherwise its pipe fills up once the introduction has been read.
    """

    def __init__(self, *options: str, read: bool = True) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "brain", "--port", "0", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.lines: list[str] = []
        self.introduction = self._introduction()
        exported = re.findall(r"^export (\w+)=(.+)$|^# export (OTAS_AGENT_KEY)=(.+)$", self.introduction, re.MULTILINE)
        self.environment = {name or agents: value or key for name, value, agents, key in exported}
        if read:
            threading.Thread(target=self._read, daemon=True).start()

    def _introduction(self) -> str:
        assert self.process.stdout is not None
        text = ""
        while "X-OTAS-PROJECT-ID" not in text:
            line = self.process.stdout.readline()
            if not line:
                said = self.process.communicate(timeout=_PATIENCE)[1]
                raise AssertionError(said)
            text += line
        return text

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(iter(self.process.stdout.readline, ""))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.process.terminate()  # killed, it would leave its file behind
        self.process.wait(_PATIENCE)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def end(self, signal: int) -> tuple[int, str]:
        """Send a signal, and return the exit status and what was written to standard error."""
        self.process.send_signal(signal)
        status = self.process.wait(_PATIENCE)
        assert self.process.stderr is not None
        return status, self.process.stderr.read()

    def connection(self) -> http.client.HTTPConnection:
        port = int(self.environment["OTAS_BRAIN_URL"].rpartition(":")[2])
        return http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)

    def token(self) -> str:
        """Create a session, as an agent does."""
        connection = self.connection()
        headers = {"X-OTAS-AGENT-KEY": self.environment["OTAS_AGENT_KEY"]}
        connection.request("POST", "/api/agent/v1/session/create/", b"{}", headers)
        token: str = json.load(connection.getresponse())["response"]["jwt_token"]
        connection.close()
        return token

    def log(self, count: int = 1, **changes: object) -> list[int]:
        """Log events as a backend does, one after the other on one connection; returns the statuses."""
        event = {"project_id": "x", "path": "/orders/42", "method": "GET", "status_code": 200, "latency_ms": 12.5}
        body = json.dumps({**event, **changes}).encode()
        headers = {"X-OTAS-SDK-KEY": self.environment["OTAS_SDK_KEY"], "X-OTAS-AGENT-SESSION-TOKEN": self.token()}
        connection = self.connection()
        statuses: list[int] = []
        try:
            for _ in range(count):
                connection.request("POST", "/api/v1/backend/log/sdk/", body, headers)
                response = connection.getresponse()
                response.read()
                statuses.append(response.status)
        finally:
            connection.close()
        return statuses

    def wait_for_line(self, part: str) -> str:
        """Wait until it has printed a line that contains this."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            for line in self.lines:
                if part in line:
                    return line
            time.sleep(0.01)
        raise AssertionError(f"no line with {part!r} among {self.lines}")
