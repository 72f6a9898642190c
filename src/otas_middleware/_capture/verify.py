"""Checking the signature of session tokens with PyJWT (extra `verify`): by a shared secret, or by public keys.

Only the algorithms of the configured kind of key are accepted, so neither `alg=none` nor a public key used as an HMAC
secret passes (RFC 8725, section 3.1). Expiry is the gate's business, which knows the leeway.
"""

from __future__ import annotations

import json
import logging
import threading
from contextvars import Context
from typing import TYPE_CHECKING, Any

from otas_middleware._capture.context import delivering
from otas_middleware._errors import MissingExtraError, log
from otas_middleware._runtime import ForkSafeLock, monotonic, this_process

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Verifier = Callable[[str], Mapping[str, object] | None]


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
_LOOK_AGAIN_SECONDS = 10.0
_MAX_KEY_SET_BYTES = 262_144


def _jwt() -> Any:
    try:
        import jwt  # noqa: PLC0415  # an extra
    except ModuleNotFoundError:
        raise MissingExtraError("verifying session tokens", "verify") from None
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
    """Gives a token's claims when one of the published keys signed it; keeps the keys for ten minutes.

    A token that names a key which is not among them has them fetched again, at most once in ten seconds. They are
    fetched in a thread of its own, so that nobody waits longer than the time-out whatever the server does.

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
        self._lock = ForkSafeLock()
        self._keys: list[Any] | None = None
        self._fetch_after = 0.0
        self._look_again_after = 0.0
        self._fetching: tuple[tuple[int, int], threading.Event] | None = None
        """The process that is fetching them, and what is set when it has ended; a forked child fetches anew."""

    def __call__(self, token: str, *, wait: bool = True) -> Mapping[str, object] | None:
        """Return the claims, or None when no key signed the token.

        Args:
            token: The raw token.
            wait: Whether to wait for keys that must be fetched; on a request path nobody does.

        Raises:
            KeysUnavailableError: There are no keys to check with, or they are being fetched and nobody waits.
        """
        if monotonic() >= self._fetch_after:
            self._fetch_in_thread(wait=wait)
        candidates = self._candidates(token)
        if candidates is None and self._may_look_again():
            self._fetch_in_thread(wait=wait)
            if not wait:
                raise KeysUnavailableError
            candidates = self._candidates(token)
        for key in candidates or ():
            if key.key_type == "oct":
                continue  # a published secret proves nothing
            try:
                claims: Mapping[str, object] = self._jwt.decode(
                    token, key.key, algorithms=_ASYMMETRIC, options=_OPTIONS
                )
            except (self._jwt.PyJWTError, TypeError):  # `TypeError`: the token's algorithm needs another kind of key
                continue
            return claims
        return None

    def _candidates(self, token: str) -> list[Any] | None:
        """Return the keys that may have signed a token, or None when it names one that is not among them."""
        keys = self._keys
        if keys is None:
            raise KeysUnavailableError
        try:
            kid = self._jwt.get_unverified_header(token).get("kid")
        except self._jwt.PyJWTError:
            return []
        return [key for key in keys if kid is None or key.key_id in {None, kid}] or None

    def _may_look_again(self) -> bool:
        with self._lock:
            now = monotonic()
            if now < self._look_again_after:
                return False
            self._look_again_after = now + _LOOK_AGAIN_SECONDS
            return True

    def _fetch_in_thread(self, *, wait: bool) -> None:
        from otas_middleware._compat import httpx  # noqa: PLC0415  # heavy, and never in the middle of a fork

        with self._lock:
            if self._fetching is None or self._fetching[0] != this_process():
                self._fetching = this_process(), threading.Event()
                thread = threading.Thread(target=self._fetch, args=(httpx,), name="otas-keys", daemon=True)
                try:
                    Context().run(thread.start)  # free-threaded Python would copy this request's
                except RuntimeError:  # no threads left, or the interpreter is ending
                    self._fetching = None
                    return
            done = self._fetching[1]
        if wait:
            done.wait(self._timeout)

    def _fetch(self, httpx: Any) -> None:
        delivering.set(True)  # what httpx logs here, and a handler asks of the application, is not recorded
        try:
            document = json.loads(_read(httpx, self._url, self._timeout))
            self._keys = self._jwt.PyJWKSet.from_dict(document).keys
            self._fetch_after = monotonic() + _KEYS_LIVE_SECONDS
        except Exception as error:  # whatever a network or a server can do
            self._fetch_after = monotonic() + _RETRY_SECONDS
            log(
                logging.WARNING,
                "otas: the keys of session tokens could not be fetched (%s); events are recorded as unverified. "
                "Check OTAS_SESSION_JWKS_URL.",
                type(error).__name__,
            )
        finally:
            with self._lock:
                fetching, self._fetching = self._fetching, None
            if fetching is not None:
                fetching[1].set()


def _read(httpx: Any, url: str, timeout: float) -> bytes:
    """Return what lies at a URL, of which no more is read than may be kept, and no longer than twice the time-out."""
    with httpx.Client(timeout=timeout, follow_redirects=False, trust_env=False) as client:
        # Time-outs are those of single reads; a server that sends a byte now and then is cut off.
        end = threading.Timer(timeout, client.close)
        end.daemon = True
        end.start()
        try:
            with client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as response:
                response.raise_for_status()
                body = bytearray()
                for piece in response.iter_raw():
                    body += piece
                    if len(body) > _MAX_KEY_SET_BYTES:
                        raise ValueError("the key set is too large")
        finally:
            end.cancel()
    return bytes(body)
