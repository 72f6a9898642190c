"""Session tokens as UASAM makes and Brain checks them: HS256 JSON Web Tokens, by the standard library alone."""

from __future__ import annotations

import binascii
import hashlib
import hmac
import json
import math
import secrets
import string
import time
from base64 import urlsafe_b64decode
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from otas_middleware._runtime import BoundedDict
from otas_middleware._testing import sign
from otas_middleware.localbrain.checks import UncaughtError

if TYPE_CHECKING:
    from collections.abc import Mapping

SESSION_LIFETIME = 30 * 24 * 3600
"""How long a session token is valid, in seconds."""


class SessionClaims(NamedTuple):
    """What a valid session token says."""

    session_id: str
    agent_id: str


class TokenAuthority:
    """Signs tokens with one secret, and accepts only those that carry its signature."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._signed = BoundedDict[str, dict[str, Any]](4096)

    def issue(self, claims: Mapping[str, object]) -> str:
        """Sign a token that holds exactly these claims."""
        return sign(claims, self._secret)

    def session(self, token: str, now: float | None = None) -> SessionClaims | None:
        """Read a session token.

        Args:
            token: The token as it came in the header.
            now: Unix seconds; the present when left out.

        Returns:
            Its session and agent, or None: malformed, other algorithm, wrong signature, for some audience, expired,
            issued in the future, or without one of the two ids.

        Raises:
            UncaughtError: One of its times is no number.
        """
        claims = self.claims(token, now)
        if claims is None or not claims.get("agent_session_id") or not claims.get("agent_id"):
            return None
        return SessionClaims(str(claims["agent_session_id"]), str(claims["agent_id"]))

    def claims(self, token: str, now: float | None = None) -> dict[str, Any] | None:
        """Return the claims of any token of ours that is valid now, or None.

        Raises:
            UncaughtError: One of its times is no number.
        """
        claims = self._signed.get(token)
        if claims is None:
            claims = self._verify(token)
            if claims is None:
                return None
            self._signed[token] = claims
        now = time.time() if now is None else now
        is_valid = not is_from_the_future(claims, now) and not _is_over(claims, now) and not claims.get("aud")
        return claims if is_valid else None

    def user_claims(self, token: str) -> dict[str, Any] | None:
        """Return the claims of a user's token that is valid now, or None.

        Raises:
            UncaughtError: It is from the future, which the service does not expect here, or as in `claims`.
        """
        claims = self._verify(token)
        if claims is not None and is_from_the_future(claims, time.time()):
            raise UncaughtError("ImmatureSignatureError: The token is not yet valid (iat)")
        return self.claims(token)

    def _verify(self, token: str) -> dict[str, Any] | None:
        """Check form, algorithm and signature, which never change; the times are checked at each use."""
        signed, _, signature = token.rpartition(".")
        header, _, payload = signed.partition(".")
        try:
            if not hmac.compare_digest(_decode(signature), self._signature(signed)):
                return None
            kind, claims = json.loads(_decode(header)), json.loads(_decode(payload))
        except (binascii.Error, ValueError, RecursionError):
            return None
        if not isinstance(kind, dict) or not isinstance(claims, dict):
            return None
        return cast("dict[str, Any]", claims) if cast("dict[str, Any]", kind).get("alg") == "HS256" else None

    def _signature(self, signed: str) -> bytes:
        return hmac.digest(self._secret, signed.encode(), hashlib.sha256)


def is_from_the_future(claims: Mapping[str, Any], now: float) -> bool:
    """Tell whether a token is not valid yet: `iat` or `nbf` is later than `now` (Unix seconds), or not a number's text.

    Raises:
        UncaughtError: One of the two is no number.
    """
    return any(not _seconds(claims, name, default=-math.inf) <= now for name in ("iat", "nbf"))


def _is_over(claims: Mapping[str, Any], now: float) -> bool:
    return not _seconds(claims, "exp", default=math.inf) > now


def _seconds(claims: Mapping[str, Any], name: str, *, default: float) -> float:
    """Return a time as PyJWT reads it, by Python's `int`: NaN for a text that is no number; a claim may be absent."""
    try:
        return int(claims[name]) if name in claims else default
    except ValueError:
        return math.nan
    except (TypeError, OverflowError) as error:
        raise UncaughtError(f"{type(error).__name__}: {error}") from None


def _decode(text: str) -> bytes:
    return urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))


KeyKind = Literal["sdk", "agent"]

_SCHEME: dict[KeyKind, str] = {"sdk": "otas", "agent": "agent"}
_PREFIX_ALPHABET = string.ascii_letters + string.digits
_PREFIX_LENGTH = 11
_SECRET_BYTES = 32


def new_key(kind: KeyKind, prefix: str | None = None) -> tuple[str, str]:
    """Make a key, `otas_<prefix>_<secret>` or `agent_<prefix>_<secret>`; return it and its prefix.

    Args:
        kind: Whose key it is.
        prefix: A prefix of the caller's choice. By default one without an underscore: with one, UASAM can never
            match an agent's key (so it is with about one key in seven of the real service), nor can this Brain.
    """
    if prefix is None:
        prefix = "".join(secrets.choice(_PREFIX_ALPHABET) for _ in range(_PREFIX_LENGTH))
    return f"{_SCHEME[kind]}_{prefix}_{secrets.token_urlsafe(_SECRET_BYTES)}", prefix
