"""Any WSGI application (PEP 3333).

```python
from otas_middleware.wsgi import OtasMiddleware

application = OtasMiddleware(application)
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from otas_middleware._context import current
from otas_middleware._guard import swallow
from otas_middleware._recorder import MARKER, open_recorder
from otas_middleware._session import TOKEN_ENVIRON_KEY
from otas_middleware._streams import InputTap, tap_response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from otas_middleware._capture import Capture
    from otas_middleware._recorder import Recorder
    from otas_middleware._settings import OtasSettings

__all__ = ["OtasMiddleware"]


class OtasMiddleware:
    """Records the requests of AI agents to a WSGI application.

    Args:
        app: The application to wrap.
        settings: Complete settings; when left out they come from `options` and the environment.
        **options: Settings by field name, such as `max_body_bytes=4096`.

    Raises:
        ConfigurationError: A setting is unknown or cannot be used.
    """

    def __init__(self, app: WSGIApplication, /, *, settings: OtasSettings | None = None, **options: Any) -> None:
        self.app = app
        self._recorder = open_recorder(options, settings=settings)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Hand the request on; record it when it carries a session token."""
        if self._recorder is not None and TOKEN_ENVIRON_KEY in environ:
            capture = begin(self._recorder, environ, "wsgi")
            if capture is not None:
                return _record(self.app, environ, start_response, capture)
        return self.app(environ, start_response)


def begin(recorder: Recorder, environ: WSGIEnvironment, framework: str, path: str | None = None) -> Capture | None:
    """Start the capture of a request from its environ, or return None when it is not to be recorded.

    Args:
        recorder: The recorder of the adapter.
        environ: The request's environ; it gets the marker.
        framework: The adapter's name for the framework.
        path: The full path, where the framework knows it better than the environ.
    """
    try:
        if MARKER in environ:
            return None
        capture = recorder.begin(
            environ[TOKEN_ENVIRON_KEY],
            framework,
            environ.get("REQUEST_METHOD", ""),
            full_path(environ) if path is None else path,
            environ.get("QUERY_STRING", ""),
            request_headers(environ),
        )
        if capture is None:
            return None
        environ[MARKER] = capture
    except Exception:
        swallow(f"{framework}.begin")
        return None
    return capture


def full_path(environ: WSGIEnvironment) -> str:
    """Return `SCRIPT_NAME` and `PATH_INFO` together, decoded from the bytes that PEP 3333 stores as Latin-1."""
    raw: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    if raw.isascii():
        return raw or "/"
    try:
        return raw.encode("latin-1").decode("utf-8", "replace")
    except UnicodeEncodeError:  # a server that decoded the path already
        return raw


def request_headers(environ: WSGIEnvironment) -> list[tuple[str, str]]:
    """Return the request's headers, their names made from those in the environ, such as `USER-AGENT`."""
    headers = [(name[5:].replace("_", "-"), value) for name, value in environ.items() if name.startswith("HTTP_")]
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        value = environ.get(name)
        if value:
            headers.append((name.replace("_", "-"), value))
    return headers


def _record(
    app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse, capture: Capture
) -> Iterable[bytes]:
    previous = current.get()

    def finish() -> None:
        try:
            capture.finish()
        except Exception:
            swallow("wsgi.finish")
        if current.get() is capture:
            current.set(previous)

    stream = environ.get("wsgi.input")
    if stream is not None:
        environ["wsgi.input"] = InputTap(stream, capture.request.add)
    current.set(capture)
    try:
        result = app(environ, _recording_start(start_response, capture))
    except BaseException as error:
        capture.failed(error)
        finish()
        raise
    try:
        # PEP 3333 forbids a bare `bytes` object, whose items are no bytestrings; servers accept it all the same.
        return cast("Iterable[bytes]", tap_response(result, environ, capture, finish))
    except Exception:
        swallow("wsgi.response")
        return result


def _recording_start(start_response: StartResponse, capture: Capture) -> StartResponse:
    def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], object]:
        try:
            if exc_info and exc_info[0]:
                capture.failed(exc_info[0][1])
            code, _, reason = status.partition(" ")
            capture.started(int(code), list(headers), reason)
        except Exception:
            swallow("wsgi.start_response")
        # Servers and test clients may accept two arguments only, so a third is passed when it was given.
        write = start_response(status, headers, *exc_info)

        def recording_write(data: bytes) -> object:
            result = write(data)
            try:
                capture.sent(data)
            except Exception:
                swallow("wsgi.write")
            return result

        return recording_write

    return start
