"""Enforces the ASGI specification on both sides of an application: message order, types and extensions.

ASGI 3.0 with version 2.5 of the HTTP and WebSocket message formats. Put one outside of a middleware, and it checks
what the middleware sends to the server; put one inside, and it checks what the middleware gives to the application.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otas_middleware._capture.asgi_scope import ASGIApp, Message, Receive, Scope, Send

EXTENSION_MESSAGES = {
    "http.response.push": "http.response.push",
    "http.response.early_hint": "http.response.early_hint",
    "http.response.pathsend": "http.response.pathsend",
    "http.response.zerocopysend": "http.response.zerocopysend",
    "http.response.trailers": "http.response.trailers",
    "http.response.debug": "http.response.debug",
}
"""Message types that are legal only where the scope offers the extension."""


class AsgiLintError(AssertionError):
    """The specification was broken."""


def check(condition: object, text: str) -> None:
    """Raise unless the condition holds."""
    if not condition:
        raise AsgiLintError(text)


class AsgiLint:
    """An ASGI application that checks another one and its server.

    Args:
        app: The application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        check_scope(scope)
        conversation = _Conversation(scope, receive, send)
        await self.app(scope, conversation.receive, conversation.send)


class _Conversation:
    """One HTTP request's messages; knows which may come next."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._extensions: Mapping[str, Any] = scope.get("extensions") or {}
        self._request_ended = False
        self._disconnected = False
        self._started = False
        self._body_ended = False
        self._trailers = False

    async def receive(self) -> Message:
        message = await self._receive()
        kind = _kind(message)
        check(kind in {"http.request", "http.disconnect"}, f"an HTTP application received {kind!r}")
        if kind == "http.request":
            check(not self._disconnected, "a piece of the body came after the disconnect")
            check(not self._request_ended, "a piece of the body came after the last one")
            _check_body(message)
            self._request_ended = not message.get("more_body", False)
        else:
            self._disconnected = True
        return message

    async def send(self, message: Message) -> None:
        kind = _kind(message)
        extension = EXTENSION_MESSAGES.get(kind)
        if extension is not None:
            check(extension in self._extensions, f"{kind!r} was sent, but the server does not offer it")
        if kind == "http.response.start":
            self._start(message)
        elif kind == "http.response.body":
            self._may_send_body(kind)
            _check_body(message)
            self._body_ended = not message.get("more_body", False)
        elif kind in {"http.response.pathsend", "http.response.zerocopysend"}:
            self._may_send_body(kind)
            self._body_ended = kind == "http.response.pathsend" or not message.get("more_body", False)
        elif kind == "http.response.trailers":
            check(self._trailers, "trailers were sent, but not announced")
            check(self._body_ended, "trailers were sent before the end of the body")
            _check_headers(message.get("headers", ()))
            self._trailers = message.get("more_trailers", False)
        else:
            check(extension is not None, f"an HTTP application sent {kind!r}")
            check(not self._body_ended, f"{kind!r} was sent after the end of the response")
        await self._send(message)

    def _start(self, message: Message) -> None:
        check(not self._started, "a response was started twice")
        self._started = True
        status = message.get("status")
        check(type(status) is int and 100 <= status <= 999, f"the status is {status!r}")
        _check_headers(message.get("headers", ()))
        check(isinstance(message.get("trailers", False), bool), "trailers is not a bool")
        self._trailers = message.get("trailers", False)

    def _may_send_body(self, kind: str) -> None:
        check(self._started, f"{kind!r} was sent before the start of the response")
        check(not self._body_ended, f"{kind!r} was sent after the end of the response")


def check_scope(scope: Scope) -> None:
    """Check an HTTP scope: required keys, and the types of all.

    Raises:
        AsgiLintError: It is not as the specification says.
    """
    check(isinstance(scope.get("asgi"), dict) and isinstance(scope["asgi"].get("version"), str), "asgi is missing")
    for key in ("http_version", "method", "path"):
        check(isinstance(scope.get(key), str), f"{key} is {scope.get(key)!r}")
    check(scope["method"] == scope["method"].upper(), "the method is not in capitals")
    check(isinstance(scope.get("query_string"), bytes), "query_string is not bytes")
    for key in ("scheme", "root_path"):
        check(isinstance(scope.get(key, ""), str), f"{key} is {scope.get(key)!r}")
    check(isinstance(scope.get("raw_path"), bytes | None), "raw_path is not bytes")
    _check_headers(scope["headers"], lower=True)
    for key in ("client", "server"):
        address = scope.get(key)
        check(address is None or len(address) == 2, f"{key} is {address!r}")
    check(isinstance(scope.get("extensions"), dict | None), "extensions is not a dict")
    check(isinstance(scope.get("state"), dict | None), "state is not a dict")


def _kind(message: Message) -> str:
    kind: Any = message.get("type")
    check(isinstance(kind, str), f"the message's type is {kind!r}")
    return str(kind)


def _check_body(message: Message) -> None:
    check(isinstance(message.get("body", b""), bytes | bytearray | memoryview), "the body is not bytes")
    check(isinstance(message.get("more_body", False), bool), "more_body is not a bool")


def _check_headers(headers: Any, *, lower: bool = False) -> None:
    for pair in headers:
        check(len(pair) == 2 and isinstance(pair[0], bytes) and isinstance(pair[1], bytes), f"{pair!r} is no header")
        check(pair[0] and not pair[0].startswith(b":"), f"the header's name is {pair[0]!r}")
        check(not lower or pair[0] == pair[0].lower(), f"the request header {pair[0]!r} is not in lower case")
