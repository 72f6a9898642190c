"""Django, synchronous and asynchronous.

```python
MIDDLEWARE = ["otas_middleware.django.OtasMiddleware", ...]     # first in the list
OTAS = {"SDK_KEY": "otas_…"}                                    # or OTAS_SDK_KEY in the environment
```

The body is tapped as the view reads it; nothing is parsed on the view's behalf.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast

from otas_middleware._errors import ConfigurationError, MissingExtraError

try:
    from asgiref.sync import iscoroutinefunction, markcoroutinefunction
    from django.conf import settings as django_settings
    from django.core.exceptions import MiddlewareNotUsed
    from django.core.handlers.base import BaseHandler
    from django.core.signals import got_request_exception
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in {"django", "asgiref"}:
        raise
    raise MissingExtraError("otas_middleware.django", "django") from error

from otas_middleware._capture.context import current
from otas_middleware._capture.session import TOKEN_ENVIRON_KEY
from otas_middleware._capture.wsgi_streams import InputTap, pull, secured
from otas_middleware._config.sources import FrameworkSettings
from otas_middleware._internal_errors import report_internal_error
from otas_middleware._recorder import MARKER, open_recorder
from otas_middleware.wsgi import begin, hidden

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from types import FrameType

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from otas_middleware._capture.capture import Capture

__all__ = ["OtasMiddleware"]


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
        recorder = open_recorder({}, FrameworkSettings(own_settings(), "OTAS[{!r}]"))
        if recorder is None:
            raise MiddlewareNotUsed("otas_middleware is off")
        self._recorder = recorder
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)  # pyright: ignore[reportDeprecated]  # the mark that Django sets
        if self._is_async:
            markcoroutinefunction(self)
        got_request_exception.connect(_on_unhandled, dispatch_uid="otas_middleware")
        self._hear_exceptions_first()

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
            return self.get_response(request)
        previous = current.get()
        current.set(capture)
        try:
            response = self.get_response(request)
        except BaseException as error:
            _abandon(capture, error)
            raise
        finally:
            current.set(previous)
        _tap(request, response, capture)
        return response

    async def _record_async(self, request: HttpRequest) -> HttpResponseBase:
        capture = self._begin(request)
        get_response: Callable[[HttpRequest], Awaitable[HttpResponseBase]] = self.get_response
        if capture is None:
            return await get_response(request)
        previous = current.get()
        current.set(capture)
        try:
            response = await get_response(request)
        except BaseException as error:  # a cancellation, when the client went away
            _abandon(capture, error)
            raise
        finally:
            current.set(previous)
        _tap(request, response, capture)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        """Note an exception of the view, which Django or another middleware is about to turn into a response."""
        _note(request, exception)

    def _hear_exceptions_first(self) -> None:
        """Have `process_exception` called before that of any other middleware.

        Django asks the innermost first and stops at the first that makes a response of the exception. The list is the
        request handler's, which is loading its middlewares, this among them, while this runs.
        """
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # no other way
        while frame is not None and frame.f_code is not BaseHandler.load_middleware.__code__:
            frame = frame.f_back
        if frame is not None:
            frame.f_locals["self"]._exception_middleware.insert(0, self.process_exception)  # noqa: SLF001  # as above

    def _begin(self, request: HttpRequest) -> Capture | None:
        scope: Mapping[str, Any] = getattr(request, "scope", {})
        if MARKER in scope:
            return None
        headers = list(scope["headers"]) if "headers" in scope else None
        capture = begin(self._recorder, request.META, "django", request.path, headers)
        if capture is None:
            return None
        try:
            stream = getattr(request, "_stream", None)
            if stream is not None:
                # The only place that every reader passes: read(), body, POST, FILES, upload handlers, REST parsers.
                request._stream = InputTap(stream, capture.request.add)  # type: ignore[assignment]  # noqa: SLF001
        except Exception:
            report_internal_error("django.begin")
        return capture


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


def _note(request: HttpRequest | None, error: BaseException) -> None:
    try:
        capture: Capture | None = request.META.get(MARKER) if request is not None else None
        if capture is not None:
            capture.failed(error)
    except Exception:
        report_internal_error("django.exception")


def _on_unhandled(request: HttpRequest | None = None, **_: Any) -> None:
    error = sys.exc_info()[1]
    if error is not None:
        _note(request, error)


def _tap(request: HttpRequest, response: HttpResponseBase, capture: Capture) -> None:
    try:
        match = request.resolver_match
        if match is not None:
            capture.route = match.route
            capture.path_params = match.kwargs
        status = response.status_code
        if status < 500:
            capture.exception = None  # handled, and answered as the client's error
        headers = list(response.items())
        headers += [("Set-Cookie", morsel.OutputString()) for morsel in response.cookies.values()]
        capture.started(status, headers, response.reason_phrase)
        closer = _Closer(capture)
        if response.streaming:
            _tap_stream(request, response, capture)
        else:
            capture.sent(response.content)  # type: ignore[attr-defined]  # what is not streaming has content
            closer.complete = True
        if capture.durable:
            capture.secure(last=closer.complete or capture.opaque)
        response._resource_closers.append(closer)  # type: ignore[attr-defined]  # noqa: SLF001  # as Django closes uploads
    except Exception:
        report_internal_error("django.response")
        _finish(capture)


def _tap_stream(request: HttpRequest, response: Any, capture: Capture) -> None:
    if getattr(response, "file_to_stream", None) is not None and request.META.get("wsgi.file_wrapper"):
        capture.opaque = True  # the server sends the file itself
        return
    # Set on the attribute: the property would register `close` a second time, and make a FileResponse forget its file.
    if response.is_async:
        response._iterator = _AsyncStreamTap(response._iterator, capture, response.make_bytes)  # noqa: SLF001
    else:
        inner = response._iterator  # noqa: SLF001
        chunks = pull(inner, capture, at_failure=lambda: _finish(capture), as_bytes=response.make_bytes)
        response._iterator = secured(chunks, inner, capture) if capture.durable else chunks  # noqa: SLF001


class _AsyncStreamTap:
    """As `pull`, for asynchronous iterators. No generator, because that would close the iterator a little later."""

    __slots__ = ("_capture", "_iterator", "_make_bytes")

    def __init__(self, iterator: AsyncIterator[Any], capture: Capture, make_bytes: Callable[[Any], bytes]) -> None:
        self._iterator = iterator
        self._capture = capture
        self._make_bytes = make_bytes

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        capture = self._capture
        if current.get() is not capture:
            current.set(capture)  # in this task, which does nothing else any more
        try:
            chunk = await anext(self._iterator)
        except StopAsyncIteration:
            if capture.durable:
                capture.secure(last=True)
            else:
                capture.ended()
            raise
        except BaseException as error:
            _abandon(capture, error)  # at once: Django's ASGI handler then forgets to close the response
            raise
        _sent(capture, chunk, self._make_bytes)
        if capture.durable:
            capture.secure()
        return chunk

    async def aclose(self) -> None:
        close = getattr(self._iterator, "aclose", None)
        if close is not None:
            await close()


class _Closer:
    """Finishes the capture when Django closes the response, or when a server forgot to and it is thrown away."""

    __slots__ = ("_capture", "complete")

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self.complete = False

    def __call__(self) -> None:
        capture = self._capture
        if self.complete or capture.opaque:
            capture.ended()
        _finish(capture)

    def __del__(self) -> None:
        _finish(self._capture)

    def __reduce__(self) -> tuple[type[_NoCloser], tuple[()]]:
        # A cache may pickle the response; what comes out of the cache is not this request any more.
        return _NoCloser, ()


class _NoCloser:
    """What remains of a `_Closer` in a pickled response."""

    def __call__(self) -> None:
        """Do nothing."""


def _sent(capture: Capture, chunk: Any, make_bytes: Callable[[Any], bytes]) -> None:
    try:
        # What is not bytes yet becomes so by the response's charset; Django streams anything that has a `str`.
        capture.sent(chunk if chunk.__class__ is bytes else make_bytes(chunk))
    except Exception:
        report_internal_error("django.stream")


def _abandon(capture: Capture, error: BaseException) -> None:
    capture.failed(error)
    _finish(capture)


def _finish(capture: Capture) -> None:
    try:
        capture.finish()
    except Exception:
        report_internal_error("django.finish")
