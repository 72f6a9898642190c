"""Checking the signature of session tokens with PyJWT (extra `verify`): by a shared secret, or by public keys.

Only the algorithms of the configured kind of key are accepted, so neither `alg=none` nor a public key used as an HMAC
secret passes (RFC 8725, section 3.1). Expiry is the gate's business, which knows the leeway.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from otas_middleware._errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Verifier = Callable[[str], Mapping[str, object] | None]

logger = logging.getLogger("otas_middleware")

_OPTIONS = {
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "verify_aud": False,
    "verify_iss": False,
}
_ASYMMETRIC = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
_KEYS_LIVE_SECONDS = 600.0
_RETRY_SECONDS = 30.0
_MAX_KEY_SET_BYTES = 262_144


def _jwt() -> Any:
    try:
        import jwt  # noqa: PLC0415  # an extra
    except ModuleNotFoundError as error:
        raise MissingExtraError("verifying session tokens", "verify") from error
    return jwt


def by_secret(secret: str) -> Verifier:
    """Return a function that gives a token's claims when it is signed with this secret (HS256), else None.

    Args:
        secret: The signing secret of the session tokens.

    Raises:
        MissingExtraError: PyJWT is not installed.
    """
    jwt = _jwt()

    def verify(token: str) -> Mapping[str, object] | None:
        try:
            claims: Mapping[str, object] = jwt.decode(token, secret, algorithms=["HS256"], options=_OPTIONS)
        except jwt.PyJWTError:
            return None
        return claims

    return verify


class KeysUnavailableError(Exception):
    """The public keys could not be fetched, so nothing can be said about a signature."""


class ByKeySet:
    """Gives a token's claims when one of the published keys signed it; fetches the keys, so for the worker only.

    Args:
        url: Where the JSON Web Key Set is (RFC 7517).
        timeout: The longest wait for it, in seconds.

    Raises:
        MissingExtraError: PyJWT is not installed.
    """

    def __init__(self, url: str, timeout: float = 5.0) -> None:
        self._jwt = _jwt()
        self._url = url
        self._timeout = timeout
        self._lock = threading.Lock()
        self._keys: Any = None
        self._fetch_after = 0.0

    def __call__(self, token: str) -> Mapping[str, object] | None:
        """Return the claims, or None when no key signed the token.

        Raises:
            KeysUnavailableError: There are no keys to check with.
        """
        keys = self._current_keys()
        jwt = self._jwt
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            candidates = [key for key in keys.keys if kid is None or key.key_id == kid]
            for key in candidates:
                if key.key_type == "oct":
                    continue  # a published secret proves nothing
                try:
                    claims: Mapping[str, object] = jwt.decode(token, key.key, algorithms=_ASYMMETRIC, options=_OPTIONS)
                except jwt.PyJWTError:
                    continue
                return claims
        except jwt.PyJWTError:
            pass
        return None

    def _current_keys(self) -> Any:
        with self._lock:
            if time.monotonic() >= self._fetch_after:
                try:
                    self._keys = self._fetch()
                    self._fetch_after = time.monotonic() + _KEYS_LIVE_SECONDS
                except Exception as error:  # whatever a network or a server can do
                    self._fetch_after = time.monotonic() + _RETRY_SECONDS
                    logger.warning(
                        "otas: the keys of session tokens could not be fetched (%s); events are recorded as "
                        "unverified. Check OTAS_SESSION_JWKS_URL.",
                        type(error).__name__,
                    )
            if self._keys is None:
                raise KeysUnavailableError
            return self._keys

    def _fetch(self) -> Any:
        from otas_middleware._compat import httpx  # noqa: PLC0415  # heavy, and only here

        with httpx.Client(timeout=self._timeout, follow_redirects=False, trust_env=False) as client:
            response = client.get(self._url)
            response.raise_for_status()
            if len(response.content) > _MAX_KEY_SET_BYTES:
                raise ValueError("the key set is too large")
            return self._jwt.PyJWKSet.from_dict(json.loads(response.content))
