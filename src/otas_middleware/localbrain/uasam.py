"""UASAM's part: who may post (projects, agents and their keys, in memory and in the store), and sessions for agents."""

from __future__ import annotations

import secrets
import time
from dataclasses import astuple, dataclass, field
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID, uuid4

from otas_middleware.localbrain.checks import UncaughtError, UnstorableError, json_text
from otas_middleware.localbrain.django_http import DjangoJSON, ok, refused
from otas_middleware.localbrain.tokens import SESSION_LIFETIME, new_key

if TYPE_CHECKING:
    from starlette.responses import Response

    from otas_middleware.localbrain.django_http import Incoming
    from otas_middleware.localbrain.store import Store
    from otas_middleware.localbrain.tokens import KeyKind, TokenAuthority

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
            raise UncaughtError(f"AttributeError: '{type(body).__name__}' object has no attribute 'get'")
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
            "authenticated", {"project": {"id": project.id, "name": project.name, "description": project.description}}
        )

    async def verify_agent(self, incoming: Incoming) -> Response:
        """`POST /api/agent/v1/auth/verify/`: the agent of an agent key."""
        agent = self._agent(incoming)
        incoming.require_post()
        return ok(
            "authenticated",
            {"project_id": agent.project_id, "agent": {"id": agent.id, "name": agent.name, "provider": agent.provider}},
        )

    def new_session(self, agent: Agent, meta: object) -> str:
        """Create a session and return its token.

        Raises:
            UnstorableError: `meta` holds what the database refuses.
        """
        session_id, now = str(uuid4()), time.time()
        stored = json_text("meta", meta)
        self._store.insert("session", session_id, agent.id, now, stored)
        times = {"exp": int(now + SESSION_LIFETIME), "iat": int(now)}
        return self._tokens.issue({"agent_session_id": session_id, "agent_id": agent.id, **times})

    def _agent(self, incoming: Incoming) -> Agent:
        key = incoming.header(b"x-otas-agent-key")
        agent = None if not key or incoming.outage else self._directory.agent_of(key)
        if agent is None:
            raise refused(401, "invalid_agent_key")
        return agent


@dataclass(frozen=True, slots=True)
class Project:
    """A project, the owner of SDK keys."""

    id: str
    name: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent of a project, the owner of agent keys."""

    id: str
    project_id: str
    name: str
    provider: str


class Directory:
    """Finds the owner of a key, and makes owners and keys.

    A key is compared as it is. The real UASAM runs one PBKDF2 check per active key of its database for each event;
    where a test needs that slowness, it asks for it by `slow_ms`.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._projects = {row["id"]: Project(**dict(row)) for row in store.read("SELECT * FROM project")}
        self._agents = {row["id"]: Agent(**dict(row)) for row in store.read("SELECT * FROM agent")}
        self._sdk_keys: dict[str, Project] = {}
        self._agent_keys: dict[tuple[str, str], Agent] = {}
        for row in store.read("SELECT * FROM access_key WHERE active"):
            self._remember(row["kind"], row["key"], row["prefix"], row["owner_id"])

    def project_of(self, sdk_key: str) -> Project | None:
        """Return the project that an SDK key opens, or None."""
        return self._sdk_keys.get(sdk_key)

    def agent_of(self, agent_key: str) -> Agent | None:
        """Return the agent that an agent key opens, or None.

        The prefix is taken to end at the second underscore of the key, as UASAM takes it.
        """
        parts = agent_key.split("_", 2)
        return self._agent_keys.get((parts[1], agent_key)) if len(parts) == 3 else None

    def agent(self, agent_id: str) -> Agent | None:
        """Return an agent by its id, in any spelling of a UUID, or None."""
        try:
            return self._agents.get(str(UUID(agent_id)))
        except ValueError:
            return None

    def has_project(self, project_id: str) -> bool:
        """Tell whether there is such a project."""
        return project_id in self._projects

    def add_project(self, name: str, description: str = "") -> Project:
        """Make a project; it has no key yet."""
        project = Project(str(uuid4()), name, description)
        self._store.insert("project", *astuple(project))
        self._projects[project.id] = project
        return project

    def add_agent(self, project_id: str, name: str) -> Agent:
        """Make an agent of a project; it has no key yet."""
        agent = Agent(str(uuid4()), project_id, name, "local")
        self._store.insert("agent", *astuple(agent))
        self._agents[agent.id] = agent
        return agent

    def add_key(self, kind: KeyKind, owner_id: str, prefix: str | None = None) -> str:
        """Make a key for a project (`sdk`) or an agent (`agent`).

        Args:
            kind: Which of the two.
            owner_id: The id of the project or agent.
            prefix: The key's public part; a random one when left out.
        """
        key, prefix = new_key(kind, prefix)
        self._store.insert("access_key", key, kind, prefix, owner_id, True)
        self._remember(kind, key, prefix, owner_id)
        return key

    def revoke(self, key: str) -> None:
        """Make a key invalid for good."""
        with self._store.write() as connection:
            connection.execute("UPDATE access_key SET active = 0 WHERE key = ?", (key,))
        self._sdk_keys.pop(key, None)
        for place in [place for place in self._agent_keys if place[1] == key]:
            del self._agent_keys[place]

    def _remember(self, kind: KeyKind, key: str, prefix: str, owner_id: str) -> None:
        if kind == "sdk":
            self._sdk_keys[key] = self._projects[owner_id]
        else:
            self._agent_keys[prefix, key] = self._agents[owner_id]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a fresh Brain starts with, and a file keeps: one project, one agent, their keys, and its own secrets."""

    project_id: str
    agent_id: str
    user_id: str
    agnost_org_id: str
    sdk_key: str = field(repr=False)
    agent_key: str = field(repr=False)
    token_secret: str = field(repr=False)


def first_credentials(store: Store, directory: Directory) -> Credentials:
    """Return the credentials that the store keeps, making them when it is new."""
    if store.setting("token_secret") is None:
        project = directory.add_project("Local project", "Made by otas-middleware brain")
        agent = directory.add_agent(project.id, "Local agent")
        made = {
            "project_id": project.id,
            "agent_id": agent.id,
            "user_id": str(uuid4()),
            "agnost_org_id": str(uuid4()),
            "sdk_key": directory.add_key("sdk", project.id),
            "agent_key": directory.add_key("agent", agent.id),
            "token_secret": secrets.token_hex(32),  # last: its presence says that the others are there
        }
        for name, value in made.items():
            store.insert("setting", name, value)
    return Credentials(**{row["name"]: row["value"] for row in store.read("SELECT * FROM setting")})
