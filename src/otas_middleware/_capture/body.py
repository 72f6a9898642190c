"""The bounded copy of one body. Runs on the request path: no lock, no decoding, no joining."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Chunk = bytes | bytearray | memoryview | str  # frameworks let applications stream all of these


TAIL_BYTES = 16_384
"""How much of a body's end is kept beside its beginning."""

_MANY_PARTS = 1_024


class BoundedBody:
    """Keeps the first `limit` bytes of a body, if asked its last ones too, and counts all of them.

    The chunks are kept as they are, because joining them is the worker's time. For each chunk of a long stream the
    taps do what `add` does themselves: `left -= len(chunk)`, then `parts.append(chunk)`, or `cut(chunk)` below 0.

    Args:
        limit: How many bytes of the beginning to keep.
        tail: How many bytes of the end of a longer body to keep.
    """

    __slots__ = ("_tail", "_trim_below", "left", "limit", "parts", "tail_limit", "whole")

    STATE = ("limit", "tail_limit", "left", "whole")
    """What an equal body in another process needs beside the bytes that are kept."""

    def __init__(self, limit: int, tail: int = 0) -> None:
        self.limit: int = limit
        """How many bytes of the beginning are kept."""
        self.tail_limit = tail
        """How many bytes of the end of a longer body are."""
        self._tail: list[bytes] | None = None
        self._trim_below = 0
        """The `left` from which on the tail is more than twice as long as it is to be."""
        self.whole = True
        """Nothing has been cut off yet."""
        self.left = limit
        """The limit less all bytes that passed; negative when they were more."""
        self.parts: list[bytes] = []
        """What is kept of the beginning. Always this very list."""

    def add(self, chunk: Chunk) -> None:
        """Count a chunk and keep what there is room for."""
        octets = chunk if type(chunk) is bytes else _octets(chunk)
        left = self.left = self.left - len(octets)
        if left < 0:
            self.cut(octets)
        elif octets:
            self.parts.append(octets)
            if len(self.parts) > _MANY_PARTS:  # a client may send its body in pieces of a byte or two
                self.pack()

    def cut(self, chunk: bytes) -> None:
        """Keep of a chunk after which `left` is negative what belongs to the beginning, and the rest as the end."""
        most = self.tail_limit
        if self.whole:
            self.whole = False
            self.parts.append(chunk[: self.left])
            if most:
                self._tail = [chunk[max(self.left, -most) :]]  # a chunk may be as long as the whole body
                self._trim_below = self.left - most
        elif self._tail is not None:
            if len(chunk) >= most:
                self._tail[:] = [chunk[-most:]]
                self._trim_below = self.left - most
            else:
                self._tail.append(chunk)
                if self.left < self._trim_below:
                    self._trim()

    def _trim(self) -> None:
        """Keep of the tail what is to be kept."""
        if self._tail is not None:
            self._tail[:] = [b"".join(self._tail)[-self.tail_limit :]]
            self._trim_below = self.left - self.tail_limit

    def end(self) -> tuple[bytes, bool]:
        """Return the kept end of a body of which more than the beginning passed, and whether bytes before it are lost.

        Without such an end the first is empty.
        """
        self._trim()
        end = self._tail[0] if self._tail else b""
        return end, len(end) < -self.left

    def limit_to(self, limit: int) -> None:
        """Keep at most so many bytes of the beginning; more than until now only while nothing has passed."""
        if limit != self.limit:
            size = self.size
            self.parts[:] = filter(None, [self.kept()[:limit]])
            self.limit, self.left = limit, limit - size
            self.whole = self.whole and size <= limit

    def trim(self, size: int) -> None:
        """Forget what passed after so many bytes."""
        surplus = self.size - size
        if surplus <= 0:
            return
        self.parts[:] = [self.kept()[:size]]
        if self._tail is not None:
            self._tail = [self.end()[0][:-surplus]]
        self.left += surplus
        self.whole = self.left >= 0

    def clear(self) -> None:
        """Forget all that passed: it did not get to where it was going."""
        self.parts.clear()
        self._tail = None
        self.whole = True
        self.left = self.limit

    def pack(self) -> None:
        """Join the parts; many small ones cost more than their bytes."""
        self.parts[:] = [self.kept()]

    def pieces(self) -> tuple[list[bytes], int]:
        """Return all that is kept, the beginning and then the end, and how many bytes that is."""
        if self._tail is None:
            left = self.left
            return self.parts, self.limit - left if left > 0 else self.limit
        held = self.held
        return [*self.parts, *self._tail], held

    @classmethod
    def restored(cls, state: Sequence[Any], kept: bytes) -> Self:
        """Return the body of another process with these values of `STATE`, and with all that is kept, joined."""
        limit, tail_limit, left, whole = state
        body = cls(limit, tail_limit)
        body.left, body.whole = left, whole
        beginning = limit - left if left > 0 else limit
        if beginning:
            body.parts.append(kept[:beginning])
        if len(kept) > beginning:
            body._tail = [kept[beginning:]]
        return body

    @property
    def size(self) -> int:
        """All bytes that passed."""
        return self.limit - self.left

    def kept(self) -> bytes:
        """Return the kept beginning."""
        return b"".join(self.parts)

    @property
    def held(self) -> int:
        """How many bytes are kept."""
        return self.limit - self.left if self.left > 0 else self.limit + len(self.end()[0])


def _octets(chunk: Chunk) -> bytes:
    # By way of a view: `bytes(5)` would be five bytes.
    return chunk.encode("utf-8", "surrogateescape") if isinstance(chunk, str) else bytes(memoryview(chunk))


def declared_size(headers: Iterable[tuple[object, object]]) -> int | None:
    """Return the bytes that the headers of a response announce, or None when they announce none."""
    for name, value in headers:
        if isinstance(name, _TEXTS) and len(name) == _LENGTH_OF_NAME:
            # Texts and bytes are never compared with each other, which `python -bb` forbids.
            wanted: object = b"content-length" if isinstance(name, bytes) else "content-length"
            if name.lower() == wanted and (size := _as_size(value)) is not None:
                return size
    return None


def _as_size(value: object) -> int | None:
    """Return a size; of what applications put there, not all is text, and not all that looks like digits a number."""
    if isinstance(value, _TEXTS) and len(value) <= _MAX_DIGITS and value.isascii() and value.isdigit():
        return int(value)
    return value if isinstance(value, int) and value >= 0 else None


def without_coding(headers: Iterable[tuple[object, object]]) -> list[tuple[str, str]]:
    """Return the headers of a response whose content coding, if it had one, the HTTP library has undone.

    The length that they announce goes with it, as it is that of the coding.
    """
    named = [(str(name), str(value)) for name, value in headers]
    if not any(name.lower() == "content-encoding" for name, _ in named):
        return named
    return [(name, value) for name, value in named if name.lower() not in {"content-encoding", "content-length"}]


_TEXTS = (bytes, str)  # once: making a union of them for each header takes longer than looking at it
_LENGTH_OF_NAME = len("content-length")
_MAX_DIGITS = 19
