"""Brain's two log endpoints: the checks in the documented order, then the event is saved."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, NamedTuple
from uuid import uuid4

from otas_middleware.localbrain.checks import (
    MissingFieldsError,
    UnreadableBodyError,
    UnstorableError,
    check_id,
    event_values,
    require_fields,
)
from otas_middleware.localbrain.django_http import ok, refused
from otas_middleware.localbrain.endpoint import GoneDownError
from otas_middleware.localbrain.tokens import UnreadableTokenError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.responses import Response

    from otas_middleware.localbrain.django_http import Incoming
    from otas_middleware.localbrain.faults import Faults
    from otas_middleware.localbrain.tokens import SessionClaims, TokenAuthority
    from otas_middleware.localbrain.uasam import Directory

    Save = Callable[[tuple[object, ...]], Awaitable[None]]

_TOKEN_HEADER = b"x-otas-agent-session-token"
_CAPTURED = ok("event_captured", {}, 201)


class _Owner(NamedTuple):
    """Whose event it is, once the caller is known."""

    project_id: str
    agent_id: str
    session_id: str
    source: Literal["backend", "agent"]


@dataclass(frozen=True, slots=True)
class Intake:
    """Handles the posts to both log endpoints.

    Attributes:
        directory: Knows the keys.
        tokens: Knows the session tokens.
        save: Stores a row of `EVENT_COLUMNS`; returns when it is committed.
        faults: Say when the Brain goes down instead of storing.
        refused: Told why an event could not be stored (Brain itself says only that it was not).
    """

    directory: Directory
    tokens: TokenAuthority
    save: Save
    faults: Faults
    refused: Callable[[str], None]

    async def from_backend(self, incoming: Incoming) -> Response:
        """`POST /api/v1/backend/log/sdk/`: a project's backend logs a request that it handled."""
        key = incoming.header(b"x-otas-sdk-key")
        if not key:
            raise refused(401, "missing_sdk_key")
        project = None if incoming.outage else self.directory.project_of(key)
        if project is None:
            raise refused(401, "invalid_sdk_key")
        session = self._session(incoming)
        await self._capture(incoming, _Owner(project.id, session.agent_id, session.session_id, "backend"))
        return _CAPTURED

    async def from_agent(self, incoming: Incoming) -> Response:
        """`POST /api/v1/backend/log/agent/`: an agent logs a call that it made elsewhere."""
        key = incoming.header(b"x-otas-agent-key")
        if not key:
            raise refused(401, "missing_agent_key")
        agent = None if incoming.outage else self.directory.agent_of(key)
        if agent is None:
            raise refused(401, "invalid_or_expired_agent_key")
        session = self._session(incoming)
        if session.agent_id != agent.id:
            raise refused(403, "session_agent_mismatch")
        event_id = await self._capture(incoming, _Owner(agent.project_id, agent.id, session.session_id, "agent"))
        return ok("event_captured", {"event_id": event_id}, 201)

    def _session(self, incoming: Incoming) -> SessionClaims:
        token = incoming.header(_TOKEN_HEADER)
        if not token:
            raise refused(401, "missing_agent_session_token")
        try:
            claims = self.tokens.session(token)
        except UnreadableTokenError as error:
            raise incoming.failure(str(error)) from None
        if claims is None:
            raise refused(401, "invalid_or_expired_token")
        return claims

    async def _capture(self, incoming: Incoming, owner: _Owner) -> str:
        """Check the body and save the event; returns the id that it got."""
        body = incoming.json()
        try:
            require_fields(body)
        except MissingFieldsError as error:
            raise refused(400, "missing_required_fields", missing_fields=error.fields) from None
        except UnreadableBodyError as error:
            raise incoming.failure(str(error)) from None
        try:
            values = event_values(body, incoming.body)
            check_id("agent_session_id", owner.session_id)
            check_id("agent_id", owner.agent_id)
            if not self.faults.admit_event():
                raise GoneDownError
            event_id, arrived_at = str(uuid4()), time.time()
            day = datetime.fromtimestamp(arrived_at, UTC).date().isoformat()
            head = (event_id, owner.source, arrived_at, day, owner.project_id, owner.agent_id, owner.session_id)
            await self.save((*head, *values))
        except (UnstorableError, sqlite3.Error, UnicodeError) as error:
            self.refused(f"event not stored: {error}")
            raise refused(500, "event_capture_failed") from None
        return event_id
