"""Bodies of aiohttp, handed on as they are with a note of what passes."""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, Self, cast

from otas_middleware._capture.body import without_coding
from otas_middleware._outbound.policy import failed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import ClientResponse

    from otas_middleware._capture.capture import Capture

    Function = Callable[..., Any]

_GZIP = b"\x1f\x8b"
_READS = frozenset({"readany", "readexactly", "readline", "readuntil", "readchunk"})
_ITERATES = frozenset({"iter_any", "iter_chunked", "iter_chunks"})


class RecordedContent:
    """Stands for a response's `content`, and has what that has.

    Args:
        inner: The response's own stream.
        call: The record; finished when the stream is at its end, or nobody can read from it any more.
        coded: Whether the response has a content coding, which aiohttp may have undone.
    """

    def __init__(self, inner: Any, call: Capture, *, coded: bool) -> None:
        self._inner = inner
        self._call = call
        self._coded = coded

    def __getattr__(self, name: str) -> Any:
        if name in {"_inner", "_call"}:  # while it is being made
            raise AttributeError(name)
        value: Any = getattr(self._inner, name)
        if name in _READS:
            return partial(self._read_by, value)
        if name in _ITERATES:
            return partial(self._iterate_by, value)
        return partial(self._read_now, value) if name == "read_nowait" else value

    def _read_by(self, function: Function, *args: Any, **options: Any) -> Awaitable[Any]:
        return self.reading(function(*args, **options))

    def _iterate_by(self, function: Function, *args: Any, **options: Any) -> _Pieces:
        return _Pieces(self, aiter(function(*args, **options)))

    def _read_now(self, function: Function, *args: Any, **options: Any) -> Any:
        return self._noted(function(*args, **options))

    def __aiter__(self) -> _Pieces:
        return _Pieces(self, aiter(self._inner))

    async def read(self, n: int = -1) -> bytes:
        """Read so many bytes, or all (see `aiohttp.StreamReader.read`); all of them piece by piece, as it does."""
        if n >= 0:
            data: bytes = await self.reading(self._inner.read(n))
            return data
        pieces: list[bytes] = []
        read = self._inner.readany
        try:
            while piece := await read():
                pieces.append(piece)
                self._noted(piece)
        except BaseException as error:
            failed(self._call, error)
            raise
        self._noted(b"")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def __del__(self) -> None:
        if "_call" in self.__dict__:
            self._call.finish()  # of a response that nobody closed

    async def reading(self, read: Awaitable[Any]) -> Any:
        """Await what was read, and note it."""
        try:
            data = await read
        except StopAsyncIteration:
            self._noted(b"")
            raise
        except BaseException as error:
            self._noted(getattr(error, "partial", b""))
            failed(self._call, error)
            raise
        return self._noted(data)

    def _noted(self, data: Any) -> Any:
        """Note what was read: bytes, or a chunk with whether it ends there; return it."""
        call = self._call
        if not call.finished:
            piece = cast("bytes", data[0] if isinstance(data, tuple) else data)
            if piece:
                if self._coded:
                    self._coded = False
                    _forget_coding(call, piece)
                call.sent(piece)
            if self._inner.at_eof():
                call.ended()
                call.finish()
        return cast("Any", data)


class _Pieces:
    """Iterates over a stream's pieces."""

    def __init__(self, content: RecordedContent, pieces: Any) -> None:
        self._content = content
        self._pieces = pieces

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        return await self._content.reading(anext(self._pieces))


def _forget_coding(call: Capture, beginning: bytes) -> None:
    """Take out of the record's headers the coding that aiohttp has undone, as it does unless it is told not to."""
    if beginning.startswith(_GZIP):
        return
    call.response_headers = without_coding(call.response_headers)


def record_writing(body: Any, call: Capture) -> None:
    """Note a request's body as it is written: a file's, a form's or a stream's.

    Args:
        body: A payload of aiohttp.
        call: The record.
    """

    class Writer:
        """Writes what another does, and notes it."""

        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        async def write(self, chunk: bytes) -> None:
            if not call.finished:
                call.request.add(bytes(chunk))
            await self._inner.write(chunk)

        async def write_eof(self, chunk: bytes = b"") -> None:
            if chunk and not call.finished:
                call.request.add(bytes(chunk))
            await self._inner.write_eof(chunk)

    kind: Any = cast("object", type(body))
    own: Callable[..., Awaitable[None]] = kind.write_with_length

    async def write_with_length(writer: Any, content_length: int | None) -> None:
        del body.write_with_length  # for this one time: a redirect writes the same payload again
        await own(body, Writer(writer), content_length)

    body.write_with_length = write_with_length


class _Release:
    """Stands for a response's `release` or `close`; refers to it weakly, so that it is freed as without us."""

    __slots__ = ("_call", "_name", "_response")

    def __init__(self, name: str, response: weakref.ref[ClientResponse], call: Capture) -> None:
        self._name = name
        self._response = response
        self._call = call

    def __call__(self) -> Any:
        response, call = self._response(), self._call
        if response is None:
            return None
        try:
            return getattr(type(response), self._name)(response)
        finally:
            if not call.finished and 300 <= call.status_code < 400 and not call.response.size:
                call.opaque = True  # the body of a redirect, which aiohttp does not read
                call.ended()
            call.finish()


def record_release(response: ClientResponse, call: Capture) -> None:
    """Finish the record when the response is released or closed."""
    weak = weakref.ref(response)
    for name in ("release", "close"):
        setattr(response, name, _Release(name, weak, call))
