"""Brain's part: its two log endpoints, and what dashboards read of it.

A log endpoint makes its checks in the documented order, and then the event is saved. Dashboards read a session's
events, and three daily figures of an agent; as in Brain, NaN and infinite latencies are handed on, and an answer that
holds one is not valid JSON.
"""

from __future__ import annotations

import asyncio
import math
import sqlite3
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeGuard
from uuid import UUID, uuid4

from otas_middleware.localbrain.checks import (
    UncaughtError,
    UnstorableError,
    check_id,
    event_values,
    missing_fields,
)
from otas_middleware.localbrain.django_http import DjangoJSON, GoneDownError, ok, refused
from otas_middleware.localbrain.store import to_event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from starlette.responses import Response

    from otas_middleware.localbrain.django_http import Incoming
    from otas_middleware.localbrain.faults import Faults
    from otas_middleware.localbrain.store import Store
    from otas_middleware.localbrain.tokens import SessionClaims, TokenAuthority
    from otas_middleware.localbrain.uasam import Agent, Directory

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
        claims = self.tokens.session(token)
        if claims is None:
            raise refused(401, "invalid_or_expired_token")
        return claims

    async def _capture(self, incoming: Incoming, owner: _Owner) -> str:
        """Check the body and save the event; returns the id that it got."""
        body = incoming.json()
        if missing := missing_fields(body):
            raise refused(400, "missing_required_fields", missing_fields=missing)
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


_DEFAULT_LIMIT, _MAX_LIMIT = 200, 500
_PERCENTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
_OF_AGENT = "FROM event WHERE agent_id = ? AND event_date BETWEEN ? AND ?"


