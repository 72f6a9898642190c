"""A request as a client sends it, and its spelling for each kind of server."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

    from otas_middleware._capture.asgi_scope import Scope


@dataclass(frozen=True)
class Request:
    """One HTTP request.

    Attributes:
        method: The method.
        path: The path as people read it, decoded, the prefix included.
        query: The query string as it is sent.
        headers: Names and values.
        body: The body's chunks, as they arrive.
        prefix: The part of the path that the server says belongs to it (`SCRIPT_NAME`, `root_path`).
    """

    method: str = "GET"
    path: str = "/"
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: tuple[bytes, ...] = ()
    prefix: str = ""

    def having(self, *headers: tuple[str, str]) -> Self:
        """Return the same request with more headers."""
        return replace(self, headers=(*self.headers, *headers))

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return sum(map(len, self.body))

    def _sent_headers(self) -> list[tuple[str, str]]:
        length = [("Content-Length", str(self.size))] if self.body else []
        return [("Host", "testserver"), *self.headers, *length]

    def scope(self, **changes: Any) -> Scope:
        """Return the ASGI scope (ASGI 3.0; `path` includes `root_path`)."""
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": self.method,
            "scheme": "http",
            "path": self.path,
            "raw_path": quote(self.path).encode(),
            "query_string": self.query.encode(),
            "root_path": self.prefix,
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in self._sent_headers()],
            "client": ("127.0.0.1", 50000),
            "server": ("testserver", 80),
            **changes,
        }

    def environ(self, **changes: Any) -> WSGIEnvironment:
        """Return the WSGI environ (PEP 3333: texts hold bytes as Latin-1)."""
        environ: WSGIEnvironment = {
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": _native(self.prefix),
            "PATH_INFO": _native(self.path.removeprefix(self.prefix)),
            "QUERY_STRING": self.query,
            "SERVER_NAME": "testserver",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(b"".join(self.body)),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in self._sent_headers():
            key = name.upper().replace("-", "_")
            environ[key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"] = value
        return {**environ, **changes}

    def wire(self) -> bytes:
        """Return the request as HTTP/1.1 sends it, on a connection of its own."""
        target = quote(self.path) + (f"?{self.query}" if self.query else "")
        lines = [f"{self.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in self._sent_headers())]
        return "\r\n".join([*lines, "Connection: close", "\r\n"]).encode("latin-1") + b"".join(self.body)


def _native(text: str) -> str:
    return text.encode().decode("latin-1")
