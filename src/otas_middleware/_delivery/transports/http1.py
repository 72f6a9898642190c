"""HTTP/1.1 as far as one POST needs it, without I/O (RFC 9112).

A general client spends most of its time on what a fixed request never uses. Here the head of the request is one join,
and the reader understands exactly what servers and proxies answer to a POST: interim responses, `Content-Length`,
chunks, and bodies that end with the connection.
"""

from __future__ import annotations

import re
from functools import lru_cache
from types import MappingProxyType

from otas_middleware._delivery.protocols import MAX_REPLY_BYTES, Response

_MAX_HEAD_BYTES = 65_536
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: [^\r\n]*)?\r?\n")
_LENGTH = re.compile(rb"[0-9]{1,15}")
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_FOLD = re.compile(rb"\r?\n[ \t]+")


class WireError(Exception):
    """What came back is not an HTTP/1.1 response."""


def request_head(target: str, host: str, headers: tuple[tuple[str, str], ...], length: int) -> bytes:
    """Return the head of a POST, blank line included.

    Args:
        target: The path, percent-encoded.
        host: The `Host` header's value.
        headers: Further headers.
        length: Bytes of the body.

    Raises:
        ValueError: A header holds a line break or a character outside ASCII.
    """
    return b"%bContent-Length: %d\r\n\r\n" % (_head(target, host, headers), length)


