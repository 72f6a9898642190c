"""What dashboards read: a session's events, and three daily figures of an agent.

As in Brain, NaN and infinite latencies are handed on, and an answer that holds one is not valid JSON.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING, TypeGuard
from uuid import UUID

from otas_middleware.localbrain.django_http import DjangoJSON, refused
from otas_middleware.localbrain.store import to_event
from otas_middleware.localbrain.tokens import UnreadableTokenError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from starlette.responses import Response

    from otas_middleware.localbrain.django_http import Incoming
    from otas_middleware.localbrain.store import Store
    from otas_middleware.localbrain.tokens import TokenAuthority
    from otas_middleware.localbrain.uasam import Agent, Directory

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
        self._check_user(incoming, user_token)
        project_id = project_id.lower()
        if not self.directory.has_project(project_id):
            raise refused(403, "user_project_mapping_invalid")
        if not _is_uuid(agent_id):
            raise refused(500, "server_error")
        agent = self.directory.agent(agent_id)
        if agent is None or agent.project_id != project_id:
            raise refused(404, "agent_not_found")
        return agent

    def _check_user(self, incoming: Incoming, token: str) -> None:
        try:
            user_id = (self.tokens.user_claims(token) or {}).get("user_id")
        except UnreadableTokenError as error:
            raise incoming.failure(str(error)) from None
        if user_id is not None and not _is_uuid(user_id):
            raise incoming.failure(f"ValidationError: {user_id!r} is not a valid UUID.")
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