@dataclass(frozen=True, slots=True)
class Analytics:
    """Handles the four endpoints; each wants a user token, an agent and a project in its headers.

    Attributes:
        store: Where the events are.
        directory: Knows agents and projects.
        tokens: Signed the user's token.
        user_id: The one user there is, who may see all projects.
    """

    store: Store
    directory: Directory
    tokens: TokenAuthority
    user_id: str

    async def session_events(self, incoming: Incoming) -> Response:
        """`GET /api/v1/agent/session/events/?session_id=&limit=`: the first events of a session, as they arrived."""
        agent = self._agent(incoming)
        session_id = incoming.parameter("session_id")
        if session_id is None:
            raise refused(400, "session_id is required")
        session_id = session_id.lower()
        try:
            UUID(session_id)
        except ValueError:
            raise refused(400, "session_id must be a valid UUID") from None
        try:
            given = incoming.raw_parameter("limit")
            limit = _DEFAULT_LIMIT if given is None else int(given)
        except ValueError:
            raise refused(400, "limit must be an integer") from None
        rows = await self._read(
            "SELECT * FROM event WHERE agent_session_id = ? AND agent_id = ? AND project_id = ? ORDER BY id LIMIT ?",
            (session_id, agent.id, agent.project_id, max(1, min(limit, _MAX_LIMIT))),
        )
        return DjangoJSON(
            {
                "status": 1,
                "status_description": "session_events_listed",
                "agent_id": agent.id,
                "project_id": agent.project_id,
                "session_id": session_id,
                "count": len(rows),
                "events": [_listed(row) for row in rows],
            }
        )

    async def latency_percentiles(self, incoming: Incoming) -> Response:
        """`GET /api/v1/agent/latency-percentiles/`: p50, p95 and p99 of each day that has events, in milliseconds."""
        agent = self._agent(incoming)
        rows = await self._read(
            # PostgreSQL sorts NaN, which is stored as NULL here, behind infinity.
            f"SELECT event_date, latency_ms {_OF_AGENT} ORDER BY event_date, latency_ms IS NULL, latency_ms",
            (agent.id, *_days(incoming)),
        )
        data: list[dict[str, object]] = []
        for day, of_day in groupby(rows, key=lambda row: row["event_date"]):
            latencies = [math.nan if row["latency_ms"] is None else row["latency_ms"] for row in of_day]
            figures = {name: round(_percentile(latencies, share), 1) for name, share in _PERCENTILES.items()}
            data.append({"date": day, **figures})
        return _figures(agent, data=data)

    async def error_count(self, incoming: Incoming) -> Response:
        """`GET /api/v1/agent/error-count/`: the events of each day that have an error text, whatever their status."""
        agent = self._agent(incoming)
        rows = await self._read(
            f"SELECT event_date AS date, count(*) AS error_count {_OF_AGENT} AND error != '' "
            "GROUP BY event_date ORDER BY event_date",
            (agent.id, *_days(incoming)),
        )
        return _figures(agent, data=[dict(row) for row in rows])

    async def path_timeseries(self, incoming: Incoming) -> Response:
        """`GET /api/v1/agent/path-timeseries/`: how many events each exact path had on each day."""
        agent = self._agent(incoming)
        rows = await self._read(
            f"SELECT path, event_date AS date, count(*) AS count {_OF_AGENT} AND project_id = ? "
            "GROUP BY path, event_date ORDER BY path, event_date",
            (agent.id, *_days(incoming), agent.project_id),
        )
        paths = [
            {"path": path, "data": [{"date": row["date"], "count": row["count"]} for row in of_path]}
            for path, of_path in groupby(rows, key=lambda row: row["path"])
        ]
        return _figures(agent, paths=paths)

    def _agent(self, incoming: Incoming) -> Agent:
        """Check the three headers, as Brain has them checked by UASAM."""
        user_token = incoming.header(b"x-otas-user-token")
        agent_id = incoming.header(b"x-otas-agent-id")
        project_id = incoming.header(b"x-otas-project-id")
        if user_token is None:
            raise refused(401, "missing_user_token")
        if agent_id is None:
            raise refused(400, "missing_agent_id")
        if project_id is None:
            raise refused(400, "missing_project_id")
        self._check_user(user_token)
        project_id = project_id.lower()
        if not self.directory.has_project(project_id):
            raise refused(403, "user_project_mapping_invalid")
        if not _is_uuid(agent_id):
            raise refused(500, "server_error")
        agent = self.directory.agent(agent_id)
        if agent is None or agent.project_id != project_id:
            raise refused(404, "agent_not_found")
        return agent

    def _check_user(self, token: str) -> None:
        user_id = (self.tokens.user_claims(token) or {}).get("user_id")
        if user_id is not None and not _is_uuid(user_id):
            raise UncaughtError(f"ValidationError: {user_id!r} is not a valid UUID.")
        if user_id is None or UUID(user_id) != UUID(self.user_id):
            raise refused(401, "invalid_token")

    async def _read(self, sql: str, parameters: Sequence[object]) -> list[sqlite3.Row]:
        return await asyncio.to_thread(self.store.read, sql, parameters)


def _is_uuid(value: object) -> TypeGuard[str]:
    try:
        return isinstance(value, str) and bool(UUID(value))
    except ValueError:
        return False


def _days(incoming: Incoming) -> tuple[str, str]:
    """Return the first and the last day of the question, as `YYYY-MM-DD`."""
    first, last = incoming.parameter("start_date"), incoming.parameter("end_date")
    if first is None or last is None:
        raise refused(400, "start_date and end_date are required")
    try:
        days = tuple(datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC).date() for day in (first, last))
    except ValueError:
        raise refused(400, "dates must be in YYYY-MM-DD format") from None
    if days[0] > days[1]:
        raise refused(400, "start_date must be before or equal to end_date")
    return days[0].isoformat(), days[1].isoformat()


def _percentile(ordered: Sequence[float], share: float) -> float:
    """Interpolate between neighbours as PostgreSQL's `percentile_cont` does."""
    place = share * (len(ordered) - 1)
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    return low if low == high else low + (high - low) * (place - math.floor(place))


def _figures(agent: Agent, **figures: object) -> Response:
    return DjangoJSON({"status": 1, "agent_id": agent.id, "project_id": agent.project_id, **figures})


def _listed(row: sqlite3.Row) -> dict[str, object]:
    event = to_event(row)
    arrived = datetime.fromtimestamp(event["arrived_at"], UTC).isoformat()
    hidden = {"id", "source", "arrived_at", "event_id"}
    return {
        "event_id": event["event_id"],
        "event_time": arrived,
        **{name: value for name, value in event.items() if name not in hidden},
        "created_at": arrived,
    }
