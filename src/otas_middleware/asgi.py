"""Starlette, FastAPI, Litestar, Quart and any other ASGI application.

```python
from otas_middleware.asgi import OtasMiddleware

app.add_middleware(OtasMiddleware)      # Starlette, FastAPI
app = OtasMiddleware(app)               # any ASGI application
```

Only what the application receives and sends is noted as it passes; no message is read or changed, and none held back
but the last one while its event goes to disk (`durability="spool"`). No event loop is assumed (ASGI 3.0).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, overload

from otas_middleware._capture import in_thread
from otas_middleware._capture.asgi_scope import full_path, route_of
from otas_middleware._capture.context import MARKER, current, mark
from otas_middleware._capture.session import TOKEN_HEADER_BYTES
from otas_middleware._errors import ConfigurationError, OtasError, report_internal_error
from otas_middleware._recorder import framework_of, open_recorder
from otas_middleware._runtime import runtime

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Unpack

    from otas_middleware._capture import Capture
    from otas_middleware._capture.asgi_scope import ASGIApp, Message, Receive, Scope, Send
    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._config.types import SettingOptions
    from otas_middleware._recorder import Recorder

__all__ = ["OtasMiddleware"]


class OtasMiddleware:
    """Records the requests of AI agents to an ASGI application.

    Making one never raises, because frameworks make middlewares when the first message arrives, and servers take an
    exception then for an application without a lifespan. A setting that cannot be used is logged as an error; the
    lifespan's start-up then fails with the same text, and where there is no lifespan nothing is recorded.

    Args:
        app: The application to wrap.
        settings: Complete settings; when left out they come from `options` and the environment.
        **options: Settings by field name, such as `max_body_bytes=4096`.
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
        self, app: ASGIApp, *unexpected: object, settings: OtasSettings | None = None, **options: Unpack[SettingOptions]
    ) -> None:
        self.app = app
        self._recorder: Recorder | None = None
        self._framework = "asgi"
        self._failure: str | None = None
        """Why the settings cannot be used."""
        try:
            self._framework = framework_of(app, "asgi")
            self._recorder = _open_recorder(unexpected, options, settings)
        except OtasError as error:
            self._failure = str(error)
            runtime.log_once(logging.ERROR, f"{error}\nUntil this is mended, nothing is recorded.")
        except Exception:
            report_internal_error("asgi.init")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Hand the connection on; record it when it is an HTTP request with a session token."""
        recorder = self._recorder
        if recorder is not None:
            recording: _Recording | None = None
            try:
                kind = scope["type"]
                if kind == "http":
                    headers: Iterable[tuple[bytes, bytes]] = scope.get("headers", ())
                    if headers.__class__ is not list and hasattr(headers, "__next__"):
                        headers = scope["headers"] = list(headers)  # any iterable is legal, and this is read only once
                    for name, value in headers:
                        if name == TOKEN_HEADER_BYTES:
                            recording = _begin(recorder, self._framework, scope, value, receive, send)
                            break
                elif kind == "lifespan":
                    send = _end_at_shutdown(send)
            except Exception:  # a scope against the specification, with which the application may well do
                report_internal_error("asgi.scope")
            if recording is not None:
                await recording.run(self.app)
                return
        elif self._failure is not None and scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.failed", "message": self._failure})
            return
        await self.app(scope, receive, send)


def _open_recorder(
    unexpected: tuple[object, ...], options: SettingOptions, settings: OtasSettings | None
) -> Recorder | None:
    if unexpected:
        raise ConfigurationError(
            "otas_middleware: OtasMiddleware takes its settings by name, such as sdk_key=...; it got a "
            f"{type(unexpected[0]).__name__} without one."
        )
    return open_recorder(options, settings=settings)


class _Recording:
    """One request's pass through the application; holds its state and the channels that the application gets."""

    __slots__ = ("_final", "_flowing", "_last", "_outer", "_receive", "_send", "_trailers", "capture", "scope")

    def __init__(self, capture: Capture, scope: Scope, receive: Receive, send: Send) -> None:
        self.capture = capture
        self.scope = scope
        self._receive = receive
        self._send = send
        self._outer = current.get()
        """What is current around the request. It is so for the server too, which begins in `receive` and `send` what
        outlives the request: uvicorn the next one of the connection, and asyncio's reading from it."""
        self._flowing = False
        """The response's first bytes have gone out, and what follows needs to be counted only."""
        self._last = False
        """The message that completes the response is on its way: a disconnect is now the connection's normal end."""
        self._final: bytes | None = None
        """That message's piece of the body."""
        self._trailers = False  # or they follow the body, and complete the response

    async def run(self, app: ASGIApp) -> None:
        """Call the application, with the capture current and both channels tapped."""
        capture = self.capture
        current.set(capture)
        try:
            await app(self.scope, self.receive, self._sender())
        except BaseException as error:
            if not capture.finished:
                capture.failed(error)
            if capture.durable and not isinstance(error, Exception):  # a cancellation, say
                self._describe()
                in_thread.finish_without_waiting(capture)
            raise
        finally:
            if not capture.finished:
                await self._finish()
            current.set(self._outer)  # no reset, since the application may have been resumed in another context

    async def receive(self) -> Message:
        """Do what the server's `receive` does, and note it."""
        here = current.get()
        current.set(self._outer)
        try:
            message = await self._receive()
        finally:
            current.set(here)
        try:
            kind = message["type"]
            if kind == "http.request":
                body = message.get("body")
                if body:
                    self.capture.request.add(body)
            elif kind == "http.disconnect":
                if self._last:
                    # Hypercorn says so before its `send` returns, in which Starlette then cancels what streams.
                    self._sent(self._final)
                else:
                    self.capture.disconnected = True
                    self._flowing = False
        except Exception:
            report_internal_error("asgi.receive")
        return message

    def _sender(self) -> Send:
        """Return the `send` that the application gets; a function, since a stream's chunks are many."""
        send = self._send
        capture = self.capture
        body = capture.response
        keep = body.parts.append

        async def sending(message: Message) -> None:
            if self._flowing:
                chunk: Any
                try:
                    more, chunk = message["more_body"], message["body"]
                except KeyError:
                    more = chunk = None
                if more and chunk.__class__ is bytes:
                    left = body.left = body.left - len(chunk)
                    if left >= 0:
                        keep(chunk)
                    else:
                        body.cut(chunk)
                    try:
                        await send(message)
                    except OSError:  # ASGI specification: the client has gone
                        capture.disconnected, self._flowing = True, False
                        raise
                    return
            chunk = None
            try:
                message, chunk = self._note(message)
                if capture.durable:
                    await self._secure(chunk)
            except Exception:
                report_internal_error("asgi.send")
            here = current.get()
            if self._last:
                current.set(self._outer)
            try:
                await send(message)
            except OSError:
                capture.disconnected = True
                raise
            finally:
                current.set(here)
            if (chunk or self._last) and not capture.durable:
                self._sent(chunk)

        return sending

    def _note(self, message: Message) -> tuple[Message, bytes | None]:
        """Note a message before it goes out; return it, and its piece of the body."""
        kind = message["type"]
        if kind == "http.response.body":
            chunk = message.get("body")
            if not (message.get("more_body", False) or self._trailers):
                self._last, self._final = True, chunk
            return message, chunk
        if kind in {"http.response.start", "http.response.trailers"}:
            message = self._head(message)
        elif kind in {"http.response.pathsend", "http.response.zerocopysend"}:
            self.capture.opaque = True
            self._last = not (message.get("more_body", False) or self._trailers)
        return message, None

    async def _secure(self, chunk: bytes | None) -> None:
        """Finish before the message goes out that lets the client see the response complete."""
        capture = self.capture
        if capture.finished or capture.disconnected:
            return
        if chunk:
            capture.sent(chunk)
        if self._last or capture.whole:
            self._describe()
            await in_thread.secure(capture, last=True)

    def _sent(self, chunk: bytes | None) -> None:
        try:
            capture = self.capture
            if chunk and not (capture.disconnected or capture.finished):
                capture.sent(chunk)
                self._flowing = not self._last
            if self._last and not capture.finished:
                if not capture.disconnected:  # else the client never got to the end that the application made
                    capture.ended()
                self._describe()
                capture.finish()
        except Exception:
            report_internal_error("asgi.sent")

    def _head(self, message: Message) -> Message:
        """Note the head of a response, or its trailers."""
        headers: Iterable[tuple[bytes, bytes]] = message.get("headers", ())
        if headers.__class__ is not list and headers.__class__ is not tuple:
            # Any iterable is legal; one that can be read only once must still reach the server whole.
            headers = list(headers)
            message = {**message, "headers": headers}
        capture = self.capture
        if message["type"] == "http.response.trailers":
            self._last = not message.get("more_trailers", False)
            if not (capture.finished or capture.disconnected):
                fields: list[Any] = [*capture.response_headers, *headers]
                capture.response_headers = fields
        elif not (capture.status_code or capture.disconnected):  # a second start, or a late one, reaches nobody
            self._trailers = message.get("trailers", False)
            capture.started(message["status"], list(headers))  # a copy: outer middlewares add to the application's list
        return message

    async def _finish(self) -> None:
        try:
            capture = self.capture
            if capture.aborted and not capture.disconnected:  # some (Sanic) keep to themselves what broke a stream
                capture.failed(RuntimeError("the application returned before its response was complete"))
            self._describe()
            if capture.durable:
                await in_thread.finish(capture)
            else:
                capture.finish()
        except Exception:
            report_internal_error("asgi.finish")

    def _describe(self) -> None:
        """Note what the framework left in the scope, unless an adapter inside knows better."""
        capture = self.capture
        if capture.route is None:
            capture.route = route_of(self.scope)
            capture.path_params = self.scope.get("path_params")


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
            full_path(scope),
            scope.get("query_string", b""),
            list(scope["headers"]),
        )
        if capture is None:
            return None
        mark(scope, capture)
        return _Recording(capture, scope, receive, send)
    except Exception:
        report_internal_error("asgi.begin")
        return None


def _end_at_shutdown(send: Send) -> Send:
    async def send_after_the_end(message: Message) -> None:
        if message["type"] in {"lifespan.shutdown.complete", "lifespan.shutdown.failed"}:
            try:
                from otas_middleware._delivery import process  # noqa: PLC0415  # heavy, for those who record

                in_thread.wait_for_all()
                # Not a flush only: uvicorn then raises its signal again, and Python ends without `atexit`.
                # Blocks the loop on purpose: no request is served any more, and no event loop may be assumed.
                process.end()
            except Exception:
                report_internal_error("asgi.lifespan")
        await send(message)

    return send_after_the_end
