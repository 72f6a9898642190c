"""An HTTP/1.1 client that shows the bytes as they came: for comparing what clients get with and without the middleware."""

from __future__ import annotations

import re
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

TIMEOUT = 15.0
_DATE = re.compile(rb"(?im)^date:[^\r\n]*\r\n")


@dataclass
class Reply:
    """A response, as far as it has arrived.

    Attributes:
        head: Status line and headers, with the date taken out.
        body: The body without its transfer encoding.
        chunks: The body as the server framed it; one chunk when it is not chunked.
        whole: Whether the response came to the end that its framing announced.
    """

    head: bytes
    body: bytes
    chunks: list[bytes] = field(default_factory=list[bytes])
    whole: bool = True

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
        chunked: Send the body in chunks instead of announcing its length.
    """

    def __init__(
        self,
        port: int,
        method: str,
        path: str,
        headers: Iterable[tuple[str, str]] = (),
        body: Iterable[bytes] | None = None,
        *,
        length: int | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()
        self._ended = False
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers]
        chunked = body is not None and length is None
        if chunked:
            lines.append("Transfer-Encoding: chunked")
        elif length is not None:
            lines.append(f"Content-Length: {length}")
        self.begun = time.perf_counter()
        self._socket.sendall("\r\n".join([*lines, "\r\n"]).encode())
        for piece in body or ():
            self._socket.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        if chunked:
            self._socket.sendall(b"0\r\n\r\n")

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
        while self._buffer.count(text) < count:
            if not self._read():
                raise EOFError(f"the response ended without {text!r}: {bytes(self._buffer)!r}")
        return time.perf_counter() - self.begun

    def reply(self) -> Reply:
        """Read the response to its end."""
        while self._read():
            pass
        head, _, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        head = _DATE.sub(b"", head + b"\r\n")
        fields = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
        }
        if fields.get(b"transfer-encoding", b"").lower() == b"chunked":
            chunks, whole = _dechunk(rest)
            return Reply(head, b"".join(chunks), chunks, whole)
        length = fields.get(b"content-length")
        return Reply(head, rest, [rest], length is None or int(length) == len(rest))

    def drain(self) -> int:
        """Read the response to its end without keeping it; return how many bytes came, the head included."""
        count = len(self._buffer)
        buffer = bytearray(1 << 18)
        while received := self._socket.recv_into(buffer):
            count += received
        return count

    def _read(self) -> bool:
        if not self._ended:
            data = self._socket.recv(1 << 16)
            self._buffer += data
            self._ended = not data
        return not self._ended


def _dechunk(rest: bytes) -> tuple[list[bytes], bool]:
    chunks: list[bytes] = []
    while rest:
        line, _, rest = rest.partition(b"\r\n")
        size = int(line.partition(b";")[0], 16)
        if size == 0:
            return chunks, rest == b"\r\n"
        chunks.append(rest[:size])
        rest = rest[size + 2 :]
    return chunks, False
