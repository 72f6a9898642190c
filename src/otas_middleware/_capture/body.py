"""The bounded copy of one body. Runs on the request path: no lock, no decoding, no joining."""

from __future__ import annotations

Chunk = bytes | bytearray | memoryview | str  # frameworks let applications stream all of these


class BoundedBody:
    """Keeps the first `limit` bytes of a body and counts all of them.

    The chunks are kept as they are, because joining them is the worker's time. For each chunk of a long stream the
    taps do what `add` does themselves: `left -= len(chunk)`, then `parts.append(chunk)`, or `cut(chunk)` while `whole`.

    Args:
        limit: How many bytes to keep.
    """

    __slots__ = ("_limit", "left", "parts", "whole")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.whole = True
        """Nothing has been cut off yet."""
        self.left = limit
        """The limit less all bytes that passed; negative when they were more."""
        self.parts: list[bytes] = []
        """What is kept. Always this very list."""

    def add(self, chunk: Chunk) -> None:
        """Count a chunk and keep what there is room for."""
        octets = chunk if type(chunk) is bytes else _octets(chunk)
        left = self.left = self.left - len(octets)
        if left < 0:
            self.cut(octets)
        elif octets:
            self.parts.append(octets)

    def cut(self, chunk: bytes) -> None:
        """Keep the beginning of the chunk with which `left` became negative; nothing of those after it."""
        if self.whole:
            self.whole = False
            self.parts.append(chunk[: self.left])

    def take_over(self, earlier: BoundedBody) -> None:
        """Begin with what was noted elsewhere, where at least as much is kept, before this body was known."""
        for part in earlier.parts:
            self.add(part)
        self.whole = self.whole and earlier.whole
        self.left -= earlier.size - earlier.held

    def pack(self) -> None:
        """Join the parts; many small ones cost more than their bytes."""
        self.parts[:] = [self.kept()]

    @property
    def size(self) -> int:
        """All bytes that passed."""
        return self._limit - self.left

    def kept(self) -> bytes:
        """Return the kept bytes."""
        return b"".join(self.parts)

    @property
    def held(self) -> int:
        """How many bytes are kept."""
        return self._limit - self.left if self.left > 0 else self._limit


def _octets(chunk: Chunk) -> bytes:
    # By way of a view: `bytes(5)` would be five bytes.
    return chunk.encode("utf-8", "surrogateescape") if isinstance(chunk, str) else bytes(memoryview(chunk))
