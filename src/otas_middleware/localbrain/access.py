"""Who may look at what a Brain stored: everyone on this machine, or, with an access token, whoever knows that.

The services' own endpoints need no more than their keys and tokens; this is about the page and `/_local/`, which show
everything.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING

from otas_middleware._errors import ConfigurationError
from otas_middleware.localbrain.page.http import BadQueryError, Json

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import Scope

    from otas_middleware.localbrain.incoming import Incoming

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
