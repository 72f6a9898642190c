"""How the page's endpoints speak HTTP: who may ask, and the headers that go with every answer.

Events are untrusted input, and any web page in a browser on this machine can send requests to this server. So nothing
that is answered here runs in any other page, nothing in an event can run in this one, and no other page can change
anything (the guard before all endpoints refuses foreign `Host` names already).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from otas_middleware.localbrain.incoming import read_request
from otas_middleware.localbrain.pages import NOT_FOUND

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive, Scope, Send

    from otas_middleware.localbrain.incoming import Incoming

    Answer = Callable[[Incoming], Response]

HEADERS = {
    # Trusted Types take away every way from a text to markup or code, in our own scripts too.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}

_OWN = {None, "same-origin", "none"}  # None: not a browser, or one without the header; "none": the address bar
_LONGEST_QUERY = 16_000  # a session's id may be as long as a token, and percent-encoded


class Json(JSONResponse):
    """Valid JSON (no NaN), with the page's headers."""

    def __init__(self, content: Any, status_code: int = 200) -> None:
        super().__init__(content, status_code, HEADERS)


class BadQueryError(Exception):
    """A parameter is not what it should be; the message says which and why."""


class Reading:
    """An ASGI application that answers GET with what a function returns, or with what is always the same.

    Args:
        answer: The answer, or a function that is run in a thread, so that it may take its time.
        public: Whether another site may link to it (the document itself); data is for this page only.
    """

    def __init__(self, answer: Answer | Response, *, public: bool = False) -> None:
        self._answer = answer
        self._public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["method"] not in {"GET", "HEAD"}:
            # The document's path is one that Brain does not have.
            refusal = NOT_FOUND if self._public else _refuse(405, "only GET is answered here", allow="GET, HEAD")
            await refusal(scope, receive, send)
            return
        await respond(self._answer, scope, receive, send, self._refusal)

    def _refusal(self, incoming: Incoming) -> str | None:
        if not self._public and incoming.header(b"sec-fetch-site") not in _OWN:
            return "another site asks"
        return None


class Changing:
    """An ASGI application that answers POST with what a function returns, when our own page or a program posts JSON."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["method"] != "POST":
            await _refuse(405, "only POST is answered here", allow="POST")(scope, receive, send)
            return
        await respond(self._answer, scope, receive, send, self._refusal)

    @staticmethod
    def _refusal(incoming: Incoming) -> str | None:
        # A form cannot send JSON, and a script of another origin cannot without asking first, which is never granted.
        if (incoming.header(b"content-type") or "").partition(";")[0].strip() != "application/json":
            return "send Content-Type: application/json"
        origin = incoming.header(b"origin")
        if origin is not None and origin != f"http://{incoming.header(b'host')}":
            return "another origin asks"
        return None if incoming.header(b"sec-fetch-site") in _OWN else "another site asks"


async def respond(
    answer: Answer | Response, scope: Scope, receive: Receive, send: Send, refusal: Callable[[Incoming], str | None]
) -> None:
    """Read the request, and send a refusal, the answer, or what a function in a thread makes it."""
    try:
        incoming = await read_request(scope, receive)
    except ClientDisconnect:
        return
    reason = refusal(incoming)
    if reason is not None:
        response = _refuse(403, reason)
    elif len(scope["query_string"]) > _LONGEST_QUERY:
        response = _refuse(414, "the query is too long")
    elif isinstance(answer, Response):
        response = answer
    else:
        try:
            response = await asyncio.to_thread(answer, incoming)
        except BadQueryError as error:
            response = _refuse(400, str(error))
    await response(scope, receive, send)


def number(incoming: Incoming, name: str, default: int | None = None, *, most: int = 2**53) -> int:
    """Read a whole number from the query.

    Args:
        incoming: The request.
        name: The parameter.
        default: What an absent one is; None when it must be there.
        most: The largest number; the smallest is 0.

    Raises:
        BadQueryError: It is absent, no number, or too large.
    """
    text = incoming.parameter(name)
    if text is None and default is not None:
        return default
    if text is None or not (text.isascii() and text.isdigit() and len(text) <= 16 and int(text) <= most):
        raise BadQueryError(f"{name} must be a whole number from 0 to {most}")
    return int(text)


def _refuse(status: int, reason: str, **headers: str) -> Response:
    response = Json({"error": reason}, status)
    response.headers.update(headers)
    return response
