"""Django's streams, tapped: what is read of a request's body, what a response streams, how its record ends.

A request's body is seen from before the request is made (WSGI) or by its own methods (ASGI), a streaming response by
the documented `streaming_content`.
"""

from __future__ import annotations

import asyncio
import sys
import weakref
from contextvars import ContextVar
from functools import partial
from types import MethodType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol

from otas_middleware._capture import in_thread
from otas_middleware._capture.body import BoundedBody
from otas_middleware._capture.context import current
from otas_middleware._capture.wsgi_input import InputTap
from otas_middleware._capture.wsgi_streams import note_sent, pull, secured, tap_file
from otas_middleware._errors import report_internal_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping

    from otas_middleware._capture import Capture


def tap_stream(request: Any, response: Any, capture: Capture) -> None:
    """Watch what a streaming response streams.

    Args:
        request: The `HttpRequest`.
        response: The `StreamingHttpResponse`.
        capture: Gets the chunks, the end, and the exceptions.
    """
    file = getattr(response, "file_to_stream", None)
    if file is not None and request.META.get("wsgi.file_wrapper"):
        capture.opaque = True  # the server sends the file itself
        if capture.durable:
            capture.secure(last=True)
        tap_file(response, partial(complete, capture))
        return
    # A handler that awaits collects what does not, and the other way round, before it sends the first chunk.
    asgi = hasattr(request, "scope")
    if not asgi and response.has_header("Content-Length") and "SERVER_SOFTWARE" not in request.META:
        # Unlike servers that leave that out (uWSGI), asgiref's bridge stops at this length, and closes nothing.
        capture.ends_early |= "asgiref.wsgi" in sys.modules
    end = partial(lose, capture, begun=asgi) if response.is_async is not asgi else partial(finish, capture)
    chunks = response.streaming_content
    response.streaming_content = (AsyncStream if response.is_async else Stream)(chunks, capture, end)
    if file is not None:
        response.file_to_stream = file  # which the setter makes a FileResponse forget


class Stream:
    """What a response streams, tapped. The response registers `close`, which finishes what has not come to its end.

    Args:
        chunks: What the response streams, as bytes.
        capture: Gets the chunks, the end, and the exceptions.
        at_failure: Called when the chunks raised.
    """

    __slots__ = ("_capture", "_chunks")

    def __init__(self, chunks: Iterable[bytes], capture: Capture, at_failure: Callable[[], None]) -> None:
        pulled = pull(chunks, capture, at_end=partial(finish, capture), at_failure=at_failure)
        early = capture.durable or capture.ends_early
        self._chunks: Any = secured(pulled, chunks, capture) if early else pulled
        self._capture = capture

    def __iter__(self) -> Iterator[bytes]:
        chunks: Iterator[bytes] = self._chunks
        return chunks

    def close(self) -> None:
        """Finish, and let go of the response, which the chunks hold."""
        finish(self._capture)
        self._chunks.close()

    def __del__(self) -> None:
        finish(self._capture)


class AsyncStream:
    """As `Stream`, for asynchronous iterators."""

    __slots__ = ("_capture", "_chunks")

    def __init__(self, chunks: AsyncIterator[bytes], capture: Capture, at_failure: Callable[[], None]) -> None:
        self._chunks: AsyncIterator[bytes] | None = _pull_async(chunks, capture, at_failure)
        self._capture = capture

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    def __anext__(self) -> Awaitable[bytes]:
        if self._chunks is None:
            raise StopAsyncIteration
        return self._chunks.__anext__()

    def close(self) -> None:
        """Finish, and let go of the response, which the chunks hold."""
        finish(self._capture)
        self._chunks = None

    def __del__(self) -> None:
        finish(self._capture)


async def _pull_async(
    chunks: AsyncIterator[bytes], capture: Capture, at_failure: Callable[[], None]
) -> AsyncIterator[bytes]:
    outer = current.get()
    current.set(capture)
    try:
        async for chunk in chunks:
            current.set(outer)  # the server begins in this context what outlives the request (see `asgi._Recording`)
            note_sent(capture, chunk)
            if capture.durable:
                await in_thread.secure(capture)
            yield chunk
            outer = current.get()
            current.set(capture)
    except GeneratorExit:
        raise
    except BaseException as error:
        capture.disconnected = capture.disconnected or cancelled_task(error) is not None
        capture.failed(error)
        at_failure()  # at once: Django's ASGI handler then forgets to close the response
        raise
    finally:
        if current.get() is capture:
            current.set(outer)
    if capture.durable:
        await in_thread.secure(capture, last=True)
    else:
        complete(capture)


