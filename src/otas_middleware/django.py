"""Django, synchronous and asynchronous.

```python
MIDDLEWARE = [
    "otas_middleware.django.OtasMiddleware",  # first in the list
    ...,
    "otas_middleware.django.OtasExceptionMiddleware",  # optional, last: names exceptions that others answer
]
OTAS = {"SDK_KEY": "otas_…"}  # or OTAS_SDK_KEY in the environment
```

The body is tapped as the view reads it; nothing is parsed on the view's behalf. Only what Django documents is used:
signals, `process_exception`, and attributes of the request and the response.
"""

from __future__ import annotations

import asyncio
import sys
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from otas_middleware._errors import ConfigurationError, MissingExtraError

try:
    from asgiref.sync import iscoroutinefunction, markcoroutinefunction
    from django.conf import settings as django_settings
    from django.core.exceptions import MiddlewareNotUsed, RequestDataTooBig
    from django.core.signals import got_request_exception, request_started
    from django.http import RawPostDataException, UnreadablePostError
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in {"django", "asgiref"}:
        raise
    raise MissingExtraError("otas_middleware.django", "django") from error

from otas_middleware._capture.body import BoundedBody
from otas_middleware._capture.context import MARKER, capture_of, current
from otas_middleware._capture.session import TOKEN_ENVIRON_KEY
from otas_middleware._capture.wsgi_input import InputTap, note_of
from otas_middleware._capture.wsgi_streams import pull, secured, tap_file
from otas_middleware._config.sources import FrameworkSettings
from otas_middleware._internal_errors import report_internal_error
from otas_middleware._recorder import open_recorder
from otas_middleware.wsgi import begin, hidden

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from otas_middleware._capture.capture import Capture
    from otas_middleware._recorder import Recorder

__all__ = ["OtasExceptionMiddleware", "OtasMiddleware"]


class OtasMiddleware:
    """Records the requests of AI agents to a Django project. Settings: `OTAS = {...}` and the environment.

    Args:
        get_response: The rest of the middleware chain; when it is a coroutine function, so is this.

    Raises:
        MiddlewareNotUsed: Recording is off (no SDK key, or `OTAS_ENABLED=0`).
        ConfigurationError: A setting is unknown or cannot be used.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._recorder = _open_recorder()
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)  # pyright: ignore[reportDeprecated]  # the mark that Django sets
        if self._is_async:
            markcoroutinefunction(self)
        request_started.connect(self._tap_input)
        got_request_exception.connect(_on_unhandled, dispatch_uid="otas_middleware")

    def __call__(self, request: HttpRequest) -> Any:
        """Hand the request on; record it when it carries a session token."""
        if TOKEN_ENVIRON_KEY not in request.META:
            if self._is_async or current.get() is None:
                return self.get_response(request)
            with hidden():
                return self.get_response(request)
        if self._is_async:
            return self._record_async(request)
        capture = self._begin(request)
        if capture is None:
            response = self.get_response(request)
            _name_for_outer(request, response)
            return response
        previous = current.get()
        current.set(capture)
        try:
            response = self.get_response(request)
        except BaseException as error:
            _abandon(capture, error, request)
            raise
        finally:
            current.set(previous)
        _record_response(request, response, capture)
        return response

    async def _record_async(self, request: HttpRequest) -> HttpResponseBase:
        capture = self._begin(request)
        get_response: Callable[[HttpRequest], Awaitable[HttpResponseBase]] = self.get_response
        if capture is None:
            response = await get_response(request)
            _name_for_outer(request, response)
            return response
        previous = current.get()
        current.set(capture)
        try:
            response = await get_response(request)
        except BaseException as error:
            task = _cancelled_task(error)
            if task is None:
                _abandon(capture, error, request)
            else:  # by Django, or by a time limit of a middleware around this one: how the task ends will tell
                task.add_done_callback(partial(_after_cancellation, capture, error, request))
            raise
        finally:
            current.set(previous)
        if capture.durable:  # which writes to a disk
            await asyncio.to_thread(_record_response, request, response, capture)
        else:
            _record_response(request, response, capture)
        return response

    def _tap_input(self, environ: dict[str, Any] | None = None, **_: Any) -> None:
        """Watch a body from before Django makes the request of it; others may read it before this is called."""
        try:
            if environ is None or TOKEN_ENVIRON_KEY not in environ or MARKER in environ:
                return
            stream = environ.get("wsgi.input")
            note = _early_note(environ)
            if note is not None:  # another handler's, since all hear the signal
                note.reserve(self._recorder.settings.max_body_bytes)
            elif stream is not None:
                environ["wsgi.input"] = InputTap(stream, _EarlyNote(self._recorder.settings.max_body_bytes))
        except Exception:
            report_internal_error("django.request_started")

    def _begin(self, request: HttpRequest) -> Capture | None:
        scope: Mapping[str, Any] = getattr(request, "scope", {})
        if MARKER in scope or MARKER in request.META:
            return None
        headers = list(scope["headers"]) if "headers" in scope else None
        capture = begin(self._recorder, request.META, "django", request.path, headers)
        try:
            note = _early_note(request.META)
            if note is not None:
                note.go_on_in(None if capture is None else capture.request)
            elif capture is not None:
                tap = _ReadTap(request, capture.request)
                request.read = tap.read  # type: ignore[method-assign]
                request.readline = tap.readline  # type: ignore[method-assign]
        except Exception:
            report_internal_error("django.begin")
        return capture


class OtasExceptionMiddleware:
    """Names the exceptions that other middlewares answer by `process_exception`. Last in `MIDDLEWARE`; optional.

    Without it such an event carries the status only; exceptions that nobody answers are named without it.

    Args:
        get_response: The rest of the middleware chain.

    Raises:
        MiddlewareNotUsed: Recording is off.
        ConfigurationError: A setting is unknown or cannot be used.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        _open_recorder()
        self.get_response = get_response
        if iscoroutinefunction(get_response):  # pyright: ignore[reportDeprecated]  # the mark that Django sets
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        """Hand the request on."""
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        """Note an exception of the view, before any other middleware may turn it into a response."""
        _note_exception(request, exception)


