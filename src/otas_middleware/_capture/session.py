"""Who is calling: the agent session named by the request's token, and the gate that lets it make us work.

The session token is an HS256 JWT (see the contract). Backends normally lack the signing secret, so what is read here
is a claim, not a proof; `SessionInfo.verified` says which.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from os import urandom
from typing import TYPE_CHECKING, Any, cast

from otas_middleware._errors import log
from otas_middleware._runtime import BoundedDict, ForkSafeLock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


TOKEN_HEADER = "X-OTAS-AGENT-SESSION-TOKEN"  # noqa: S105  # a header's name
TOKEN_HEADER_BYTES = TOKEN_HEADER.lower().encode()
TOKEN_ENVIRON_KEY = "HTTP_" + TOKEN_HEADER.upper().replace("-", "_")

MAX_TOKEN_BYTES = 4096
EXPIRY_LEEWAY_SECONDS = 60.0
REJECTED_SECONDS = 600.0
RECHECKED_SECONDS = 10.0
"""How long a token is refused whose signature no key made: a key set may just have been replaced."""
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_MAX_KNOWN = 1024
_MAX_REJECTED = 4096


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """The agent session that a request belongs to.

    Attributes:
        agent_id: The agent's id, from the token.
        session_id: The session's id, from the token.
        verified: True only when the token's signature was checked here.
        fingerprint: First 16 hexadecimal digits of the token's SHA-256; it stands for the token in records and logs.
        issued_at: Unix time in seconds, or None when the token does not say.
        expires_at: Unix time in seconds, or None when the token does not say.
        token: The raw token. It is left out of `repr` and must not be logged or stored.
    """

    agent_id: str
    session_id: str
    verified: bool
    fingerprint: str
    issued_at: float | None
    expires_at: float | None
    token: str = field(repr=False)


class RejectedTokens:
    """Session tokens that were refused, remembered for a while by their fingerprints, at most 4,096. Thread-safe."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._lock = ForkSafeLock()

    def add(self, token: str, seconds: float = REJECTED_SECONDS) -> None:
        """Remember a token for so many seconds from now on."""
        with self._lock:
            while len(self._until) >= _MAX_REJECTED:  # forget the oldest
                del self._until[next(iter(self._until))]
            self._until[fingerprint(token)] = time.time() + seconds

    def holds(self, mark: str, now: float) -> bool:
        """Say whether the token with this fingerprint is refused still (`now`: Unix seconds)."""
        until = self._until.get(mark)
        if until is None or now < until:
            return until is not None
        with self._lock:
            self._until.pop(mark, None)
        return False

    def __contains__(self, token: str) -> bool:
        return bool(self._until) and self.holds(fingerprint(token), time.time())

    def __len__(self) -> int:
        return len(self._until)


