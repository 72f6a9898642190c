"""A client that sees each byte: HTTP/1.1 over a socket, one connection for each request."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, field

from support.agent import PATIENCE

_DATE = re.compile(rb"\r\n(date): [^\r]*", re.IGNORECASE)


@dataclass
class Answer:
    """What came back.

    Attributes:
        raw: Every byte, framing included, until the server closed; only the date is taken out.
    """

    raw: bytes
    status_code: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    chunks: list[bytes] = field(default_factory=list[bytes])
    """The pieces in which the server framed the body; one piece when it is not chunked."""

    @property
    def body(self) -> bytes:
        """The body without its framing."""
        return b"".join(self.chunks)


def fetch(port: int, wire: bytes, patience: float = PATIENCE) -> Answer:
    """Send a request to a loopback port and read until the server closes the connection.

    Args:
        port: Where the server listens.
        wire: The request, as it is sent.
        patience: How long to wait for bytes, in seconds.
    """
    with socket.create_connection(("127.0.0.1", port), patience) as connection:
        connection.sendall(wire)
        received = bytearray()
        while data := connection.recv(65536):
            received += data
    return parse(bytes(received))


def parse(received: bytes) -> Answer:
    """Take an answer apart; one that broke off yields what there is of it."""
    answer = Answer(_DATE.sub(rb"\r\n\1: -", received, count=1))
    head, _, rest = answer.raw.partition(b"\r\n\r\n")
    if not head:
        return answer
    status, *lines = head.decode("latin-1").split("\r\n")
    answer.status_code = int(status.split()[1])
    answer.headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    kinds = [value.lower() for name, value in answer.headers if name.lower() == "transfer-encoding"]
    answer.chunks = _chunks(rest) if kinds == ["chunked"] else [rest]
    return answer


def _chunks(data: bytes) -> list[bytes]:
    found: list[bytes] = []
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size or b"0", 16)
        if length == 0:
            break
        found.append(data[:length])
        data = data[length + 2 :]
    return found
