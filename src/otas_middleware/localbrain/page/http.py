"""How the page's endpoints speak HTTP: who may ask, and the headers that go with every answer.

Events are untrusted input, and any web page in a browser on this machine can send requests to this server. So nothing
that is answered here runs in any other page, nothing in an event can run in this one, and no other page can change
anything (the guard before all endpoints refuses foreign `Host` names already). With an access token, who may look at
the page and at `/_local/` is whoever knows that; the services' own endpoints need no more than keys and tokens.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import json
import math
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from otas_middleware._errors import ConfigurationError
from otas_middleware.localbrain.django_http import NOT_FOUND, read_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive, Scope, Send

    from otas_middleware.localbrain.django_http import Incoming

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


class _Endpoint:
    """An ASGI application that answers one method with what a function returns, or with what is always the same.

    Args:
        answer: The answer, or a function that is run in a thread, so that it may take its time.
    """

    methods: tuple[str, ...]

    def __init__(self, answer: Answer | Response) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["method"] not in self.methods:
            await self._unanswered()(scope, receive, send)
            return
        try:
            incoming = await read_request(scope, receive)
        except ClientDisconnect:
            return
        await (await self._response(incoming, scope))(scope, receive, send)

    async def _response(self, incoming: Incoming, scope: Scope) -> Response:
        reason = self._refusal(incoming)
        if reason is not None:
            return _refuse(403, reason)
        if len(scope["query_string"]) > _LONGEST_QUERY:
            return _refuse(414, "the query is too long")
        if isinstance(self._answer, Response):
            return self._answer
        try:
            return await asyncio.to_thread(self._answer, incoming)
        except BadQueryError as error:
            return _refuse(400, str(error))

    def _unanswered(self) -> Response:
        return _refuse(405, f"only {self.methods[0]} is answered here", allow=", ".join(self.methods))

    def _refusal(self, incoming: Incoming) -> str | None:
        return None if incoming.header(b"sec-fetch-site") in _OWN else "another site asks"


class Reading(_Endpoint):
    """Answers GET for our own page, or a program."""

    methods = ("GET", "HEAD")


class Document(Reading):
    """The document itself, to which another site may link; its path is one that Brain does not have."""

    def _unanswered(self) -> Response:
        return NOT_FOUND

    def _refusal(self, incoming: Incoming) -> None:
        del incoming


class Changing(_Endpoint):
    """Answers POST when our own page, or a program, posts JSON."""

    methods = ("POST",)

    def _refusal(self, incoming: Incoming) -> str | None:
        # A form cannot send JSON, and a script of another origin cannot without asking first, which is never granted.
        if (incoming.header(b"content-type") or "").partition(";")[0].strip() != "application/json":
            return "send Content-Type: application/json"
        origin = incoming.header(b"origin")
        if origin is not None and origin != f"http://{incoming.header(b'host')}":
            return "another origin asks"
        return super()._refusal(incoming)


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


def finite_number(incoming: Incoming, name: str, what: str) -> float | None:
    """Read a number that may have a fraction from the query; None when it is absent.

    Args:
        incoming: The request.
        name: The parameter.
        what: What it must be, for the error.

    Raises:
        BadQueryError: It is no number, or not a finite one.
    """
    text = incoming.parameter(name)
    try:
        value = None if text is None else float(text)
    except ValueError:
        value = math.nan
    if value is not None and not math.isfinite(value):
        raise BadQueryError(f"{name} must be {what}")
    return value


def _refuse(status: int, reason: str, **headers: str) -> Response:
    response = Json({"error": reason}, status)
    response.headers.update(headers)
    return response


LOGIN = "/_page/access"
_COOKIE = "local_brain_access"
_SHORTEST = 16
_GUARDED = ("/_page/", "/_local/")
DENIED = Json({"error": "this Brain's access token is needed"}, 401)


class Access:
    """Knows whether a request may see what is stored.

    Args:
        token: What has to be shown once; None lets everyone in who reaches the server.
        public: Paths that show nothing of what is stored: the page's own files.

    Raises:
        ConfigurationError: The token is too short to be a secret.
    """

    def __init__(self, token: str | None, public: frozenset[str]) -> None:
        if token is not None and len(token) < _SHORTEST:
            raise ConfigurationError(f"the access token has fewer than {_SHORTEST} characters; choose a longer one")
        self._token = token
        self._public = public | {LOGIN}
        self._cookie = "" if token is None else hashlib.sha256(f"local brain {token}".encode()).hexdigest()

    def permits(self, scope: Scope) -> bool:
        """Tell whether a request may pass: by its path, by the page's cookie, or by `Authorization: Bearer`."""
        path: str = scope["path"]
        if self._token is None or not path.startswith(_GUARDED) or path in self._public:
            return True
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        return any(self._opens(name, value.decode("latin-1")) for name, value in headers)

    def log_in(self, incoming: Incoming) -> Response:
        """`POST /_page/access` with `{"token": "…"}`: keep it in a cookie that no script reads."""
        try:
            given = json.loads(incoming.body)["token"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise BadQueryError('send {"token": "…"}') from None
        if self._token is None or not isinstance(given, str) or not _same(given.strip(), self._token):
            return Json({"error": "this is not the access token of this Brain"}, 403)
        answer = Json({"welcome": True})
        answer.set_cookie(_COOKIE, self._cookie, httponly=True, samesite="strict")
        return answer

    def _opens(self, name: bytes, value: str) -> bool:
        if name == b"authorization":
            scheme, _, token = value.partition(" ")
            return self._token is not None and scheme.lower() == "bearer" and _same(token.strip(), self._token)
        if name == b"cookie":
            try:
                morsel = SimpleCookie(value).get(_COOKIE)
            except CookieError:
                return False
            return morsel is not None and _same(morsel.value, self._cookie)
        return False


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode())


def check_reach(host: str, access_token: str | None) -> None:
    """Refuse an address that other machines can reach, unless an access token guards what is stored.

    Raises:
        ConfigurationError: It is not `localhost` and not a loopback address, and there is no access token.
    """
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback and access_token is None:
        raise ConfigurationError(
            f"host {host!r} is not a loopback address: everyone who reaches it could read what is stored. "
            "Listen on 127.0.0.1, ::1 or localhost, or give an access token (--access-token, LOCAL_BRAIN_ACCESS_TOKEN)"
        )
