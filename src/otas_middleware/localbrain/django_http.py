"""Requests as Django reads them, and answers as Brain gives them: JSON, and HTML for what goes wrong around a view.

The real pages were measured in Django's debug mode, where the page of an unhandled failure shows the local variables of
the view, the SDK key and the session token among them. Ours shows them too: a client that logs or stores such a page is
to be caught here, and not in production.

`Endpoint` is what all endpoints have in common: one method, one handler, and the faults of their service.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import json
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, Response

from otas_middleware.localbrain.checks import InvalidJsonError, UncaughtError, read_json
from otas_middleware.localbrain.faults import Mode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from starlette.types import Receive, Scope, Send

    from otas_middleware.localbrain.faults import Fault, Faults, Service


class DjangoJSON(Response):
    """JSON in the form of Django's `JsonResponse`; like it, it writes NaN and Infinity as they are."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Encode an answer."""
        return json.dumps(content).encode()


def ok(description: str, response: Mapping[str, object], status: int = 200) -> Response:
    """Answer a success with its `status_description`."""
    return DjangoJSON({"status": 1, "status_description": description, "response": response}, status)


def refusal(status: int, description: str, **more: object) -> Response:
    """Answer a failure with its `status_description`."""
    return DjangoJSON({"status": 0, "status_description": description, **more}, status)


class RefusedError(Exception):
    """A request is refused, with the answer that says so; raised by handlers, sent by their endpoint."""

    def __init__(self, answer: Response) -> None:
        super().__init__(answer.status_code)
        self.answer = answer


def refused(status: int, description: str, **more: object) -> RefusedError:
    """Make the error that refuses a request with a `status_description`."""
    return RefusedError(refusal(status, description, **more))


def page(status: int, title: str, shown: Mapping[str, str] | None = None) -> Response:
    """Answer with an HTML page.

    Args:
        status: The HTTP status.
        title: What went wrong.
        shown: Variables that the page displays, as a debug page does.
    """
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td><pre>&#x27;{html.escape(value)}&#x27;</pre></td></tr>"
        for name, value in (shown or {}).items()
    )
    table = f"<h2>Local vars</h2><table class=vars><tbody>{rows}</tbody></table>" if rows else ""
    text = (
        "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8>"
        f"<title>{html.escape(title)}</title></head><body><h1>{html.escape(title)}</h1>{table}</body></html>\n"
    )
    return HTMLResponse(text, status)


def wrong_method(allowed: Sequence[str]) -> Response:
    """Answer 405 as Django does: an empty page that names the methods that are allowed."""
    return HTMLResponse(b"", 405, {"allow": ", ".join(allowed)})


def options(allowed: Sequence[str]) -> Response:
    """Answer OPTIONS as Django does."""
    return HTMLResponse(b"", 200, {"allow": ", ".join(allowed)})


NO_SLASH = page(500, "RuntimeError: You called this URL via POST, but the URL doesn't end in a slash.")
NOT_FOUND = page(404, "Page not found (404)")
BAD_HOST = page(400, "Bad Request (400): this Brain answers only to localhost, 127.0.0.1 and [::1]")
CSRF_FAILED = page(403, "403 Forbidden: CSRF verification failed. Request aborted.")
TOO_MANY_HEADERS = page(431, "Request Header Fields Too Large")


MAX_BODY_BYTES = 2_621_440
"""The largest body that Django takes into memory (`DATA_UPLOAD_MAX_MEMORY_SIZE`)."""

_SHOWN = {"sdk_key": b"x-otas-sdk-key", "agent_key": b"x-otas-agent-key", "token": b"x-otas-agent-session-token"}


class Incoming:
    """A request that was read to its end.

    Attributes:
        method: In capitals, as it came.
        body: What Django would read: nothing when no length was declared (a chunked body, for one).
        is_too_large: Whether the body has more bytes than Django takes; `body` is empty then.
        outage: Whether UASAM is to be taken for down.
    """

    __slots__ = ("_headers", "_query_string", "body", "is_too_large", "method", "outage")

    def __init__(self, scope: Scope, body: bytes, *, is_too_large: bool = False) -> None:
        pairs: list[tuple[bytes, bytes]] = scope["headers"]
        self.method: str = scope["method"]
        self._headers = dict(pairs)
        if len(self._headers) != len(pairs):  # WSGI servers join headers of one name
            self._headers = {name: b",".join(v for n, v in pairs if n == name) for name in self._headers}
        self._query_string: bytes = scope["query_string"]
        self.body = body if b"content-length" in self._headers else b""
        self.is_too_large = is_too_large
        self.outage = False

    def header(self, name: bytes) -> str | None:
        """Return the value of a header, named in lower case, without blanks around it; None when there is none."""
        value = self._headers.get(name, b"").strip(b" \t")
        return value.decode("latin-1") if value else None

    def parameter(self, name: str) -> str | None:
        """Return the last value of a query parameter; None when it is absent or empty."""
        return self.raw_parameter(name) or None

    def raw_parameter(self, name: str) -> str | None:
        """Return the last value of a query parameter, also an empty one; None when it is absent."""
        return dict(parse_qsl(self._query_string.decode("latin-1"), keep_blank_values=True)).get(name)

    def json(self) -> Any:
        """Parse the body.

        Raises:
            RefusedError: It is too large, or not JSON.
            UncaughtError: It cannot even be read.
        """
        if self.is_too_large:
            raise RefusedError(page(400, f"RequestDataTooBig: Request body exceeded {MAX_BODY_BYTES} bytes."))
        try:
            return read_json(self.body)
        except InvalidJsonError:
            raise refused(400, "invalid_json") from None

    def require_post(self) -> None:
        """Refuse every other method, for endpoints that look at the key before the method.

        Raises:
            RefusedError: 405.
        """
        if self.method != "POST":
            raise RefusedError(wrong_method(("POST", "OPTIONS")))

    def failure(self, title: str) -> Response:
        """Answer a failure that Brain does not catch: a debug page, with the request's key and token."""
        return page(500, title, self._shown)

    @property
    def is_chunked(self) -> bool:
        """Whether the body came in chunks."""
        return b"transfer-encoding" in self._headers

    @property
    def _shown(self) -> dict[str, str]:
        """What a debug page about this request displays: its keys and its token."""
        values = {name: self.header(header) for name, header in _SHOWN.items()}
        return {name: value for name, value in values.items() if value}


