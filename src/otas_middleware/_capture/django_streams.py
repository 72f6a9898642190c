"""What a Django response streams, tapped by the documented `streaming_content`; and how its record ends."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from otas_middleware._capture import in_thread
from otas_middleware._capture.context import current
from otas_middleware._capture.wsgi_streams import pull, secured, tap_file
from otas_middleware._internal_errors import report_internal_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator

    from otas_middleware._capture.capture import Capture


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
        self._chunks: Any = secured(pulled, chunks, capture) if capture.durable else pulled
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
            try:
                capture.sent(chunk)
            except Exception:
                report_internal_error("django.stream")
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
