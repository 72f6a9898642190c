"""A small server before a local Brain: with a clock of its own, with TLS, or with answers that Brain would not give."""

from __future__ import annotations

import http.client
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class Relay:
    """Hands each POST on to a service.

    Args:
        url: The service; without it every request is answered with `status`.
        clock: By how many seconds the server's clock is ahead.
        certificate: A file with a certificate and its key; with it the server speaks TLS.
        status: What is answered where there is no service.
        headers: Further headers of such an answer.
        saves: False for a Brain whose database refuses every event.
    """

    def __init__(
        self,
        url: str = "",
        *,
        clock: float = 0.0,
        certificate: Path | None = None,
        status: int = 404,
        headers: tuple[tuple[str, str], ...] = (),
        saves: bool = True,
    ) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answered, sent, content = status, dict(headers), b"<html>nobody you know</html>"
                if not saves and "X-OTAS-AGENT-SESSION-TOKEN" in self.headers:
                    answered, sent = 500, {"Content-Type": "application/json"}
                    content = b'{"status": 0, "status_description": "event_capture_failed"}'
                elif url:
                    answered, sent, content = forward(url, self.path, dict(self.headers.items()), body)
                self.send_response(answered)
                for name, value in sent.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def date_time_string(self, timestamp: float | None = None) -> str:
                return super().date_time_string(time.time() + clock)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
                """Stay quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a failed handshake is no news
        scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            scheme = "https"
        self.port = self._server.server_address[1]
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def forward(url: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
    """Ask a service and return its status, content type and body."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    headers["Host"] = parts.netloc
    connection.request("POST", path, body, headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, {"Content-Type": response.headers["Content-Type"]}, content
