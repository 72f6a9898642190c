"""Instrumentation of aiohttp: a client middleware, as aiohttp 3.12 and later take them.

A middleware sees every request as it is sent, redirects and retries included. The token is taken out of the request's
headers again when the answer has begun, so that neither `response.request_info` nor an exception shows it. Bodies are
handed on as they are, with a note of what passes; of an answer that is what the caller gets, without its content coding
where aiohttp undoes that.
"""

from __future__ import annotations

import asyncio
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, Self, cast

from aiohttp import BytesPayload

from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware._config.origins import Location
from otas_middleware._errors import report_internal_error, swallowing
from otas_middleware._outbound import (
    OutgoingRequest,
    Scope,
    confirmed,
    ended,
    failed,
    has_token,
    head_for,
    note_request,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import ClientRequest, ClientResponse

    from otas_middleware._capture import Capture
    from otas_middleware._outbound import OutboundPolicy, RawHeaders

    Handler = Callable[[ClientRequest], Awaitable[ClientResponse]]


class AiohttpMiddleware:
    """Has the calls of an aiohttp session carry the token and be logged.

    Args:
        policy: Decides over each request.
    """

    def __init__(self, policy: OutboundPolicy) -> None:
        self._policy = policy

    async def __call__(self, request: ClientRequest, handler: Handler) -> ClientResponse:
        """Send a request and return the response (see aiohttp's client middlewares).

        Raises:
            SecretInUrlError: The URL holds a token or a key that must not go there; nothing was sent.
        """
        location = _location_of(request)
        scope = self._policy.scope(*location)
        if scope is Scope.EXEMPT:
            return await handler(request)
        if scope is Scope.INSIDE and confirmed(self._policy, location, _raw(request)) is scope:
            return await self._inside(request, location, handler)
        raw = self._right_head(request, Scope.OUTSIDE, location)
        call = await self._begin(request, location, raw)
        task = asyncio.current_task()
        cancelled_before = 0 if task is None else task.cancelling()
        try:
            response = await handler(request)
        except asyncio.CancelledError as error:
            asyncio.get_running_loop().call_soon(_cancelled, call, error, task, cancelled_before)
            raise
        except BaseException as error:
            failed(call, error)
            raise
        if call is not None:
            _note_response(call, response, undoes=request.session.auto_decompress)
        return response

    async def _inside(self, request: ClientRequest, location: Location, handler: Handler) -> ClientResponse:
        policy = self._policy
        token = policy.token_at_hand()
        if token is None and policy.may_wait:
            token = await asyncio.to_thread(policy.token)
        raw = self._right_head(request, Scope.INSIDE, location)
        if token is None or (not policy.exclusive and has_token(raw)):
            return await handler(request)
        request.headers[TOKEN_HEADER] = token
        try:
            return await handler(request)
        finally:
            request.headers.pop(TOKEN_HEADER, None)

    def _right_head(self, request: ClientRequest, scope: Scope, location: Location) -> RawHeaders:
        """Take out of the request's headers what must not go along; return what is left.

        Raises:
            SecretInUrlError: The URL holds it.
        """
        raw = _raw(request)
        left = head_for(self._policy, scope, raw, location, None)
        if left is None:
            return raw
        request.headers.clear()
        request.headers.extend((name.decode(), value.decode("utf-8", "surrogateescape")) for name, value in left)
        return left

    async def _begin(self, request: ClientRequest, location: Location, raw: RawHeaders) -> Capture | None:
        if request.compress:  # what aiohttp itself compresses is seen before it does
            raw = [(name, value) for name, value in raw if name.lower() != b"content-encoding"]
        call = self._policy.begin(OutgoingRequest("aiohttp", request.method, location, raw))
        if call is not None:
            with swallowing("outbound.aiohttp"):
                body: Any = request.body
                if isinstance(body, BytesPayload):  # all of it in memory
                    note_request(call, await body.as_bytes())
                elif body:
                    _record_writing(body, call)
        return call


def _cancelled(
    call: Capture | None, error: BaseException, task: asyncio.Task[object] | None, cancelled_before: int
) -> None:
    """Note why a call was cancelled, once those around it have had their say.

    aiohttp's `ClientTimeout(total=...)`, as `asyncio.timeout`, cancels the task and takes that back when it raises.
    """
    if task is not None and not task.cancelled() and task.cancelling() <= cancelled_before:
        failed(call, TimeoutError("The time was up before the answer came"))
    else:
        failed(call, error)


def _raw(request: ClientRequest) -> RawHeaders:
    return [(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in request.headers.items()]


def _location_of(request: ClientRequest) -> Location:
    """Return where a request goes (see `Domain.covers`)."""
    url = request.url
    return Location(url.scheme, (url.raw_host or "").encode("ascii", "replace"), url.port, url.raw_path_qs.encode())


def _record_writing(body: Any, call: Capture) -> None:
    """Note a request's body, a payload of aiohttp, as it is written: a file's, a form's or a stream's."""

    class Writer:
        """Writes what another does, and notes it."""

        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        async def write(self, chunk: bytes) -> None:
            note_request(call, bytes(chunk))
            await self._inner.write(chunk)

        async def write_eof(self, chunk: bytes = b"") -> None:
            note_request(call, bytes(chunk))
            await self._inner.write_eof(chunk)

    kind: Any = cast("object", type(body))
    own: Callable[..., Awaitable[None]] = kind.write_with_length

    async def write_with_length(writer: Any, content_length: int | None) -> None:
        del body.write_with_length  # for this one time: a redirect writes the same payload again
        await own(body, Writer(writer), content_length)

    body.write_with_length = write_with_length


_UNDONE = frozenset({"gzip", "deflate", "br", "zstd"})
"""The codings that aiohttp undoes: of several header fields that of the last, of a field with several none."""
_ZSTD = b"\x28\xb5\x2f\xfd"


def _note_response(call: Capture, response: Any, *, undoes: bool) -> None:
    """Note the head of an answer, and its body as it is consumed; `undoes` is whether content codings are undone."""
    try:
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.raw_headers]
        call.started(response.status, headers, response.reason)
        if response.status == 101 or response.content.at_eof():  # another protocol follows; there is no body
            ended(call)
            return
        _record_release(response, call)
        undone = undoes and response.headers.getall("Content-Encoding", ("",))[-1].lower() in _UNDONE
        response.content = _RecordedContent(response.content, call, undone=undone)
    except Exception:
        report_internal_error("outbound.aiohttp")
        call.finish()


_NOTES = {
    **dict.fromkeys(("readany", "readexactly", "readline", "readuntil", "readchunk"), "reading"),
    **dict.fromkeys(("iter_any", "iter_chunked", "iter_chunks"), "pieces"),
    "read_nowait": "noted",
}
"""What reads of a stream's own methods, and what notes what they return here."""


class _RecordedContent:
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
        note = _NOTES.get(name)
        return value if note is None else partial(_call_and_note, getattr(self, note), value)

    def unread_data(self, data: bytes) -> None:
        """Put back what was read, as readers of multipart bodies do (see `aiohttp.StreamReader.unread_data`)."""
        self._unread += len(data)
        self._inner.unread_data(data)

    def __aiter__(self) -> _Pieces:
        return self.pieces(self._inner)

    def pieces(self, iterable: Any) -> _Pieces:
        """Return what iterates over pieces, and notes them."""
        return _Pieces(self, aiter(iterable))

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
                self.noted(piece)
        except BaseException as error:
            failed(self._call, error)
            raise
        self.noted(b"")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def __del__(self) -> None:
        if "_call" in self.__dict__ and not self._call.finished:
            self._call.finish()  # of a response that nobody closed

    async def reading(self, read: Awaitable[Any]) -> Any:
        """Await what was read, and note it."""
        try:
            data = await read
        except StopAsyncIteration:
            self.noted(b"")
            raise
        except BaseException as error:
            self.noted(getattr(error, "partial", b""))
            failed(self._call, error)
            raise
        return self.noted(data)

    def noted(self, data: Any) -> Any:
        """Note what was read: bytes, or a chunk with whether it ends there; return it."""
        if not self._call.finished:
            self._note(cast("bytes", data[0] if isinstance(data, tuple) else data))
        return cast("Any", data)

    @swallowing("outbound.aiohttp")
    def _note(self, piece: bytes) -> None:
        known = min(self._unread, len(piece))
        self._unread -= known
        if len(piece) > known:
            if self._undone:
                self._undone = False
                _forget_coding(self._call, piece)
            self._call.sent(piece[known:])
        if self._inner.at_eof():
            ended(self._call)


def _call_and_note(note: Callable[[Any], Any], function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    return note(function(*args, **options))


class _Pieces:
    """Iterates over a stream's pieces."""

    def __init__(self, content: _RecordedContent, pieces: Any) -> None:
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


def _record_release(response: ClientResponse, call: Capture) -> None:
    """Finish the record when the response is released or closed; held weakly, so that it is freed as without us."""
    weak = weakref.ref(response)

    def release(name: str) -> Any:
        alive = weak()
        if alive is None:
            return None
        try:
            return getattr(type(alive), name)(alive)
        finally:
            if not call.finished and 300 <= call.status_code < 400 and not call.response.size:
                call.opaque = True  # the body of a redirect, which aiohttp does not read
                call.ended()
            call.finish()

    for name in ("release", "close"):
        setattr(response, name, partial(release, name))
