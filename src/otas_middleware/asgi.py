"""Starlette, FastAPI, Litestar, Quart and any other ASGI application.

```python
from otas_middleware.asgi import OtasMiddleware

app.add_middleware(OtasMiddleware)      # Starlette, FastAPI
app = OtasMiddleware(app)               # any ASGI application
```

Only what the application receives and sends is noted as it passes; no message is read, held back or changed, and no
event loop is assumed (ASGI specification 3.0).
"""

from __future__ import annotations

from functools import partial
from inspect import isclass, isroutine
from traceback import walk_tb
from typing import TYPE_CHECKING, Any, overload

from otas_middleware._capture.context import current
from otas_middleware._capture.frameworks import framework_of
from otas_middleware._capture.session import TOKEN_HEADER_BYTES
from otas_middleware._internal_errors import report_internal_error
from otas_middleware._recorder import MARKER, open_recorder

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable
    from types import CodeType
    from typing import Unpack

    from otas_middleware._capture.asgi_types import ASGIApp, Message, Receive, Scope, Send
    from otas_middleware._capture.capture import Capture
    from otas_middleware._config.options import SettingOptions
    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._recorder import Recorder

__all__ = ["OtasMiddleware"]


class OtasMiddleware:
    """Records the requests of AI agents to an ASGI application.

    Args:
        app: The application to wrap.
        settings: Complete settings; when left out they come from `options` and the environment.
        **options: Settings by field name, such as `max_body_bytes=4096`.

    Raises:
        ConfigurationError: A setting is unknown or cannot be used.
    """

    # Two signatures: else mypy takes `app` for one of the options in `add_middleware(OtasMiddleware, ...)`.
    @overload
    def __init__(
        self, app: ASGIApp, /, *, settings: OtasSettings | None = None, **options: Unpack[SettingOptions]
    ) -> None: ...
    @overload
    def __init__(
        self, *, app: ASGIApp, settings: OtasSettings | None = None, **options: Unpack[SettingOptions]
    ) -> None: ...
    def __init__(
        self, app: ASGIApp, *, settings: OtasSettings | None = None, **options: Unpack[SettingOptions]
    ) -> None:
        self.app = app
        self._recorder = open_recorder(options, settings=settings)
        self._framework = framework_of(app, "asgi")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Hand the connection on; record it when it is an HTTP request with a session token."""
        recorder = self._recorder
        if recorder is not None:
            kind = scope["type"]
            if kind == "http":
                headers: Iterable[tuple[bytes, bytes]] = scope.get("headers", ())
                if headers.__class__ is not list and headers.__class__ is not tuple:
                    headers = scope["headers"] = list(headers)  # any iterable is legal, and may be read only once
                for name, value in headers:
                    if name == TOKEN_HEADER_BYTES:
                        recording = _begin(recorder, self._framework, scope, value, receive, send)
                        if recording is not None:
                            await recording.run(self.app)
                            return
                        break
            elif kind == "lifespan":
                send = _end_at_shutdown(send)
        await self.app(scope, receive, send)


class _Recording:
    """One request's pass through the application; holds its state and the channels that the application gets."""

    __slots__ = ("_last", "_receive", "_send", "capture", "flowing", "scope")

    def __init__(self, capture: Capture, scope: Scope, receive: Receive, send: Send) -> None:
        self.capture = capture
        self.scope = scope
        self._receive = receive
        self._send = send
        self.flowing = False
        """The response's first bytes have gone out, and what follows needs to be counted only."""
        self._last = False
        """The message that completes the response is on its way: a disconnect is now the connection's normal end."""

    async def run(self, app: ASGIApp) -> None:
        capture = self.capture
        reset_token = current.set(capture)
        try:
            await app(self.scope, self.receive, _sender(self, self._send))
        except BaseException as error:
            self._failed(error)
            raise
        finally:
            self._finish()
            try:
                current.reset(reset_token)
            except ValueError:  # the application was resumed in another context, where the variable is not ours
                current.set(None)

    async def receive(self) -> Message:
        message = await self._receive()
        try:
            kind = message["type"]
            if kind == "http.request":
                body = message.get("body")
                if body:
                    self.capture.request.add(body)
            elif kind == "http.disconnect" and not self._last:
                self.capture.disconnected = True
                self.flowing = False
        except Exception:
            report_internal_error("asgi.receive")
        return message

    async def send_noting(self, message: Message) -> None:
        chunk: bytes | None = None
        try:
            kind = message["type"]
            if kind == "http.response.body":
                chunk = message.get("body")
                self._last = not message.get("more_body", False)
            elif kind == "http.response.start":
                message = self._start(message)
            elif kind in {"http.response.pathsend", "http.response.zerocopysend"}:
                self.capture.opaque = True
                self._last = not message.get("more_body", False)
            if self.capture.durable:
                self._secure(chunk)
        except Exception:
            report_internal_error("asgi.send")
        try:
            await self._send(message)
        except OSError:
            self.capture.disconnected = True
            raise
        try:
            capture = self.capture
            if chunk and not (capture.disconnected or capture.durable):
                capture.sent(chunk)
                self.flowing = _code(self._send) is not None
            if self._last and not capture.finished:
                if not capture.disconnected:  # else the client never got to the end that the application made
                    capture.ended()
                self._finish()
        except Exception:
            report_internal_error("asgi.sent")

    def _secure(self, chunk: bytes | None) -> None:
        """Finish before the message goes out that lets the client see the response complete."""
        capture = self.capture
        if capture.finished or capture.disconnected:
            return
        if chunk:
            capture.sent(chunk)
        if self._last or capture.whole:
            capture.ended()
            self._finish()

    def _failed(self, error: BaseException) -> None:
        try:
            capture = self.capture
            if not capture.finished:
                capture.disconnected = capture.disconnected or (self.flowing and _came_from(self._send, error))
                capture.failed(error)
        except Exception:
            report_internal_error("asgi.failed")

    def _start(self, message: Message) -> Message:
        headers: Iterable[tuple[bytes, bytes]] = message.get("headers", ())
        if headers.__class__ is not list and headers.__class__ is not tuple:
            # Any iterable is legal; one that can be read only once must still reach the server whole.
            headers = list(headers)
            message = {**message, "headers": headers}
        # A copy: outer middlewares add to the application's own list.
        self.capture.started(message["status"], list(headers))
        return message

    def _finish(self) -> None:
        capture = self.capture
        if capture.finished:
            return
        try:
            scope = self.scope
            capture.route = _route(scope)
            capture.path_params = scope.get("path_params")
            capture.finish()
        except Exception:
            report_internal_error("asgi.finish")


