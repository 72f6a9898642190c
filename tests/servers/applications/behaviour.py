"""What the application does, in every framework.

    POST /echo              the request's body
    POST /upload            reads the body piece by piece; answers its size and SHA-256
    GET  /stream/NAME       a first chunk, then, once the test says so, two more
    GET  /endless/NAME      a tick every 20 ms for as long as somebody listens; notes when it was closed
    GET  /quiet/NAME        says one thing and then nothing for as long as somebody listens (asynchronous applications)
    GET  /download/SIZE     that many bytes, made on the fly
    GET  /fail              raises `BrokenError`

Tests and application talk through empty files in the folder `SCRATCH`, which every process of a server shares.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

BARE = "BARE" in os.environ
CHUNK = 65536
FIRST = b"first\n"
REST = (b"second\n", b"third\n")
TICK = b"tick\n"
TICK_SECONDS = 0.02
PATIENCE_SECONDS = 20.0  # nothing here goes on for longer, whatever happens to the test

_PATTERN = bytes(range(256)) * (CHUNK // 256)


class BrokenError(RuntimeError):
    """What `/fail` raises."""

    def __init__(self) -> None:
        super().__init__("broken on purpose")


class Tally:
    """Counts and hashes an upload."""

    def __init__(self) -> None:
        self._size = 0
        self._hash = hashlib.sha256()

    def add(self, piece: bytes) -> None:
        """Take the next piece of the body."""
        self._size += len(piece)
        self._hash.update(piece)

    def answer(self) -> bytes:
        """Return what the client is told."""
        return f"{self._size} {self._hash.hexdigest()}".encode()


class Readable(Protocol):
    """What frameworks call a request body's stream."""

    def read(self, size: int, /) -> bytes:
        """Return at most so many bytes; none at the end."""
        ...


def read_upload(stream: Readable) -> bytes:
    """Read a body to its end and return the answer."""
    tally = Tally()
    while piece := stream.read(CHUNK):
        tally.add(piece)
    return tally.answer()


async def read_upload_async(pieces: AsyncIterator[bytes]) -> bytes:
    """As `read_upload`."""
    tally = Tally()
    async for piece in pieces:
        tally.add(piece)
    return tally.answer()


def slow_stream(name: str) -> Iterator[bytes]:
    """Yield the first chunk, wait for the test's word, yield the rest."""
    yield FIRST
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not _go_on(name) and time.monotonic() < deadline:
        time.sleep(0.005)
    yield from REST


async def slow_stream_async(name: str) -> AsyncIterator[bytes]:
    """As `slow_stream`."""
    yield FIRST
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not _go_on(name) and time.monotonic() < deadline:  # noqa: ASYNC110  # another process makes it true
        await anyio.sleep(0.005)
    for chunk in REST:
        yield chunk


def endless(name: str) -> Iterator[bytes]:
    """Yield ticks until closed."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        while time.monotonic() < deadline:
            yield TICK
            time.sleep(TICK_SECONDS)
    finally:
        note_closed(name)


async def endless_async(name: str) -> AsyncIterator[bytes]:
    """As `endless`."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        while time.monotonic() < deadline:
            yield TICK
            await anyio.sleep(TICK_SECONDS)
    finally:
        note_closed(name)


async def quiet_async(name: str) -> AsyncIterator[bytes]:
    """Yield one chunk, then wait until closed."""
    try:
        yield FIRST
        await anyio.sleep(PATIENCE_SECONDS)
    finally:
        note_closed(name)


def download(size: int) -> Iterator[bytes]:
    """Yield `size` bytes."""
    for _ in range(size // CHUNK):
        yield _PATTERN
    if size % CHUNK:
        yield _PATTERN[: size % CHUNK]


async def download_async(size: int) -> AsyncIterator[bytes]:
    """As `download`."""
    for chunk in download(size):
        yield chunk


def note_closed(name: str) -> None:
    """Leave word that the stream of this name was closed."""
    (_scratch() / f"closed-{name}").touch()


def _go_on(name: str) -> bool:
    return (_scratch() / f"go-on-{name}").exists()


def _scratch() -> Path:
    return Path(os.environ["SCRATCH"])
