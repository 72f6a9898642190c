"""Any WSGI application (PEP 3333).

```python
from otas_middleware.wsgi import OtasMiddleware

application = OtasMiddleware(application)
```
"""

from __future__ import annotations

import sys
from inspect import iscoroutinefunction
from operator import itemgetter
from typing import TYPE_CHECKING, Any, cast

from otas_middleware._capture.context import MARKER, current, mark
from otas_middleware._capture.session import TOKEN_ENVIRON_KEY
from otas_middleware._capture.wsgi_streams import note_sent, tap_environ, tap_response
from otas_middleware._errors import ConfigurationError, report_internal_error
from otas_middleware._recorder import framework_of, open_recorder
from otas_middleware._runtime import BoundedDict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Unpack
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from otas_middleware._capture import Capture, Headers, HeadWaitsFor
    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._config.types import SettingOptions
    from otas_middleware._recorder import Recorder

__all__ = ["OtasMiddleware"]


class Wrapper:
    """A WSGI application whose requests are recorded.

    Args:
        app: The application.
        recorder: Records; None leaves all requests as they are.
        framework: The adapter's name for what it wraps.
        exchange: What takes a recorded request through the application.

    Attributes:
        reached: A request has come through here.
    """

    def __init__(
        self, app: WSGIApplication, recorder: Recorder | None, framework: str, exchange: type[Exchange]
    ) -> None:
        self.app = app
        self.reached = False
        self._recorder = recorder
        self._framework = framework
        self._exchange = exchange

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Hand the request on; record it when it carries a session token."""
        self.reached = True
        if self._recorder is not None and TOKEN_ENVIRON_KEY in environ:
            capture = begin(self._recorder, environ, self._framework)
            if capture is not None:
                return self._exchange(capture, environ, start_response).run(self.app)
        return self.app(environ, start_response)


class OtasMiddleware(Wrapper):
    """Records the requests of AI agents to a WSGI application.

    Args:
        app: The application to wrap.
        settings: Complete settings; when left out they come from `options` and the environment.
        **options: Settings by field name, such as `max_body_bytes=4096`.

    Raises:
        ConfigurationError: A setting is unknown or cannot be used, or it is an ASGI application.
    """

    def __init__(
        self, app: WSGIApplication, /, *, settings: OtasSettings | None = None, **options: Unpack[SettingOptions]
    ) -> None:
        if iscoroutinefunction(app) or iscoroutinefunction(type(app).__call__):
            what = "an ASGI application; import OtasMiddleware from otas_middleware.asgi"
            raise ConfigurationError(f"otas_middleware: {type(app).__qualname__} is {what}.")
        super().__init__(app, open_recorder(options, settings=settings), framework_of(app, "wsgi"), Exchange)


def begin(
    recorder: Recorder,
    environ: WSGIEnvironment,
    framework: str,
    path: str | None = None,
    headers: Headers | None = None,
) -> Capture | None:
    """Start the capture of a request from its environ, or return None when it is not to be recorded.

    Args:
        recorder: The recorder of the adapter.
        environ: The request's environ; it gets the marker.
        framework: The adapter's name for the framework.
        path: The full path, where the framework knows it better than the environ.
        headers: The request's headers, where they are known from elsewhere.
    """
    try:
        token = environ[TOKEN_ENVIRON_KEY]
        method = environ.get("REQUEST_METHOD", "")
        if path is None:
            path = full_path(environ)
        outer = current.get()
        if MARKER in environ or (outer is not None and _is_the_same(outer, token, method, path)):
            return None
        if headers is None:
            headers = request_headers(environ)
        capture = recorder.begin(token, framework, method, path, environ.get("QUERY_STRING", ""), headers)
        if capture is None:
            return None
        capture.head_waits_for = _head_waits_for(environ)
        capture.ends_early = not environ.keys().isdisjoint(_CLOSES_NOTHING)
        mark(environ, capture)
    except Exception:
        report_internal_error(f"{framework}.begin")
        return None
    return capture


_HEAD_WAITS_FOR: dict[str, HeadWaitsFor] = {
    "gunicorn": "chunk",
    "Werkzeug": "chunk",
    "WSGIServer": "chunk",  # wsgiref, and Django's development server
    "Granian": "result",
    "Cheroot": "result",
}
"""What PEP 3333 leaves to the first byte of a body (`byte`) these servers send earlier; `tests/servers` asks them."""


def _head_waits_for(environ: WSGIEnvironment) -> HeadWaitsFor:
    """Return when the server sends what `start_response` was called with."""
    software = environ.get("SERVER_SOFTWARE")
    if software is not None:
        return _HEAD_WAITS_FOR.get(software.partition("/")[0], "byte")
    if "uwsgi.version" in environ or "asgi.scope" in environ:  # uWSGI, a2wsgi
        return "nothing"
    # bjoern and Twisted keep to PEP 3333; pyvoy, hypercorn and asgiref's bridge send with any first chunk.
    return "byte" if "wsgi.file_wrapper" in environ or "twisted.web.wsgi" in sys.modules else "chunk"


_CLOSES_NOTHING = frozenset({"serverless.event", "awsgi.event"})
"""In the environs of serverless-wsgi and aws-wsgi, which leave responses open."""


def _is_the_same(outer: Capture, token: str, method: str, path: str) -> bool:
    """Say whether this very request is being recorded by an ASGI adapter around a WSGI-in-ASGI bridge."""
    return not outer.finished and (outer.method, outer.path, outer.session.token) == (method, path, token)


def full_path(environ: WSGIEnvironment) -> str:
    """Return `SCRIPT_NAME` and `PATH_INFO` together, decoded from the bytes that PEP 3333 stores as Latin-1."""
    raw: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    if raw.isascii():
        return raw or "/"
    try:
        return raw.encode("latin-1").decode("utf-8", "replace")
    except UnicodeEncodeError:  # a server that decoded the path already
        return raw


_MAX_KEYS = 128
_LONGEST_KEY = 100

_plans: BoundedDict[tuple[str, ...], tuple[list[str], Callable[[WSGIEnvironment], tuple[str, ...]]]] = BoundedDict(256)
"""Keys of whole environs to the names of their headers, such as `USER-AGENT`, and to what gets their values."""


def request_headers(environ: WSGIEnvironment) -> list[tuple[str, str]]:
    """Return the request's headers, their names made from those in the environ, such as `USER-AGENT`."""
    keys = tuple(environ)
    plan = _plans.get(keys)
    if plan is None:
        named = [key for key in keys if key.startswith("HTTP_")]
        # Of a single key it would get no tuple; what is too many is never looked at.
        plan = [key[5:].replace("_", "-") for key in named], itemgetter(*named, *keys[:1], *keys[:1])
        if len(keys) <= _MAX_KEYS and len(max(keys, key=len)) <= _LONGEST_KEY:
            _plans[keys] = plan
    names, values = plan
    headers = list(zip(names, values(environ), strict=False))
    # Servers may leave the keys of these two in the environ of a request without them, with an empty value (PEP 3333).
    if kind := environ.get("CONTENT_TYPE"):
        headers.append(("CONTENT-TYPE", kind))
    if length := environ.get("CONTENT_LENGTH"):
        headers.append(("CONTENT-LENGTH", length))
    return headers