def _sender(recording: _Recording, send: Send) -> Send:
    """Return the `send` that the application gets. Of a stream's many chunks it makes no coroutine of its own."""
    body = recording.capture.response
    keep = body.parts.append

    def send_counting(message: Message) -> Awaitable[None]:
        chunk: Any
        if recording.flowing:
            try:
                more, chunk = message["more_body"], message["body"]
            except KeyError:
                more = chunk = None
            if more and chunk.__class__ is bytes:
                left = body.left = body.left - len(chunk)
                if left >= 0:
                    if chunk:
                        keep(chunk)
                elif body.whole:
                    body.cut(chunk)
                return send(message)
        return recording.send_noting(message)

    return send_counting


def _code(send: Send) -> CodeType | None:
    code: CodeType | None = getattr(send, "__code__", None)
    return code


def _came_from(send: Send, error: BaseException) -> bool:
    """Say whether an error was raised by the server's `send`: it could not reach the client any more."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and any(frame.f_code is _code(send) for frame, _ in walk_tb(cause.__traceback__)):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _begin(
    recorder: Recorder, framework: str, scope: Scope, token: bytes, receive: Receive, send: Send
) -> _Recording | None:
    try:
        if MARKER in scope:
            return None
        capture = recorder.begin(
            token,
            framework_of(scope.get("app"), framework),
            scope.get("method", ""),
            _full_path(scope),
            scope.get("query_string", b""),
            scope["headers"],
        )
        if capture is None:
            return None
        scope[MARKER] = capture
        return _Recording(capture, scope, receive, send)
    except Exception:
        report_internal_error("asgi.begin")
        return None


def _full_path(scope: Scope) -> str:
    """Return the path as the client called it: `path` includes `root_path`, but older servers left it out."""
    path: str = scope.get("path", "")
    root: str = (scope.get("root_path") or "").rstrip("/")
    if root and path != root and not path.startswith(root + "/"):
        return root + path
    return path


def _route(scope: Scope) -> str | None:
    """Return the innermost route's template as its framework spells it: None if none matched, `""` if unknown."""
    template = scope.get("path_template")  # Litestar
    if isinstance(template, str):
        return template
    route = scope.get("route")
    if route is not None:
        path = getattr(route, "path", None)
        # What has routes is a mount: which one of the mounted application matched, it does not say.
        return path if isinstance(path, str) and not hasattr(route, "routes") else None
    # Older Starlette names the endpoint only; the template then follows from the path and its parameters.
    endpoint = scope.get("endpoint")
    if endpoint is None:
        return None
    return "" if isroutine(endpoint) or isclass(endpoint) or isinstance(endpoint, partial) else None


def _end_at_shutdown(send: Send) -> Send:
    async def send_after_the_end(message: Message) -> None:
        if message["type"] in {"lifespan.shutdown.complete", "lifespan.shutdown.failed"}:
            try:
                from otas_middleware._delivery import process  # noqa: PLC0415  # heavy, for those who record

                # Not a flush only: uvicorn then raises its signal again, and Python ends without `atexit`.
                # Blocks the loop on purpose: no request is served any more, and no event loop may be assumed.
                process.end()
            except Exception:
                report_internal_error("asgi.lifespan")
        await send(message)

    return send_after_the_end
