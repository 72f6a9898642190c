"""Plain HTTP to a local Brain, down to single bytes."""

from __future__ import annotations

import http.client
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from otas_middleware.localbrain import LocalBrain

SDK = "/api/v1/backend/log/sdk/"
AGENT = "/api/v1/backend/log/agent/"
CREATE_SESSION = "/api/agent/v1/session/create/"
AUTHENTICATE = "/api/project/v1/sdk/backend/key/authenticate/"
VERIFY = "/api/agent/v1/auth/verify/"

EVENT: dict[str, Any] = {
    "project_id": "00000000-0000-0000-0000-000000000000",
    "path": "/orders/42",
    "method": "GET",
    "status_code": 200,
    "latency_ms": 12.5,
}
"""The required fields, and no others."""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def description(self) -> str:
        """The `status_description`; the test fails here when the answer is not JSON."""
        assert self.headers["content-type"] == "application/json", self.body[:200]
        description: str = self.json["status_description"]
        return description

    @property
    def is_page(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/html") and b"<html" in self.body


class Client:
    """Sends requests to one Brain, each on a connection of its own."""

    def __init__(self, brain: LocalBrain) -> None:
        self.brain = brain
        self.token = brain.create_session({"task": "test"})

    @property
    def session_id(self) -> str:
        return self.brain.session_id(self.token)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection(urlsplit(self.brain.url).hostname or "", self.brain.port, timeout=10)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.request("GET", path, headers=headers)

    def post(self, path: str, body: object = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """Post bytes as they are, anything else as JSON."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.request("POST", path, raw, {"Content-Type": "application/json", **(headers or {})})

    @property
    def sdk_headers(self) -> dict[str, str]:
        return {"X-OTAS-SDK-KEY": self.brain.sdk_key, "X-OTAS-AGENT-SESSION-TOKEN": self.token}

    @property
    def agent_headers(self) -> dict[str, str]:
        return {"X-OTAS-AGENT-KEY": self.brain.agent_key, "X-OTAS-AGENT-SESSION-TOKEN": self.token}

    @property
    def user_headers(self) -> dict[str, str]:
        return {
            "X-OTAS-USER-TOKEN": self.brain.user_token,
            "X-OTAS-AGENT-ID": self.brain.agent_id,
            "X-OTAS-PROJECT-ID": self.brain.project_id,
        }

    def log(self, body: object = None, **changes: object) -> Answer:
        """Log an event as a backend: the required fields with these changes, or another body altogether."""
        return self.post(SDK, {**EVENT, **changes} if body is None else body, self.sdk_headers)

    def log_many(self, count: int, threads: int = 8) -> list[int]:
        """Log events with the paths `/0`, `/1` … from several threads; returns their statuses in this order."""
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(self._log_number, range(count)))

    def _log_number(self, number: int) -> int:
        return self.log(path=f"/{number}").status

    def log_raw_field(self, name: str, value: str) -> Answer:
        """Log an event in which one field is the given piece of JSON text, valid or not."""
        fields = {**{key: json.dumps(v) for key, v in EVENT.items()}, name: value}
        return self.log(("{" + ", ".join(f'"{key}": {text}' for key, text in fields.items()) + "}").encode())


def head(method: str, path: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """The head of a request, with exactly these headers."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def speak(port: int, sent: bytes) -> bytes:
    """Send bytes on a new connection, and return all that comes until the server closes it."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(sent)
        received = b""
        while piece := connection.recv(65536):
            received += piece
        return received