@lru_cache(maxsize=16)  # the events of one session differ by their length only
def _head(target: str, host: str, headers: tuple[tuple[str, str], ...]) -> bytes:
    lines = [f"POST {target} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers), ""]
    text = "\r\n".join(lines)
    if text.count("\n") != len(headers) + 2 or text.count("\r") != len(headers) + 2:
        raise ValueError("a header holds a line break")
    return text.encode("ascii")


class ResponseReader:
    """Reads one response from the bytes that arrive.

    Usage: `feed` each piece (empty for the end of the connection) until it returns True; then `response` is the answer
    and `reusable` says whether the connection can carry another request.
    """

    __slots__ = ("_body", "_buffer", "_chunked", "_headers", "_left", "_size", "_status", "reusable", "started")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._size = 0
        self._left: int | None = None
        """Bytes of the body (or of the current chunk) that are still to come; None until the connection ends."""
        self._chunked = False
        self.reusable = False
        self.started = False
        """Whether any byte has arrived."""

    @property
    def response(self) -> Response:
        """The response, once `feed` has returned True."""
        return Response(self._status, MappingProxyType(self._headers), bytes(self._body))

    def feed(self, data: bytes) -> bool:
        """Take the next bytes; return True when the response is complete.

        Raises:
            WireError: This is not a response, or it ended too early.
        """
        if data:
            self.started = True
            self._buffer += data
        if not self._status and not self._read_head():
            if not data:
                raise WireError("the connection was closed")
            return False
        done = self._read_chunks() if self._chunked else self._read_plain(ended=not data)
        if not data and not done:
            raise WireError("the response was cut short")
        return done

    def _read_head(self) -> bool:
        while True:
            end = _HEAD_END.search(self._buffer)
            if end is None:
                if len(self._buffer) > _MAX_HEAD_BYTES or not b"HTTP/1.".startswith(self._buffer[:7]):
                    raise WireError("not an HTTP/1.1 response")
                return False
            head = bytes(self._buffer[: end.start()]) + b"\n"
            del self._buffer[: end.end()]
            status, minor, headers = _parse_head(head)
            if status >= 200:
                break
        self._status = status
        self._headers = headers
        self._frame(minor)
        return True

    def _frame(self, minor: bytes) -> None:
        """Decide how the body ends (RFC 9112, 6.3) and whether the connection stays open (9.3)."""
        headers = self._headers
        connection = headers.get("connection", "").lower()
        self.reusable = minor == b"1" and "close" not in connection
        length = headers.get("content-length")
        if self._status in {204, 304}:
            self._left = 0
        elif "transfer-encoding" in headers:
            if headers["transfer-encoding"].strip().lower() != "chunked":
                raise WireError("an encoding that nobody asked for")
            self._chunked = True
            self._left = 0
        elif length is not None:
            if _LENGTH.fullmatch(length.encode("latin-1")) is None:
                raise WireError("a bad Content-Length")
            self._left = int(length)
        else:
            self._left = None
            self.reusable = False

    def _keep(self, count: int) -> None:
        """Move up to `count` bytes from the buffer to the body, forgetting what is beyond the limit."""
        piece = self._buffer[:count]
        del self._buffer[:count]
        self._size += len(piece)
        room = MAX_REPLY_BYTES - len(self._body)
        self._body += piece[:room]

    def _read_plain(self, *, ended: bool) -> bool:
        if self._left is None:
            self._keep(len(self._buffer))
            return ended or self._over()
        before = len(self._buffer)
        self._keep(self._left)
        self._left -= before - len(self._buffer)
        if self._left == 0:
            # Bytes after the response answer nothing that was asked.
            self.reusable = self.reusable and not self._buffer
            return True
        return self._over()

    def _over(self) -> bool:
        """Stop reading an answer that is far too long; its connection is not used again."""
        if self._size <= MAX_REPLY_BYTES:
            return False
        self.reusable = False
        return True

    def _read_chunks(self) -> bool:
        while True:
            if self._left:
                before = len(self._buffer)
                self._keep(self._left)
                self._left -= before - len(self._buffer)
                if self._left or self._over():
                    return self._over()
                self._left = None
            if self._left is None:  # the line break behind a chunk
                if len(self._buffer) < 2:
                    return False
                if not self._buffer.startswith(b"\r\n"):
                    raise WireError("a bad chunk")
                del self._buffer[:2]
                self._left = 0
            line = _CHUNK.match(self._buffer)
            if line is None:
                if len(self._buffer) > 256 or b"\n" in self._buffer:
                    raise WireError("a bad chunk")
                return False
            size = int(line[1], 16)
            if size == 0:
                return self._read_trailers(line.end())
            del self._buffer[: line.end()]
            self._left = size

    def _read_trailers(self, start: int) -> bool:
        """Wait for the end of what follows the last chunk; with trailers, which are nothing to us, give up waiting."""
        rest = bytes(self._buffer[start:])
        if len(rest) < 2 and b"\r\n".startswith(rest):
            return False
        self.reusable = self.reusable and rest == b"\r\n"
        return True


@lru_cache(maxsize=4)  # answers to one event after the other differ by their date, if by anything
def read_whole(data: bytes) -> tuple[Response, bool] | None:
    """Return the response that came in one piece, and whether the connection can carry another request.

    The last few are remembered: no bytes that may hold a secret belong here.

    Args:
        data: All that has arrived.

    Returns:
        None when more must be read.

    Raises:
        WireError: This is not a response.
    """
    reader = ResponseReader()
    return (reader.response, reader.reusable) if reader.feed(data) else None


def _parse_head(head: bytes) -> tuple[int, bytes, dict[str, str]]:
    """Return the status, the version's second digit, and the headers."""
    first = _STATUS_LINE.match(head)
    if first is None:
        raise WireError("not an HTTP/1.1 response")
    status = int(first[2])
    if status == 101:
        raise WireError("an upgrade that nobody asked for")
    return status, first[1], _parse_headers(head[first.end() :]) if status >= 200 else {}


def _parse_headers(block: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    if b"\n " in block or b"\n\t" in block:
        block = _FOLD.sub(b" ", block)  # a value on several lines (RFC 9112, 5.2), from servers of old
    for line in block.decode("latin-1").removesuffix("\n").split("\n") if block else ():
        name, colon, value = line.removesuffix("\r").partition(":")
        if not colon or not name or name != name.strip():
            raise WireError("a bad header line")
        name = name.lower()
        value = value.strip(" \t")
        if name == "content-length" and headers.get(name, value) != value:
            raise WireError("two values of Content-Length")
        headers[name] = value
    return headers
