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

import sys
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from otas_middleware._errors import ConfigurationError, MissingExtraError

try:
    from asgiref.sync import iscoroutinefunction, markcoroutinefunction
    from django import VERSION
    from django.conf import settings as django_settings
    from django.core.exceptions import MiddlewareNotUsed, RequestDataTooBig
    from django.core.signals import got_request_exception, request_finished, request_started
    from django.http import RawPostDataException, UnreadablePostError
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in {"django", "asgiref"}:
        raise
    raise MissingExtraError("otas_middleware.django", "django") from error

from otas_middleware._capture import in_thread
from otas_middleware._capture.context import MARKER, capture_of, current
from otas_middleware._capture.django_streams import (
    ReadTap,
    cancelled_task,
    finish,
    forget_others,
    take_early,
    tap_early,
    tap_stream,
)
from otas_middleware._capture.session import TOKEN_ENVIRON_KEY
from otas_middleware._errors import report_internal_error
from otas_middleware._recorder import open_recorder
from otas_middleware.wsgi import begin

if TYPE_CHECKING:
    from asyncio import Task
    from collections.abc import Awaitable, Callable, Mapping

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from otas_middleware._capture import Capture
    from otas_middleware._capture.body import BoundedBody
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
            if VERSION >= (6, 0):
                request_finished.connect(_on_finished, dispatch_uid="otas_middleware")
        request_started.connect(self._tap_input)
        got_request_exception.connect(_on_unhandled, dispatch_uid="otas_middleware")

    def __call__(self, request: HttpRequest) -> Any:
        """Hand the request on; record it when it carries a session token."""
        if TOKEN_ENVIRON_KEY not in request.META:
            return self.get_response(request)
        if self._is_async:
            return self._record_async(request)
        capture = self._begin(request)
        if capture is None:
            response = self.get_response(request)
            _name_for_outer(request, response)
            return response
        previous = current.get()
        try:
            current.set(capture)
            response = self.get_response(request)
        except BaseException as error:
            _abandon(capture, error, request)
            raise
        finally:
            current.set(previous)
        if _record_response(request, response, capture):
            finish(capture)
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
            task = cancelled_task(error)
            if task is None:
                _abandon(capture, error, request)
                current.set(previous)
            else:  # by Django, or by a time limit of a middleware around this one: how the request ends will tell
                end = partial(_after_cancellation, capture, error, request)
                _cancellation.set(end)
                task.add_done_callback(end)
            raise
        current.set(previous)
        if _record_response(request, response, capture):
            if capture.durable:
                await in_thread.finish(capture)
            else:
                finish(capture)
        return response

    def _tap_input(self, environ: dict[str, Any] | None = None, **_: Any) -> None:
        """Watch a body from before Django makes the request of it; others may read it before this is called."""
        try:
            forget_others(environ or {})
            if environ is not None and TOKEN_ENVIRON_KEY in environ and MARKER not in environ:
                tap_early(environ, self._recorder.settings.max_body_bytes)
        except Exception:
            report_internal_error("django.request_started")

    def _begin(self, request: HttpRequest) -> Capture | None:
        scope: Mapping[str, Any] = getattr(request, "scope", {})
        if MARKER in scope or MARKER in request.META:
            return None
        headers = list(scope["headers"]) if "headers" in scope else None
        capture = begin(self._recorder, request.META, "django", request.path, headers)
        try:
            if capture is not None and scope:
                capture.head_waits_for = "nothing"  # ASGI: the status is sent before the first byte is asked for
            body = take_early(request.META, 0 if capture is None else self._recorder.settings.max_body_bytes)
            if capture is not None and body is not None:
                capture.request = body
            elif capture is not None:
                tap = ReadTap(request, capture.request)
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
            f"OTAS in the Django settings is of type {type(values).__name__}; "
            "write it as a dictionary, such as OTAS = {'SDK_KEY': 'otas_…'}."
        )
    return cast("dict[str, object]", values)


def _open_recorder() -> Recorder:
    recorder = open_recorder({}, (own_settings(), "OTAS[{!r}]"))
    if recorder is None:
        raise MiddlewareNotUsed("otas_middleware is off")
    return recorder


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


def _record_response(request: HttpRequest, response: HttpResponseBase, capture: Capture) -> bool:
    """Note the response; return whether that is all, and the capture is to be finished."""
    try:
        _name(request, capture)
        _note_unread(request, capture.request)
        status = response.status_code
        if status < 500:
            capture.exception = None  # handled, and answered as the client's error
        headers = list(response.items())
        if response.cookies:
            headers += [("Set-Cookie", morsel.OutputString()) for morsel in response.cookies.values()]
        capture.started(status, headers, response.reason_phrase)
        if response.streaming:
            tap_stream(request, response, capture)
            return False
        _record_content(response, capture)
    except Exception:
        report_internal_error("django.response")
    return True


def _record_content(response: Any, capture: Capture) -> None:
    try:
        content = response.content
    except Exception as error:  # as the server is about to find out: a template that nobody rendered
        capture.failed(error)
        return
    capture.sent(content)
    # It is whole, and Django keeps to itself what closing it may bring: some hosts never do.
    capture.ended()


_cancellation: ContextVar[Callable[[], None] | None] = ContextVar("otas_middleware.cancellation", default=None)
"""What is to be done when a request that was cancelled is over."""


def _on_finished(**_: Any) -> None:
    end = _cancellation.get()
    if end is not None:  # Django 6 and later, where the request has no task of its own
        end()


def _after_cancellation(
    capture: Capture, error: BaseException, request: HttpRequest, task: Task[Any] | None = None
) -> None:
    """Finish a request that was cancelled.

    Args:
        capture: Its capture.
        error: What it was cancelled with.
        request: The request.
        task: Its own task, which is over; without one nothing but an exception tells that the client was still there.
    """
    if not capture.finished:
        capture.disconnected = capture.exception is None if task is None else task.cancelled()
        _abandon(capture, error, request)


def _abandon(capture: Capture, error: BaseException, request: HttpRequest | None = None) -> None:
    try:
        if request is not None:
            _name(request, capture)
    except Exception:
        report_internal_error("django.route")
    if capture.exception is None:  # else it is known already what became of this one
        capture.failed(error)
    finish(capture)
