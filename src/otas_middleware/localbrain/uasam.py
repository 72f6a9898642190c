"""UASAM's part: sessions for agents, and the checks of keys."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from otas_middleware.localbrain.checks import UnstorableError, json_text
from otas_middleware.localbrain.pages import DjangoJSON, ok, refused
from otas_middleware.localbrain.tokens import SESSION_LIFETIME

if TYPE_CHECKING:
    from starlette.responses import Response

    from otas_middleware.localbrain.directory import Agent, Directory
    from otas_middleware.localbrain.incoming import Incoming
    from otas_middleware.localbrain.store import Store
    from otas_middleware.localbrain.tokens import TokenAuthority

TOKEN_HEADER_NAME = "X-OTAS-AGENT-SESSION-TOKEN"  # noqa: S105  # a header's name
_DATABASE_SAYS = "invalid input syntax for type json\nDETAIL:  Token is invalid, or cannot be converted to text."


class Uasam:
    """Handles the three endpoints that agents and backends use."""

    def __init__(self, store: Store, directory: Directory, tokens: TokenAuthority) -> None:
        self._store = store
        self._directory = directory
        self._tokens = tokens

    async def create_session(self, incoming: Incoming) -> Response:
        """`POST /api/agent/v1/session/create/`: a new session of the key's agent, as a token."""
        agent = self._agent(incoming)
        incoming.require_post()
        body = incoming.json()
        if not isinstance(body, dict):
            raise incoming.failure(f"AttributeError: '{type(body).__name__}' object has no attribute 'get'")
        meta = cast("dict[str, Any]", body).get("meta")
        try:
            token = self.new_session(agent, {} if meta is None else meta)
        except UnstorableError:
            raise refused(500, f"server_error: {_DATABASE_SAYS}") from None
        return ok("agent_session_created", {"Header_value": TOKEN_HEADER_NAME, "jwt_token": token})

    async def authenticate_sdk_key(self, incoming: Incoming) -> Response:
        """`POST /api/project/v1/sdk/backend/key/authenticate/`: the project of an SDK key."""
        key = incoming.header(b"x-otas-sdk-key")
        if not key:
            return DjangoJSON({"error": "SDK Key missing"}, 401)
        if key.count("_") < 2:
            return DjangoJSON({"error": "Invalid Key Format"}, 403)
        if incoming.outage:
            return DjangoJSON({"error": "connection to server failed: Connection refused"}, 500)
        project = self._directory.project_of(key)
        if project is None:
            return DjangoJSON({"error": "Invalid SDK Key"}, 403)
        incoming.require_post()
        return ok(
            "authenticated",
            {"project": {"id": project.id, "name": project.name, "description": project.description}},
        )

    async def verify_agent(self, incoming: Incoming) -> Response:
        """`POST /api/agent/v1/auth/verify/`: the agent of an agent key."""
        agent = self._agent(incoming)
        incoming.require_post()
        return ok(
            "authenticated",
            {
                "project_id": agent.project_id,
                "agent": {"id": agent.id, "name": agent.name, "provider": agent.provider},
            },
        )

    def new_session(self, agent: Agent, meta: object) -> str:
        """Create a session and return its token.

        Raises:
            UnstorableError: `meta` holds what the database refuses.
        """
        session_id, now = str(uuid4()), time.time()
        stored = json_text("meta", meta)
        with self._store.write() as connection:
            connection.execute("INSERT INTO session VALUES (?, ?, ?, ?)", (session_id, agent.id, now, stored))
        return self._tokens.issue_session(session_id, agent.id, issued_at=now, expires_at=now + SESSION_LIFETIME)

    def _agent(self, incoming: Incoming) -> Agent:
        key = incoming.header(b"x-otas-agent-key")
        agent = None if not key or incoming.outage else self._directory.agent_of(key)
        if agent is None:
            raise refused(401, "invalid_agent_key")
        return agent
