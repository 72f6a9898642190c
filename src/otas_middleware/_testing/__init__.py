"""The test kit behind `otas_middleware.testing`. Here: session tokens for tests, real JWTs (HS256)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING
from uuid import uuid4

from otas_middleware._capture.session import TOKEN_HEADER

if TYPE_CHECKING:
    from collections.abc import Mapping

_ANY_SECRET = "signed by otas_middleware.testing"  # noqa: S105  # nobody checks it unless a secret is configured


def make_token(
    *,
    session_id: str | None = None,
    agent_id: str | None = None,
    expires_in: float | None = 3600.0,
    issued_ago: float = 0.0,
    secret: str | None = None,
    claims: Mapping[str, object] | None = None,
) -> str:
    """Make a session token.

    Args:
        session_id: The session; a new one when left out.
        agent_id: The agent; a new one when left out.
        expires_in: Seconds until it expires; negative for one that has expired, None for one that never does.
        issued_ago: Seconds since it was issued; negative for one from the future.
        secret: What it is signed with; give the application's `session_secret` where it has one.
        claims: Further claims, or other values for those that the token has by itself.

    Returns:
        The value of the header `X-OTAS-AGENT-SESSION-TOKEN`.
    """
    issued_at = int(time.time() - issued_ago)
    payload: dict[str, object] = {
        "agent_session_id": str(uuid4()) if session_id is None else session_id,
        "agent_id": str(uuid4()) if agent_id is None else agent_id,
        "iat": issued_at,
    }
    if expires_in is not None:
        payload["exp"] = int(time.time() + expires_in)
    payload.update(claims or {})
    return sign(payload, (_ANY_SECRET if secret is None else secret).encode())


def sign(claims: Mapping[str, object], secret: bytes) -> str:
    """Sign a token that holds exactly these claims."""
    signed = f"{_encode({'alg': 'HS256', 'typ': 'JWT'})}.{_encode(claims)}"
    return f"{signed}.{_base64url(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def session_headers(token: str | None = None) -> dict[str, str]:
    """Return the header by which an agent is recognised, as test clients take it.

    Args:
        token: The token; a new session's when left out.
    """
    return {TOKEN_HEADER: make_token() if token is None else token}


def _encode(part: Mapping[str, object]) -> str:
    return _base64url(json.dumps(part, separators=(",", ":")).encode())


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