async def until_disconnected(receive: Receive) -> None:
    """Wait until the connection of a request has ended."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def read_request(scope: Scope, receive: Receive) -> Incoming:
    """Read a request to its end, keeping no more of the body than Brain takes.

    Raises:
        ClientDisconnect: The client went away before its end.
    """
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size <= MAX_BODY_BYTES:
            chunks.append(chunk)
        if not message.get("more_body"):
            break
    if size > MAX_BODY_BYTES:
        return Incoming(scope, b"", is_too_large=True)
    return Incoming(scope, b"".join(chunks))


_HANG_STEP = 0.02
_WITH_A_VIEW = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "TRACE")
_SAFE = {"GET", "HEAD", "OPTIONS", "TRACE"}
_GARBAGE = b"\x16\x03\x01\x00\xa5 this is not HTTP \x00\xff\r\n\r\n"
_TRUNCATED = (
    b'HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: 74\r\n\r\n{"status": 1, "status_'
)


class GoneDownError(Exception):
    """The Brain went down while it handled the request: there is no answer."""


@dataclass(eq=False)
class Endpoint:
    """An ASGI application for one path: one method, one handler, and the faults of its service.

    Attributes:
        handler: Turns a request into an answer.
        method: The one method that it answers; another is 405, and OPTIONS names it.
        key_first: Whether the handler gets requests of every known method, because it looks at the key before that.
        csrf: Whether Django's protection against forged requests refuses methods that could change something.
        service: Whose faults strike it; None is safe from them.
        faults: The Brain's faults.
        drop: Ends the connection of a request, given scope, `receive` and last words: resets it, or closes it after
            writing bytes that the client gets as they are; returns when it has ended.
    """

    handler: Callable[[Incoming], Awaitable[Response]]
    _: KW_ONLY
    faults: Faults
    drop: Callable[..., Awaitable[None]]
    method: str = "POST"
    key_first: bool = False
    csrf: bool = False
    service: Service | None = None

    def __post_init__(self) -> None:
        self._allowed = (self.method, "HEAD", "OPTIONS") if self.method == "GET" else (self.method, "OPTIONS")
        self._answered = {*self._allowed, *(_WITH_A_VIEW if self.key_first else ())} - {"OPTIONS"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["method"] not in self._answered:
            await self._unanswered(scope["method"])(scope, receive, send)
            return
        try:
            incoming = await read_request(scope, receive)
            fault = None if self.service is None else await self._delay(self.service)
            if fault is not None:
                await self._apply_fault(fault, incoming, scope, receive, send)
            elif self.service == "brain" and self.faults.fails():
                await refusal(500, "event_capture_failed")(scope, receive, send)
            else:
                await self._answer(incoming, scope, receive, send)
        except ClientDisconnect:
            return
        except GoneDownError:
            self.faults.after_event()
            await until_disconnected(receive)  # its end comes when no connection is accepted any more, and not before

    def _unanswered(self, method: str) -> Response:
        if self.csrf and method not in _SAFE:
            return CSRF_FAILED
        return options(self._allowed) if method == "OPTIONS" else wrong_method(self._allowed)

    async def _delay(self, service: Service) -> Fault | None:
        if self.faults.slow_ms > 0 and service != "uasam":
            await asyncio.sleep(self.faults.slow_ms / 1000)
        return self.faults.next(service)

    async def _answer(self, incoming: Incoming, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await self.handler(incoming)
        except RefusedError as error:
            response = error.answer
        except UncaughtError as error:
            response = incoming.failure(str(error))
        if incoming.is_chunked:
            # The real server takes the chunks for the next request, and chokes: nothing more comes of this connection.
            response = Response(response.body, response.status_code, {**response.headers, "connection": "close"})
        await response(scope, receive, send)
        if self.service == "brain":
            self.faults.after_event()

    async def _apply_fault(self, fault: Fault, incoming: Incoming, scope: Scope, receive: Receive, send: Send) -> None:
        match fault.mode:
            case Mode.HANG:
                while fault.is_within_time:  # noqa: ASYNC110  # it is lifted from other threads, or by the clock
                    await asyncio.sleep(_HANG_STEP)
                await self._answer(incoming, scope, receive, send)
            case Mode.RESET:
                await self.drop(scope, receive)
            case Mode.RESET_AFTER:
                with contextlib.suppress(RefusedError, UncaughtError):
                    await self.handler(incoming)
                await self.drop(scope, receive)
            case Mode.GARBAGE:
                await self.drop(scope, receive, _GARBAGE)
            case Mode.TRUNCATED:
                await self.drop(scope, receive, _TRUNCATED)
            case Mode.OUTAGE:
                incoming.outage = True
                await self._answer(incoming, scope, receive, send)
            case Mode.CAPTURE_FAILED:
                await refusal(500, "event_capture_failed")(scope, receive, send)
            case Mode.BUSY:
                response = page(503, "Service Unavailable")
                response.headers["retry-after"] = "1"
                await response(scope, receive, send)
            case Mode.PAGE:
                await incoming.failure("OperationalError at " + scope["path"])(scope, receive, send)
