"""What comes back to aiohttp: a response whose body is noted as it is consumed, until it is released.

What is noted is what the caller gets: without its content coding, where aiohttp undoes that.
"""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, Self, cast

from otas_middleware._internal_errors import report_internal_error
from otas_middleware._outbound.policy import failed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import ClientResponse

    from otas_middleware._capture.capture import Capture

    Function = Callable[..., Any]

_UNDONE = frozenset({"gzip", "deflate", "br", "zstd"})
"""The codings that aiohttp undoes: of several header fields that of the last, of a field with several none."""
_ZSTD = b"\x28\xb5\x2f\xfd"


def note_response(call: Capture, response: Any, *, undoes: bool) -> None:
    """Note the head of an answer, and have its body noted as it is consumed.

    Args:
        call: The record.
        response: The answer.
        undoes: Whether the session has content codings undone.
    """
    try:
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.raw_headers]
        call.started(response.status, headers, response.reason)
        if response.status == 101 or response.content.at_eof():  # another protocol follows; there is no body
            call.ended()
            call.finish()
            return
        record_release(response, call)
        undone = undoes and response.headers.getall("Content-Encoding", ("",))[-1].lower() in _UNDONE
        response.content = RecordedContent(response.content, call, undone=undone)
    except Exception:
        report_internal_error("outbound.aiohttp")
        call.finish()


_READS = frozenset({"readany", "readexactly", "readline", "readuntil", "readchunk"})
_ITERATES = frozenset({"iter_any", "iter_chunked", "iter_chunks"})


class RecordedContent:
    """Stands for a response's `content`, and has what that has.

    Args:
        inner: The response's own stream.
        call: The record; finished when the stream is at its end, or nobody can read from it any more.
        undone: Whether the response has a content coding that aiohttp undoes.
    """

    def __init__(self, inner: Any, call: Capture, *, undone: bool) -> None:
        self._inner = inner
        self._call = call
        self._undone = undone
        self._unread = 0

    @property  # type: ignore[misc]  # the one of `object` can be set
    def __class__(self) -> type[Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The class of the response's own stream: aiohttp sends a stream on by what it is."""
        inner: object = self._inner
        return type(inner)

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

    def unread_data(self, data: bytes) -> None:
        """Put back what was read, as readers of multipart bodies do (see `aiohttp.StreamReader.unread_data`)."""
        self._unread += len(data)
        self._inner.unread_data(data)

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
            known = min(self._unread, len(piece))
            self._unread -= known
            if len(piece) > known:
                if self._undone:
                    self._undone = False
                    _forget_coding(call, piece)
                call.sent(piece[known:])
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
    """Take out of the record's headers the coding that aiohttp has undone; its earlier releases know no zstd."""
    if beginning.startswith(_ZSTD):
        return
    headers = [(str(name), str(value)) for name, value in call.response_headers]
    last = max(place for place, (name, _) in enumerate(headers) if name.lower() == "content-encoding")
    del headers[last]
    call.response_headers = [(name, value) for name, value in headers if name.lower() != "content-length"]


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