def _is_starlettes(start_response: StartResponse) -> bool:
    """Say whether this is the one of Starlette's bridge, whose environ names no server."""
    bridge = sys.modules.get("starlette.middleware.wsgi")
    return bridge is not None and isinstance(getattr(start_response, "__self__", None), bridge.WSGIResponder)


class Exchange:
    """One recorded request's pass through the application; holds its state.

    Args:
        capture: The request's capture.
        environ: The request's environ.
        start_response: The server's.
    """

    __slots__ = ("_start_response", "_write", "capture", "environ")

    def __init__(self, capture: Capture, environ: WSGIEnvironment, start_response: StartResponse) -> None:
        self.capture = capture
        self.environ = environ
        self._start_response = start_response
        if _is_starlettes(start_response):
            capture.head_waits_for = "nothing"

    def run(self, app: WSGIApplication) -> Iterable[bytes]:
        """Call the application, with the capture current and all channels tapped."""
        capture = self.capture
        tap_environ(self.environ, capture)
        outer = current.get()
        try:
            current.set(capture)
            result = app(self.environ, self.start_response)
        except BaseException as error:
            if isinstance(error, StopIteration | ConnectionError) and self._was_upgraded():
                capture.close()
            else:
                capture.broke_off(error)
                self.finish()
            raise
        finally:
            current.set(outer)
        try:
            if self._was_upgraded() and not result:
                capture.close()
                return result
            # PEP 3333 forbids a bare `bytes` object, whose items are no bytestrings; servers accept it all the same.
            return cast("Iterable[bytes]", self.tap(result))
        except Exception:
            report_internal_error("wsgi.response")
            return result

    def _was_upgraded(self) -> bool:
        """Say whether a WebSocket may have had the connection, which is not recorded: no response began.

        Its libraries tell gunicorn by a `StopIteration`, Werkzeug by a `ConnectionError`, gevent-websocket by nothing.
        """
        return not self.capture.status_code and self.environ.get("HTTP_UPGRADE", "").lower() == "websocket"

    def tap(self, result: Iterable[bytes]) -> Iterable[bytes] | bytes | None:
        """Return what the server is to get for the application's response."""
        return tap_response(result, self.environ, self.capture, self.finish)

    def start_response(self, *args: Any, **named: Any) -> Callable[[bytes], object]:
        # With what it was called: servers and test clients may accept two arguments only, or one by its name.
        self._write = self._start_response(*args, **named)  # raises when it is too late for another response
        try:
            self.note_start(*args, **named)
        except Exception:
            report_internal_error("wsgi.start_response")
        return self.write

    def note_start(self, status: str, headers: Any, exc_info: Any = None) -> None:
        """Note what the application gave to `start_response`.

        Args:
            status: Such as `200 OK`.
            headers: The application's own list.
            exc_info: As of `sys.exc_info`, when an exception led to this response.
        """
        if exc_info and exc_info[1] is not None:
            self.capture.failed(exc_info[1])
        # These bridges have sent the first start when they are called again, and say nothing.
        if self.capture.status_code and ("asgi.scope" in self.environ or _is_starlettes(self._start_response)):
            return
        code, _, reason = status.partition(" ")
        # A copy, because applications and servers go on changing theirs; what is no list may be readable only once.
        self.started(int(code), cast("Headers", headers[:]) if isinstance(headers, list) else (), reason)

    def started(self, status_code: int, headers: Headers, reason: str) -> None:
        """Note the response's status and headers."""
        self.capture.started(status_code, headers, reason)

    def write(self, data: bytes) -> object:
        """Do what the server's `write` does, and note it."""
        capture = self.capture
        if not capture.durable:
            try:
                result = self._write(data)
            except OSError:
                capture.disconnected = True
                raise
            note_sent(capture, data)
            return result
        note_sent(capture, data)
        capture.secure()
        return self._write(data)

    def finish(self) -> None:
        """Hand the capture on, once."""
        try:
            self.capture.finish()
        except Exception:
            report_internal_error("wsgi.finish")