def own_settings() -> Mapping[str, object]:
    """Return the `OTAS` dictionary of the Django settings.

    Raises:
        ConfigurationError: It is no dictionary.
    """
    values: object = getattr(django_settings, "OTAS", {})
    if not isinstance(values, dict):
        raise ConfigurationError(
            f"OTAS in the Django settings is a {type(values).__name__}; "
            "write it as a dictionary, such as OTAS = {'SDK_KEY': 'otas_…'}."
        )
    return cast("dict[str, object]", values)


def _open_recorder() -> Recorder:
    recorder = open_recorder({}, FrameworkSettings(own_settings(), "OTAS[{!r}]"))
    if recorder is None:
        raise MiddlewareNotUsed("otas_middleware is off")
    return recorder


# --- what is known of a request


def _capture_of(request: HttpRequest) -> Capture | None:
    """Return the capture of a request, made here or by an adapter around Django's application."""
    return capture_of(request.META) or capture_of(getattr(request, "scope", {}))


def _note_exception(request: HttpRequest | None, error: BaseException) -> None:
    try:
        capture = None if request is None else _capture_of(request)
        if capture is not None:
            capture.failed(error)
    except Exception:
        report_internal_error("django.exception")


def _on_unhandled(request: HttpRequest | None = None, **_: Any) -> None:
    error = sys.exc_info()[1]
    if error is not None:
        _note_exception(request, error)


def _name(request: HttpRequest, capture: Capture) -> None:
    match = request.resolver_match
    if match is not None:
        capture.route = match.route
        capture.path_params = match.kwargs


def _name_for_outer(request: HttpRequest, response: HttpResponseBase) -> None:
    """Give route and exception to the event of an adapter around Django's application, which cannot know them."""
    try:
        capture = _capture_of(request)
        if capture is not None and not capture.finished:
            _name(request, capture)
            if response.status_code < 500:
                capture.exception = None
    except Exception:
        report_internal_error("django.outer")


# --- the request's body


