"""An HTTP/1.1 client that shows the bytes as they came: to compare what clients get with and without the middleware."""

from __future__ import annotations

import re
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

_DATE = re.compile(rb"(?im)^date:[^\r\n]*\r\n")
_LENGTH = re.compile(rb"(?im)^content-length: *(\d+)")
_CHUNKED = re.compile(rb"(?im)^transfer-encoding: *chunked")


@dataclass(frozen=True)
class Reply:
    """A response.

    Attributes:
        head: Status line and headers, without the date.
        body: The body without its transfer encoding.
        chunks: The body as the server framed it; one chunk when it is not chunked.
        whole: Whether the response came to the end that its framing announced.
    """

    head: bytes
    body: bytes
    chunks: tuple[bytes, ...]
    whole: bool

    @property
    def status(self) -> int:
        """The status code."""
        return int(self.head.split(b" ", 2)[1])


class Call:
    """One request on a connection of its own, and its response, read as slowly as the test likes.

    Args:
        port: Where the server listens, on the loopback address.
        method: The method.
        path: Path and query.
        headers: More headers.
        body: The body's pieces; each is sent by itself.
        length: The body's length; when left out, the body is sent in chunks.
        patience: How long the server may be silent, in seconds.
    """

    def __init__(
        self,
        port: int,
        method: str,
        path: str,
        headers: Iterable[tuple[str, str]] = (),
        body: Iterable[bytes] | None = None,
        length: int | None = None,
        patience: float = 15.0,
    ) -> None:
        self._port = port
        self._received = bytearray()
        self._ended = False
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers]
        chunked = body is not None and length is None
        if body is not None:
            lines.append("Transfer-Encoding: chunked" if chunked else f"Content-Length: {length}")
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=patience)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._begun = time.perf_counter()
            self._socket.sendall("\r\n".join([*lines, "\r\n"]).encode())
            for piece in body or ():
                self._socket.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            if chunked:
                self._socket.sendall(b"0\r\n\r\n")
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Go away, whether the response was read or not."""
        self._socket.close()

    def until(self, text: bytes, count: int = 1) -> float:
        """Read until these bytes have arrived so often; return the seconds since the request was begun.

        Raises:
            EOFError: The response ended before.
        """
        while self._received.count(text) < count:
            if not self._read():
                raise EOFError(f"the response ended without {text!r}: {bytes(self._received)!r}")
        return time.perf_counter() - self._begun

    def reply(self) -> Reply:
        """Read the response to the end that its framing says; what names the port is put in general terms."""
        while not (found := self._parse()).whole and self._read():
            pass
        if self._ended and not _LENGTH.search(found.head) and not _CHUNKED.search(found.head):
            return Reply(found.head, found.body, found.chunks, whole=True)  # its end is the connection's
        return found

    def drain(self) -> int:
        """Read the response to its end without keeping it; return how many bytes came, the head included."""
        count = len(self._received)
        buffer = bytearray(1 << 18)
        while received := self._socket.recv_into(buffer):
            count += received
        return count

    def _parse(self) -> Reply:
        text, _, rest = bytes(self._received).partition(b"\r\n\r\n")
        head = _DATE.sub(b"", text + b"\r\n")
        length = _LENGTH.search(head)
        if _CHUNKED.search(head):
            chunks, whole = _dechunk(rest)
        else:
            chunks, whole = [rest], length is not None and int(length[1]) == len(rest)
        here, anywhere = f"127.0.0.1:{self._port}".encode(), b"127.0.0.1:PORT"
        chunks = [chunk.replace(here, anywhere) for chunk in chunks]
        return Reply(head.replace(here, anywhere), b"".join(chunks), tuple(chunks), whole)

    def _read(self) -> bool:
        if not self._ended:
            data = self._socket.recv(1 << 16)
            self._received += data
            self._ended = not data
        return not self._ended


def _dechunk(rest: bytes) -> tuple[list[bytes], bool]:
    chunks: list[bytes] = []
    while b"\r\n" in rest:
        line, _, rest = rest.partition(b"\r\n")
        size = int(line.partition(b";")[0], 16)
        if size == 0:
            return chunks, rest == b"\r\n"
        if len(rest) < size + 2:
            break
        chunks.append(rest[:size])
        rest = rest[size + 2 :]
    return chunks, False