def cancelled_task(error: BaseException) -> asyncio.Task[Any] | None:
    """Return the task of this request if it is being cancelled, as Django does when the client has gone."""
    task = asyncio.current_task() if isinstance(error, asyncio.CancelledError) else None
    return task if task is not None and task.cancelling() else None


def lose(capture: Capture, *, begun: bool) -> None:
    """Finish a response of which nothing got out, or its head only."""
    capture.response.clear()
    if not begun:
        capture.status_code, capture.response_headers, capture.reason = 0, (), None  # the handler answers itself
    finish(capture)


def complete(capture: Capture) -> None:
    capture.ended()
    finish(capture)


def finish(capture: Capture) -> None:
    try:
        if capture.durable:
            in_thread.finish_without_waiting(capture)  # where an event loop would stand meanwhile
        else:
            capture.finish()
    except Exception:
        report_internal_error("django.finish")


class Readable(Protocol):
    """What is needed of Django's `HttpRequest`."""

    def read(self, *args: Any, **kwargs: Any) -> bytes:
        """Return bytes of the body."""
        ...

    def readline(self, *args: Any, **kwargs: Any) -> bytes:
        """Return a line of the body."""
        ...


_EARLY = "otas_middleware.input"
"""Key of a body's name in the environ. The body itself would not be copied as well, and the tap may be replaced."""

_early: ContextVar[BoundedBody | None] = ContextVar("otas_middleware.input", default=None)
"""What is read of `wsgi.input` before it is known whether the request is recorded."""


def tap_early(environ: dict[str, Any], limit: int) -> None:
    """Watch the body of a request that may be recorded, from now on.

    Args:
        environ: The request's environ.
        limit: How many bytes to keep until it is known.
    """
    body = _early_body(environ)
    if body is not None:  # another handler's, since all hear the signal
        if body.limit < limit:
            body.limit_to(limit)  # nothing has been read yet
    elif "wsgi.input" in environ:
        body = BoundedBody(limit)
        environ["wsgi.input"] = InputTap(environ["wsgi.input"], body.add)
        environ[_EARLY] = hex(id(body))
        _early.set(body)


def forget_others(environ: Mapping[str, Any]) -> None:
    """Let go of the body of a request that did not come as far as to the middleware."""
    if _early.get() is not None and _early_body(environ) is None:
        _early.set(None)


def take_early(environ: Mapping[str, Any], limit: int) -> BoundedBody | None:
    """Return what has been watched of a request's body, and goes on being so; None when nothing has.

    Args:
        environ: The request's environ.
        limit: How many bytes to keep; 0 to forget them, and those that follow.
    """
    body = _early_body(environ)
    if body is not None:
        body.limit_to(limit)
        _early.set(None)
    return body


def _early_body(environ: Mapping[str, Any]) -> BoundedBody | None:
    body = _early.get()
    return body if body is not None and environ.get(_EARLY) == hex(id(body)) else None


class ReadTap:
    """Takes the place of `read` and `readline` of one request that has no `wsgi.input` (ASGI).

    All readers of Django's pass them: `body`, `POST`, `FILES`, upload handlers. After its end the body is noted no
    more, since Django reads a kept one from its beginning again.

    Args:
        request: The request; held weakly, since it holds this.
        body: Gets what is read.
    """

    __slots__ = ("_body", "_class", "_over", "_request")

    def __init__(self, request: Readable, body: BoundedBody) -> None:
        self._request = weakref.ref(request)
        self._class = type(request)
        self._body = body
        self._over = False

    def read(self, *args: Any, **kwargs: Any) -> bytes:
        data: bytes = self._class.read(self._alive(), *args, **kwargs)
        size = args[0] if args else None
        self._note(data, over=size is None or size < 0 or len(data) < size)
        return data

    def readline(self, *args: Any, **kwargs: Any) -> bytes:
        line: bytes = self._class.readline(self._alive(), *args, **kwargs)
        self._note(line, over=not line)
        return line

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Readable]]:
        return _untapped, (self._alive(),)  # a copied or pickled request has what its class has

    def _alive(self) -> Readable:
        request = self._request()
        if request is None:
            raise ValueError("I/O operation on a request that is over")
        return request

    def _note(self, data: bytes, *, over: bool) -> None:
        if not self._over:
            self._over = over
            try:
                self._body.add(data)
            except Exception:
                report_internal_error("django.read")


def _untapped(request: Readable) -> Any:
    kind = type(request)
    return SimpleNamespace(read=MethodType(kind.read, request), readline=MethodType(kind.readline, request))