class _EarlyNote:
    """Notes what is read of `wsgi.input` before it is known whether the request is recorded.

    Args:
        limit: How many bytes to keep until then.
    """

    __slots__ = ("_body", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._body: BoundedBody | None = BoundedBody(limit)

    def __call__(self, data: bytes) -> None:
        if self._body is not None:
            self._body.add(data)

    def reserve(self, limit: int) -> None:
        """Keep at least so many bytes."""
        if limit > self._limit:
            self._limit, self._body = limit, BoundedBody(limit)  # nothing has been read yet

    def go_on_in(self, body: BoundedBody | None) -> None:
        """Give what was noted to the capture's body, and all that follows; or forget it, when there is none."""
        if body is not None and self._body is not None:
            body.take_over(self._body)
        self._body = body


def _early_note(environ: Mapping[str, Any]) -> _EarlyNote | None:
    note = note_of(environ.get("wsgi.input"))
    return note if isinstance(note, _EarlyNote) else None


class _ReadTap:
    """Takes the place of `read` and `readline` of one request that has no `wsgi.input` (ASGI).

    All readers of Django's pass them: `body`, `POST`, `FILES`, upload handlers. After its end the body is noted no
    more, since Django reads a kept one from its beginning again.

    Args:
        request: The request; held weakly, since it holds this.
        body: Gets what is read.
    """

    __slots__ = ("_body", "_class", "_over", "_request")

    def __init__(self, request: HttpRequest, body: BoundedBody) -> None:
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

    def _alive(self) -> HttpRequest:
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


def _note_unread(request: HttpRequest, body: BoundedBody) -> None:
    """Note a body that Django took from the server (ASGI) and that nobody has read since, or somebody before us."""
    length = request.META.get("CONTENT_LENGTH", "")
    if body.size or not hasattr(request, "scope") or not length.isdecimal():
        return
    if 0 < int(length) <= django_settings.FILE_UPLOAD_MAX_MEMORY_SIZE:  # a longer one may lie on a disk
        try:
            whole = request.body  # which is noted when this reads it
        except (RawPostDataException, RequestDataTooBig, UnreadablePostError):
            return
        if not body.size:
            body.add(whole)


# --- the response


def _record_response(request: HttpRequest, response: HttpResponseBase, capture: Capture) -> None:
    try:
        _name(request, capture)
        _note_unread(request, capture.request)
        status = response.status_code
        if status < 500:
            capture.exception = None  # handled, and answered as the client's error
        headers = list(response.items())
        headers += [("Set-Cookie", morsel.OutputString()) for morsel in response.cookies.values()]
        capture.started(status, headers, response.reason_phrase)
        if response.streaming:
            _tap_stream(request, response, capture)
        else:
            capture.sent(response.content)  # type: ignore[attr-defined]  # what is not streaming has content
            # It is whole, and Django keeps to itself what closing it may bring: some hosts never do.
            capture.ended()
            capture.finish()
    except Exception:
        report_internal_error("django.response")
        _finish(capture)


def _tap_stream(request: HttpRequest, response: Any, capture: Capture) -> None:
    file = getattr(response, "file_to_stream", None)
    if file is not None and request.META.get("wsgi.file_wrapper"):
        capture.opaque = True  # the server sends the file itself
        if capture.durable:
            capture.secure(last=True)
        tap_file(response, partial(_complete, capture))
        return
    chunks = response.streaming_content
    response.streaming_content = (_AsyncStream if response.is_async else _Stream)(chunks, capture)
    if file is not None:
        response.file_to_stream = file  # which the setter makes a FileResponse forget


class _Stream:
    """What a response streams, tapped. The response registers `close`, which finishes what has not come to its end.

    Args:
        chunks: What the response streams, as bytes.
        capture: Gets the chunks, the end, and the exceptions.
    """

    __slots__ = ("_capture", "_chunks")

    def __init__(self, chunks: Iterable[bytes], capture: Capture) -> None:
        finish = partial(_finish, capture)
        pulled = pull(chunks, capture, at_end=finish, at_failure=finish)
        self._chunks: Any = secured(pulled, chunks, capture) if capture.durable else pulled
        self._capture = capture

    def __iter__(self) -> Iterator[bytes]:
        chunks: Iterator[bytes] = self._chunks
        return chunks

    def close(self) -> None:
        """Finish, and let go of the response, which the chunks hold."""
        _finish(self._capture)
        self._chunks.close()

    def __del__(self) -> None:
        _finish(self._capture)


class _AsyncStream:
    """As `_Stream`, for asynchronous iterators."""

    __slots__ = ("_capture", "_chunks")

    def __init__(self, chunks: AsyncIterator[bytes], capture: Capture) -> None:
        self._chunks: AsyncIterator[bytes] | None = _pull_async(chunks, capture)
        self._capture = capture

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    def __anext__(self) -> Awaitable[bytes]:
        if self._chunks is None:
            raise StopAsyncIteration
        return self._chunks.__anext__()

    def close(self) -> None:
        """Finish, and let go of the response, which the chunks hold."""
        _finish(self._capture)
        self._chunks = None

    def __del__(self) -> None:
        _finish(self._capture)


async def _pull_async(chunks: AsyncIterator[bytes], capture: Capture) -> AsyncIterator[bytes]:
    current.set(capture)  # in this task, which does nothing else any more
    try:
        async for chunk in chunks:
            try:
                capture.sent(chunk)
            except Exception:
                report_internal_error("django.stream")
            if capture.durable and capture.whole:
                await asyncio.to_thread(capture.secure)
            yield chunk
            if current.get() is not capture:
                current.set(capture)
    except GeneratorExit:
        raise
    except BaseException as error:
        capture.disconnected = capture.disconnected or _cancelled_task(error) is not None
        _abandon(capture, error)  # at once: Django's ASGI handler then forgets to close the response
        raise
    if capture.durable:
        await asyncio.to_thread(_complete, capture)
    else:
        _complete(capture)


def _cancelled_task(error: BaseException) -> asyncio.Task[Any] | None:
    """Return the task of this request if it is being cancelled, as Django does when the client has gone."""
    task = asyncio.current_task() if isinstance(error, asyncio.CancelledError) else None
    return task if task is not None and task.cancelling() else None


def _after_cancellation(capture: Capture, error: BaseException, request: HttpRequest, task: asyncio.Task[Any]) -> None:
    capture.disconnected = task.cancelled()
    _abandon(capture, error, request)


def _abandon(capture: Capture, error: BaseException, request: HttpRequest | None = None) -> None:
    try:
        if request is not None:
            _name(request, capture)
    except Exception:
        report_internal_error("django.route")
    if capture.exception is None:  # else it is known already what became of this one
        capture.failed(error)
    _finish(capture)


def _complete(capture: Capture) -> None:
    capture.ended()
    _finish(capture)


def _finish(capture: Capture) -> None:
    try:
        capture.finish()
    except Exception:
        report_internal_error("django.finish")
