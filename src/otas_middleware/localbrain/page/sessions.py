"""The list of sessions, latest activity first, and one session as a timeline.

A page of the list begins behind the last session of the page before it: what is active meanwhile moves to the first
page, and no session is shown twice or missed because others moved.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from otas_middleware.localbrain.page.http import BadQueryError, Json, finite_number, number
from otas_middleware.localbrain.page.listing import finite

if TYPE_CHECKING:
    import sqlite3

    from starlette.responses import Response

    from otas_middleware.localbrain.django_http import Incoming
    from otas_middleware.localbrain.store import Store

_PAGE = 100
_STEPS = 200
_LONGEST_META = 2000

# The groups come from the index of sessions alone, and the errors from an index of errors; the rest is looked up for
# the few sessions that are shown. A session without any event yet has its creation for its latest activity.
_LATEST = """
WITH active AS (
    SELECT agent_session_id AS id, count(*) AS events, min(id) AS first, max(id) AS last
    FROM event INDEXED BY event_session GROUP BY agent_session_id
), known AS (
    SELECT id, events, first, last FROM active
    UNION ALL
    SELECT id, 0, NULL, NULL FROM session WHERE id NOT IN (SELECT id FROM active)
), timed AS (
    SELECT known.*, session.agent_id, session.created_at, session.meta,
        coalesce((SELECT arrived_at FROM event WHERE event.id = known.last), session.created_at) AS latest
    FROM known LEFT JOIN session ON session.id = known.id
)
SELECT timed.*,
    coalesce(timed.agent_id, (SELECT agent_id FROM event WHERE id = timed.last)) AS agent,
    (SELECT arrived_at FROM event WHERE id = timed.first) AS began,
    (SELECT count(*) FROM event INDEXED BY event_failed
        WHERE agent_session_id = timed.id AND error != '') AS errors
FROM (
    SELECT * FROM timed WHERE :before IS NULL OR latest < :before OR (latest = :before AND id > :after)
    ORDER BY latest DESC, id LIMIT :limit
) AS timed
"""
_ONE = """
SELECT :id AS id, count(event.id) AS events, count(nullif(error, '')) AS errors,
    min(arrived_at) AS began, max(arrived_at) AS latest, session.created_at, session.meta,
    coalesce(session.agent_id, max(event.agent_id)) AS agent
FROM (SELECT 1) LEFT JOIN session ON session.id = :id
    LEFT JOIN event INDEXED BY event_session ON agent_session_id = :id
"""
_STEP = """
SELECT id, arrived_at, source, method, path, status_code, latency_ms, substr(error, 1, 300) AS error,
    json_extract(metadata, '$.captured_at') AS captured_at, json_extract(metadata, '$.event_id') AS own_id,
    json_extract(metadata, '$.parent_id') AS parent_id, called,
    json_extract(metadata, '$.framework') AS framework,
    coalesce(
        json_extract(custom_properties, '$.host'),
        CASE WHEN json_valid(request_headers) THEN json_extract(request_headers, '$.host') END
    ) AS host,
    json_extract(custom_properties, '$.model') AS model
FROM event INDEXED BY event_session WHERE agent_session_id = :id AND id > :after ORDER BY id LIMIT :limit
"""

# Who was called how often and for how long. A model is what an agent's own call names as one.
_TOTALS = """
SELECT source, CASE source WHEN 'agent' THEN json_extract(custom_properties, '$.model') END AS model,
    count(*) AS calls, count(nullif(error, '')) AS errors, sum(latency_ms) AS latency_ms,
    sum(json_extract(custom_properties, '$.usage.input')) AS input,
    sum(json_extract(custom_properties, '$.usage.output')) AS output
FROM event INDEXED BY event_session WHERE agent_session_id = :id GROUP BY 1, 2 ORDER BY calls DESC LIMIT 50
"""


class Sessions:
    """Answers for sessions."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def sessions(self, incoming: Incoming) -> Response:
        """`GET /_page/sessions?before=&after=`: a page of sessions, latest activity first.

        The answer holds `next`: the parameters of the next page, or null at the end. They are the time of the latest
        activity (Unix seconds) and the id of the last session that was shown.
        """
        before = finite_number(incoming, "before", "a time in Unix seconds")
        last = {"before": before, "after": incoming.parameter("after") or ""}
        with self._store.reading() as connection:
            rows = connection.execute(_LATEST, {"limit": _PAGE + 1, **last}).fetchall()
            agents = _agents(connection)
        shown = rows[:_PAGE]
        rest = {"before": shown[-1]["latest"], "after": shown[-1]["id"]} if len(rows) > _PAGE else None
        return Json({"sessions": [_session(row, agents) for row in shown], "next": rest})

    def session(self, incoming: Incoming) -> Response:
        """`GET /_page/session?id=&after=`: a session and a page of its events in the order of arrival.

        `began` of an event is Unix seconds: its time of capture, or what arrival and latency say. `totals` has a row
        for each source and model: how many calls, errors, milliseconds, and tokens in and out.
        """
        session_id, after = incoming.parameter("id"), number(incoming, "after", 0)
        if session_id is None:
            raise BadQueryError("id is missing")
        with self._store.reading() as connection:
            found = connection.execute(_ONE, {"id": session_id}).fetchone()
            rows = connection.execute(_STEP, {"id": session_id, "after": after, "limit": _STEPS + 1}).fetchall()
            totals = connection.execute(_TOTALS, {"id": session_id}).fetchall()
            agents = _agents(connection)
        if found["events"] == 0 and found["created_at"] is None:
            return Json({"error": "there is no such session (any more)"}, 404)
        rest = rows[_STEPS - 1]["id"] if len(rows) > _STEPS else None
        steps = [_step(row) for row in rows[:_STEPS]]
        shown = {"session": _session(found, agents), "totals": [_total(row) for row in totals]}
        return Json({**shown, "events": steps, "next": rest})


def _agents(connection: sqlite3.Connection) -> dict[str, str]:
    """Return the agents' names by their ids."""
    return {row["id"]: row["name"] for row in connection.execute("SELECT id, name FROM agent")}


def _total(row: sqlite3.Row) -> dict[str, Any]:
    total = finite(dict(row))
    tokens = {name: total[name] for name in ("input", "output")}
    return {**total, **{name: sum_ if sum_ is not None and math.isfinite(sum_) else 0 for name, sum_ in tokens.items()}}


def _session(row: sqlite3.Row, agents: dict[str, str]) -> dict[str, Any]:
    meta = row["meta"]
    return {
        "id": row["id"],
        "agent": row["agent"],
        "agent_name": agents.get(row["agent"], ""),
        "created_at": row["created_at"],
        "meta": meta if meta is None or len(meta) <= _LONGEST_META else meta[:_LONGEST_META] + "…",
        "events": row["events"],
        "errors": row["errors"],
        "began": row["began"],
        "latest": row["latest"],
    }


def _step(row: sqlite3.Row) -> dict[str, Any]:
    step = finite(dict(row))
    latency = step["latency_ms"]
    step["began"] = _unix(step.pop("captured_at"))
    if step["began"] is None:
        step["began"] = step["arrived_at"] - (latency / 1000 if isinstance(latency, float) else 0.0)
    return step


def _unix(text: object) -> float | None:
    """Read a time of capture, which a sender may have set to anything."""
    try:
        moment = datetime.fromisoformat(cast("str", text))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