class TokenGate:
    """Looks at each token once and remembers it; what fails is not recorded and counted by reason.

    The memory is bounded: at most 1,024 admitted tokens and 4,096 rejected ones. All threads of a process use one gate:
    what is known is looked up without a lock, and changed under one.

    Args:
        verify: Checks a token's signature and returns its claims, or None when it does not hold; without it the
            claims are read unverified.
    """

    def __init__(self, verify: Callable[[str], Mapping[str, object] | None] | None = None) -> None:
        self._verify = verify
        self._known: dict[str, SessionInfo] = BoundedDict(_MAX_KNOWN)
        self._octets: dict[bytes, SessionInfo] = BoundedDict(_MAX_KNOWN)
        """Apart, since `python -bb` lets no text be compared with bytes."""
        self._rejected = RejectedTokens()
        self._refused: Counter[str] = Counter()
        self._lock = ForkSafeLock()

    @property
    def refused(self) -> Counter[str]:
        """How many requests were not admitted, by reason."""
        with self._lock:
            return self._refused.copy()

    def admit(self, token: str | bytes, now: float) -> SessionInfo | None:
        """Return the session of a token that may be recorded, else None.

        Args:
            token: The header's value as the server gave it (at most 4,096 bytes are considered).
            now: Unix time in seconds.
        """
        try:
            session = self._octets.get(token) if isinstance(token, bytes) else self._known.get(token)
        except TypeError:  # somebody has put a list, say, into the environ
            self._refuse("malformed")
            return None
        if session is None:
            try:
                session = self._inspect(token, now)
            except _RefusedError as refused:
                self._refuse(refused.reason)
                return None
        if session.expires_at is not None and session.expires_at + EXPIRY_LEEWAY_SECONDS < now:
            self._refuse("expired")
            return None
        return session

    def _refuse(self, reason: str) -> None:
        """Count a refusal; the first for a reason is said, for whoever develops an agent and wonders."""
        with self._lock:
            self._refused[reason] += 1
            is_first = self._refused[reason] == 1
        if is_first:
            message = "otas: a request is not recorded, its session token is refused (%s). Said once."
            log(logging.DEBUG, message, reason)

    def reject(self, token: str, seconds: float = REJECTED_SECONDS) -> None:
        """Refuse a token for a while, because Brain answered `invalid_or_expired_token` for it.

        Args:
            token: The raw token.
            seconds: For how long.
        """
        with self._lock:
            self._rejected.add(token, seconds)
            for known, form in self._places(token):
                known.pop(form, None)

    def confirm(self, session: SessionInfo) -> SessionInfo:
        """Remember that a token's signature was found to hold after it was admitted, and return the new session."""
        confirmed = replace(session, verified=True)
        with self._lock:
            for known, form in self._places(session.token):
                if form in known:
                    known[form] = confirmed
        return confirmed

    def learn(self, verdict: str, token: str) -> None:
        """Take note of what delivery has found out about a token.

        Args:
            verdict: `rejected` (by Brain), `bad_signature`, or `confirmed` (the signature holds).
            token: The raw token.
        """
        if verdict == "confirmed":
            for session in filter(None, [known.get(form) for known, form in self._places(token)]):
                self.confirm(session)
            return
        if verdict == "bad_signature":
            self._refuse(verdict)
            self.reject(token, RECHECKED_SECONDS)
        else:
            self.reject(token)

    def _inspect(self, raw: str | bytes, now: float) -> SessionInfo:
        session = self._read(raw, now)
        with self._lock:
            self._refuse_rejected(session.fingerprint, now)  # it may have been rejected while it was read
            known: dict[Any, SessionInfo] = self._octets if isinstance(raw, bytes) else self._known
            known[raw] = session
        return session

    def _places(self, token: str) -> tuple[tuple[dict[Any, SessionInfo], str | bytes], ...]:
        """Return where a token is known as text (WSGI) and as bytes (ASGI), and how it is given there."""
        return (self._known, token), (self._octets, token.encode("latin-1", "replace"))

    def _refuse_rejected(self, mark: str, now: float) -> None:
        if self._rejected.holds(mark, now):
            raise _RefusedError("rejected_by_brain")

    def _read(self, raw: object, now: float) -> SessionInfo:
        if not isinstance(raw, str | bytes):
            raise _RefusedError("malformed")
        if len(raw) > MAX_TOKEN_BYTES:
            raise _RefusedError("too_long")
        token = raw.decode("latin-1") if isinstance(raw, bytes) else raw
        claims: Mapping[str, object] | None = read_claims(token)
        if claims is None:
            raise _RefusedError("malformed")
        self._refuse_rejected(fingerprint(token), now)
        if self._verify is not None:
            claims = self._verify(token)
            if claims is None:
                raise _RefusedError("bad_signature")
        session = session_in(claims, token, verified=self._verify is not None)
        if session is None:
            raise _RefusedError("missing_claims")
        return session


class _RefusedError(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def fingerprint(token: str) -> str:
    """Return the 16 hexadecimal digits that stand for a token wherever the token itself must not appear."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def new_event_id() -> str:
    """Return a random UUID (version 4, RFC 9562); `uuid.uuid4` takes thrice as long to say the same."""
    octets = urandom(16)
    digits, variant = octets.hex(), "89ab"[octets[8] & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def read_claims(token: str) -> dict[str, object] | None:
    """Return a JWT's claims without checking its signature, or None when it is not a JWT in form.

    That is three parts of base64url's alphabet (RFC 7515, section 7.1): nothing else may go into a header of ours.
    """
    parts = token.split(".")
    if len(parts) != 3 or not all(parts) or not token.isascii() or token.encode().translate(None, _ALPHABET) != b"..":
        return None
    payload = parts[1]
    try:
        claims: object = json.loads(
            base64.b64decode(payload + "=" * (-len(payload) % 4), altchars=b"-_", validate=True)
        )
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, object]", claims) if isinstance(claims, dict) else None


def session_in(claims: Mapping[str, object], token: str, *, verified: bool) -> SessionInfo | None:
    """Return the session that a token's claims name; None where they name no agent and session.

    Args:
        claims: The token's payload.
        token: The raw token.
        verified: Whether its signature was checked.
    """
    agent_id, session_id = claims.get("agent_id"), claims.get("agent_session_id")
    if not (isinstance(agent_id, str) and agent_id and isinstance(session_id, str) and session_id):
        return None
    return SessionInfo(
        agent_id=agent_id,
        session_id=session_id,
        verified=verified,
        fingerprint=fingerprint(token),
        issued_at=_seconds(claims.get("iat")),
        expires_at=_seconds(claims.get("exp")),
        token=token,
    )


def _seconds(value: object) -> float | None:
    # bool is an int; a huge int overflows float
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15:
        return float(value)
    return None
