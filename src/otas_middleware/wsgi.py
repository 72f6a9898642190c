"""Any WSGI application (PEP 3333).

```python
from otas_middleware.wsgi import OtasMiddleware

application = OtasMiddleware(application)
```
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from otas_middleware._context import current
from otas_middleware._frameworks import framework_of
from otas_middleware._guard import swallow
from otas_middleware._recorder import MARKER, open_recorder
from otas_middleware._session import TOKEN_ENVIRON_KEY
from otas_middleware._streams import tap_environ, tap_response

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from otas_middleware._capture import Capture, Headers
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
        self._framework = framework_of(app, "wsgi")

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Hand the request on; record it when it carries a session token."""
        if self._recorder is not None:
            if TOKEN_ENVIRON_KEY in environ:
                capture = begin(self._recorder, environ, self._framework)
                if capture is not None:
                    return _record(self.app, environ, start_response, capture)
            elif current.get() is not None:
                with hidden():
                    return self.app(environ, start_response)
        return self.app(environ, start_response)


@contextmanager
def hidden() -> Generator[None]:
    """Hide another request's capture, whose response is still being read in this thread, from one without a token."""
    other = current.get()
    current.set(None)
    try:
        yield
    finally:
        current.set(other)


def begin(recorder: Recorder, environ: WSGIEnvironment, framework: str, path: str | None = None) -> Capture | None:
    """Start the capture of a request from its environ, or return None when it is not to be recorded.

    Args:
        recorder: The recorder of the adapter.
        environ: The request's environ; it gets the marker.
        framework: The adapter's name for the framework.
        path: The full path, where the framework knows it better than the environ.
    """
    try:
        token = environ[TOKEN_ENVIRON_KEY]
        method = environ.get("REQUEST_METHOD", "")
        if path is None:
            path = full_path(environ)
        if MARKER in environ or _is_recorded_outside(token, method, path):
            return None
        headers = request_headers(environ)
        capture = recorder.begin(token, framework, method, path, environ.get("QUERY_STRING", ""), headers)
        if capture is None:
            return None
        environ[MARKER] = capture
    except Exception:
        swallow(f"{framework}.begin")
        return None
    return capture


def _is_recorded_outside(token: str, method: str, path: str) -> bool:
    """Say whether this very request is being recorded by an ASGI adapter around a WSGI-in-ASGI bridge."""
    outer = current.get()
    return (
        outer is not None
        and not outer.finished
        and (outer.method, outer.path, outer.session.token) == (method, path, token)
    )


def full_path(environ: WSGIEnvironment) -> str:
    """Return `SCRIPT_NAME` and `PATH_INFO` together, decoded from the bytes that PEP 3333 stores as Latin-1."""
    raw: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    if raw.isascii():
        return raw or "/"
    try:
        return raw.encode("latin-1").decode("utf-8", "replace")
    except UnicodeEncodeError:  # a server that decoded the path already
        return raw


class _HeaderNames(dict[str, str]):
    """Keys of environs to the headers that they hold, such as `HTTP_USER_AGENT` to `USER-AGENT`; `""` for no header."""

    def __missing__(self, key: str) -> str:
        if len(self) > _MAX_NAMES:
            self.clear()  # clients invent names
        name = self[key] = key[5:].replace("_", "-") if key.startswith("HTTP_") else ""
        return name


_MAX_NAMES = 4096
_header_names = _HeaderNames()


def request_headers(environ: WSGIEnvironment) -> list[tuple[str, str]]:
    """Return the request's headers, their names made from those in the environ, such as `USER-AGENT`."""
    names = _header_names
    headers = [(name, value) for key, value in environ.items() if (name := names[key])]
    for key, name in _UNPREFIXED:
        value = environ.get(key)
        if value:
            headers.append((name, value))
    return headers


_UNPREFIXED = (("CONTENT_TYPE", "CONTENT-TYPE"), ("CONTENT_LENGTH", "CONTENT-LENGTH"))


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

    tap_environ(environ, capture)
    current.set(capture)
    try:
        result = app(environ, _recording_start(start_response, capture))
    except BaseException as error:
        capture.failed(error)
        finish()
        raise
    current.set(previous)
    try:
        # PEP 3333 forbids a bare `bytes` object, whose items are no bytestrings; servers accept it all the same.
        return cast("Iterable[bytes]", tap_response(result, environ, capture, finish))
    except Exception:
        swallow("wsgi.response")
        return result


def _recording_start(start_response: StartResponse, capture: Capture) -> StartResponse:
    def start(*args: Any, **named: Any) -> Callable[[bytes], object]:
        # With what it was called: servers and test clients may accept two arguments only, or one by its name.
        write = start_response(*args, **named)  # raises when it is too late for another response
        try:
            _note_start(capture, *args, **named)
        except Exception:
            swallow("wsgi.start_response")

        def recording_write(data: bytes) -> object:
            result = write(data)
            _note_sent(capture, data)
            return result

        def securing_write(data: bytes) -> object:
            _note_sent(capture, data)
            capture.secure()
            return write(data)

        return securing_write if capture.durable else recording_write

    return start


def _note_sent(capture: Capture, data: bytes) -> None:
    try:
        capture.sent(data)
    except Exception:
        swallow("wsgi.write")


def _note_start(capture: Capture, status: str, headers: Any, exc_info: Any = None) -> None:
    if exc_info and exc_info[1] is not None:
        capture.failed(exc_info[1])
    code, _, reason = status.partition(" ")
    # A copy, because applications and servers go on changing theirs; what is no list may be readable only once.
    capture.started(int(code), cast("Headers", headers[:]) if isinstance(headers, list) else (), reason)
