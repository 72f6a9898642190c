"""Creating a session at UASAM, and saying clearly why that failed."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from otas_middleware._capture.session import SessionInfo, read_claims, session_in
from otas_middleware._delivery.protocols import Request, Response, TransportError, as_object, fields_of, json_headers
from otas_middleware._delivery.transports import direct_transport, send_once
from otas_middleware._errors import ConfigurationError, OtasError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otas_middleware._config.settings import OtasSettings

DEFAULT_URL = "http://localhost:8000"
"""Where UASAM is when the settings do not say (its documentation's own default)."""

_PATH = "/api/agent/v1/session/create/"
_PREFIX_CHARACTERS = 11
_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class SessionError(OtasError):
    """UASAM gave no session. The message says why and what to do, and holds neither key nor answer.

    Args:
        reason: A short stable word for counters and logs, such as `invalid_agent_key` or `connection_refused`.
        message: What happened and what to do.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class MissingAgentKeyError(SessionError, ConfigurationError):
    """There is no agent key."""

    def __init__(self) -> None:
        super().__init__(
            "missing_agent_key",
            "There is no agent key: set OTAS_AGENT_KEY (agent_<prefix>_<secret>), or pass agent_key=; "
            "OTAS_ENABLED=0 lets the agent run without OTAS.",
        )


def create_session(settings: OtasSettings, meta: Mapping[str, Any] | None, timeout: float) -> SessionInfo:
    """Create a session; blocks until UASAM has answered.

    Args:
        settings: The agent key, and where UASAM is.
        meta: What UASAM is to keep of the session: any JSON object.
        timeout: Seconds for the whole exchange.

    Raises:
        SessionError: There is none.
    """
    if settings.agent_key is None:
        raise MissingAgentKeyError
    key = settings.agent_key.get_secret_value()
    base = settings.uasam_url or DEFAULT_URL
    body = json.dumps({} if meta is None else {"meta": dict(meta)}, allow_nan=False).encode()
    try:
        request = Request(base + _PATH, json_headers(("X-OTAS-AGENT-KEY", key)), body)
        response = send_once(direct_transport(settings), request, timeout)
    except TransportError as error:
        raise SessionError(
            error.cause.replace(" ", "_"),
            f"UASAM at {base} gave no session ({error.cause}). Check OTAS_UASAM_URL, and that UASAM is up.",
        ) from None
    return _read(response, base, key)


def _read(response: Response, base: str, key: str) -> SessionInfo:
    answer = fields_of(response)
    token = as_object(answer.get("response")).get("jwt_token")
    if response.status == 200 and isinstance(token, str) and _TOKEN.fullmatch(token):
        session = session_of(token)
        if session is not None:
            return session
    description = answer.get("status_description")
    reason = description if isinstance(description, str) and description.isidentifier() else f"http_{response.status}"
    if reason == "invalid_agent_key":
        raise SessionError(reason, _refusal(base, key))
    if 200 <= response.status < 500 and response.status != 429:
        advice = "Check OTAS_UASAM_URL: what answers there does not create sessions as UASAM does."
    else:
        advice = "UASAM fails; try again."
    raise SessionError(reason, f"UASAM at {base} gave no session ({reason}). {advice}")


def _refusal(base: str, key: str) -> str:
    text = f"UASAM at {base} refused the agent key (invalid_agent_key). "
    if has_unusable_shape(key):
        return text + (
            "The key seems to have an underscore inside its prefix, and UASAM can never match such a key "
            "(it makes about one in seven like that): make a new agent key and set OTAS_AGENT_KEY to it."
        )
    return text + (
        "Check that OTAS_AGENT_KEY is a current key of this agent, and that UASAM's database is up: "
        "UASAM gives this answer in both cases."
    )


def has_unusable_shape(key: str) -> bool:
    """Say whether an agent key is cut short by an underscore inside its prefix, as UASAM reads it.

    A key is `agent_<prefix>_<secret>` with a prefix of 11 characters of base64's URL alphabet, which has the
    underscore; UASAM takes the prefix to end at the first one.
    """
    parts = key.split("_", 2)
    return len(parts) == 3 and parts[0] == "agent" and len(parts[1]) < _PREFIX_CHARACTERS <= len(parts[2])


def session_of(token: str) -> SessionInfo | None:
    """Return the session that a token is for, as far as its claims say; None where they say nothing of one."""
    session = session_in(read_claims(token) or {}, token, verified=False)
    if session is None or session.issued_at is None or session.expires_at is None:
        return session
    # By the clock of this machine, which may differ from the one that issued it.
    now = time.time()
    return replace(session, issued_at=now, expires_at=now + session.expires_at - session.issued_at)
