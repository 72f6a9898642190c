"""What the demo's agent does besides calling its project's backends: it asks a model, and uses tools."""

from __future__ import annotations

import json
import socket
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from otas_middleware._compat import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otas_middleware._cli.demo.scenario import Secrets
    from otas_middleware.agent import AgentSession

MODEL = "demo-1"
WORDS = ("Refund ", "the ", "tea, ", "keep ", "the ", "cup.")
USAGE = {"prompt_tokens": 21, "completion_tokens": len(WORDS), "total_tokens": 21 + len(WORDS)}


class MockService:
    """The service, in threads of this process on a free port; a context manager."""

    def __init__(self) -> None:
        self.received: list[Mapping[str, str]] = []
        """The headers of each request, to see what left the domain with it."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.received))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def nobody() -> str:
    """Return a URL at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def _handler(received: list[Mapping[str, str]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            received.append(dict(self.headers))
            body = json.dumps({"from": "GBP", "to": "EUR", "rate": 1.17}).encode()
            self._start("application/json", len(body))
            self.wfile.write(body)

        def do_POST(self) -> None:
            received.append(dict(self.headers))
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._start("text/event-stream")
            for chunk in _answer():
                self.wfile.write(chunk)
                self.wfile.flush()

        def _start(self, content_type: str, length: int | None = None) -> None:
            known = urlsplit(self.path).path in {"/rates", "/v1/chat/completions"}
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", content_type)
            if length is not None:
                self.send_header("Content-Length", str(length))
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
            """Say nothing: the demo's output is its own."""

    return Handler


def _answer() -> Iterator[bytes]:
    """Yield a chat completion's events, in the form that OpenAI's interface streams them."""
    for word in WORDS:
        yield _event({"choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]})
    yield _event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    yield _event({"choices": [], "usage": USAGE})
    yield b"data: [DONE]\n\n"


def _event(part: dict[str, object]) -> bytes:
    document = {"id": "chatcmpl-demo", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": MODEL}
    return b"data: " + json.dumps({**document, **part}).encode() + b"\n\n"


MODEL_PATH = "/v1/chat/completions"


@dataclass(frozen=True)
class Task:
    """One thing that was done outside of the domain, and what must be recorded of it."""

    name: str
    """For people, in the table's first column."""
    method: str
    path: str
    status: int
    parent: str | None = None
    """The path of the tool's run within which it was done."""
    error: str = ""
    """What the recorded error must name."""
    model: str | None = None
    tokens: int | None = None
    """How many tokens the model must be recorded to have used."""


TASKS = (
    Task("a tool", "TOOL", "/tools/refund", 200),
    Task("a model", "POST", MODEL_PATH, 200, "/tools/refund", model=MODEL, tokens=USAGE["total_tokens"]),
    Task("a tool", "TOOL", "/tools/exchange_rate", 200, "/tools/refund"),
    Task("mock_service", "GET", "/rates", 200, "/tools/exchange_rate"),
    Task("nobody", "POST", "/notify", 0, "/tools/refund", error="ConnectError"),
)


def run_tasks(session: AgentSession, mock_service: str, nobody: str, secrets: Secrets) -> str:
    """Do them all.

    Args:
        session: The agent's session.
        mock_service: The URL of the service outside.
        nobody: A URL at which nobody listens.
        secrets: What is sent along to be found nowhere.

    Returns:
        The model's answer.
    """
    http = session.client(timeout=20.0, trust_env=False)

    @session.tool()
    def exchange_rate(currency: str) -> float:
        rate: float = http.get(f"{mock_service}/rates", params={"to": currency}).json()["rate"]
        return rate

    with session.tool("refund", order=1, password=secrets["password of a tool"]) as run:
        answer = _ask(http, f"{mock_service}{MODEL_PATH}", secrets)
        run.result = {"advice": answer, "rate": exchange_rate("EUR")}
        try:
            http.post(f"{nobody}/notify", json={"order": 1, "api_key": secrets["key for nobody"]})
        except httpx.ConnectError:
            run.properties["notified"] = False
    return answer


def _ask(http: httpx.Client, url: str, secrets: Secrets) -> str:
    """Ask the model and return what it says, read as it comes."""
    question = {
        "model": MODEL,
        "stream": True,
        "messages": [{"role": "user", "content": "One cup came broken. What shall I refund?"}],
    }
    key = {"Authorization": f"Bearer {secrets['key of a model']}"}
    with http.stream("POST", url, json=question, headers=key) as response:
        response.raise_for_status()
        return "".join(_words(response.iter_lines()))


def _words(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if line.startswith("data: {"):
            for choice in json.loads(line.removeprefix("data: "))["choices"]:
                yield choice["delta"].get("content", "")
