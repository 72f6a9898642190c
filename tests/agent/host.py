"""A host on loopback that keeps each request byte for byte, and answers with the bytes that a test wants."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType

    Answer = Callable[["Received"], Iterable[bytes]]

_CHUNK = re.compile(rb"([0-9a-fA-F]+)\r\n")


class DropError(Exception):
    """Raised by an answer: the connection ends here."""


@dataclass(frozen=True)
class Received:
    """One request.

    Attributes:
        raw: Every byte of it, framing included.
        body: Without its framing.
    """

    raw: bytes
    body: bytes

    @property
    def line(self) -> str:
        """The request line."""
        return self.raw.partition(b"\r\n")[0].decode("latin-1")

    @property
    def method(self) -> str:
        return self.line.split()[0]

    @property
    def target(self) -> str:
        """Path and query as they were sent."""
        return self.line.split()[1]

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Names in lower case, and values."""
        lines = self.raw.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
        return [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]

    def header(self, name: str) -> list[str]:
        """All values of a header."""
        return [value for found, value in self.headers if found == name.lower()]


class Host:
    """Listens on a free port until the `with` block ends."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.requests: list[Received] = []
        self._answers: dict[str, Answer] = {}
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._closing = False

    def on(self, path: str, answer: Answer) -> str:
        """Answer a path in a certain way; return its URL."""
        self._answers[path] = answer
        return self.url + path

    def answer_to(self, path: str) -> Answer:
        """How a path is answered now."""
        return self._answers.get(path, ok)

    def paths(self) -> list[str]:
        """The targets of all requests, in order."""
        return [request.target for request in self.requests]

    def one(self) -> Received:
        """The only request."""
        assert len(self.requests) == 1, self.paths()
        return self.requests[0]

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing = True
        socket.create_connection(("127.0.0.1", self.port)).close()  # wakes `accept`
        self._threads[0].join(5)
        self._socket.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join(5)
            assert not thread.is_alive(), "an answer did not end"

    def _run(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name="test-host", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            if self._closing:
                connection.close()
                return
            self._connections.append(connection)
            self._run(lambda connection=connection: self._serve(connection))  # type: ignore[misc]  # bound at once

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                for request in _requests(connection):
                    self.requests.append(request)
                    answer = self.answer_to(request.target.partition("?")[0])
                    for piece in answer(request):
                        connection.sendall(piece)
            except (DropError, OSError):
                pass


def _requests(connection: socket.socket) -> Iterator[Received]:
    """Read requests off a connection, one after the other."""
    buffer = b""
    while True:
        while b"\r\n\r\n" not in buffer:
            data = connection.recv(65536)
            if not data:
                return
            buffer += data
        head, _, rest = buffer.partition(b"\r\n\r\n")
        lower = head.lower()
        if b"\r\ntransfer-encoding: chunked" in lower:
            while (end := _end_of_chunks(rest)) is None:
                rest += connection.recv(65536)
            framed, buffer = rest[:end], rest[end:]
            yield Received(head + b"\r\n\r\n" + framed, _unchunked(framed))
            continue
        found = re.search(rb"\r\ncontent-length: *(\d+)", lower)
        length = int(found[1]) if found else 0
        while len(rest) < length:
            rest += connection.recv(65536)
        body, buffer = rest[:length], rest[length:]
        yield Received(head + b"\r\n\r\n" + body, body)


def _end_of_chunks(data: bytes) -> int | None:
    at = 0
    while (match := _CHUNK.match(data, at)) is not None:
        size = int(match[1], 16)
        at = match.end() + size + 2
        if size == 0:
            return at if len(data) >= at else None
    return None


def _unchunked(data: bytes) -> bytes:
    body, at = b"", 0
    while (match := _CHUNK.match(data, at)) is not None and (size := int(match[1], 16)):
        body += data[match.end() : match.end() + size]
        at = match.end() + size + 2
    return body


def response(
    body: bytes = b"", status: str = "200 OK", content_type: str = "text/plain", headers: Sequence[str] = ()
) -> bytes:
    """Return a whole response."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def replies(
    body: bytes = b"", status: str = "200 OK", content_type: str = "text/plain", headers: Sequence[str] = ()
) -> Answer:
    """An answer that is always the same."""
    return lambda _: [response(body, status, content_type, headers)]


def ok(_: Received) -> list[bytes]:
    """The answer to what no test cares about."""
    return [response(b'{"ok":true}', content_type="application/json")]


def as_json(value: object, status: str = "200 OK") -> Answer:
    """An answer of JSON."""
    return replies(json.dumps(value).encode(), status, "application/json")


def redirects(url: str, status: str = "302 Found") -> Answer:
    """An answer that sends elsewhere."""
    return replies(b"over there", status, headers=[f"Location: {url}"])


def streams(pieces: Iterable[bytes], content_type: str = "text/event-stream", headers: Sequence[str] = ()) -> Answer:
    """An answer in chunks, each sent when `pieces` yields it."""

    def answer(_: Received) -> Iterator[bytes]:
        lines = ["HTTP/1.1 200 OK", f"Content-Type: {content_type}", "Transfer-Encoding: chunked", *headers]
        yield "\r\n".join(lines).encode() + b"\r\n\r\n"
        for piece in pieces:
            yield f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
        yield b"0\r\n\r\n"

    return answer


def drops(_: Received) -> Iterator[bytes]:
    """An answer that never comes: the connection is closed."""
    yield b""
    raise DropError


def breaks_off(_: Received) -> Iterator[bytes]:
    """An answer that promises a hundred bytes and closes after ten."""
    yield b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n0123456789"
    raise DropError


def closed_port() -> str:
    """A URL on loopback where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return f"http://127.0.0.1:{unused.getsockname()[1]}"
