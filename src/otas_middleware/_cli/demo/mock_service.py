"""A service outside of the project's domain: a language model that streams its answer, and rates of exchange."""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
