"""What the page sums up: sessions, latest activity first, one as a timeline; and figures over time for the charts.

A page of the sessions begins behind the last one of the page before it: what is active meanwhile moves to the first
page, and no session is shown twice or missed because others moved. Charts are percentiles of latency, errors by kind,
and traffic by what was called.
"""

from __future__ import annotations

import json
import math
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from otas_middleware.localbrain.page.http import BadQueryError, Json, finite_number, number
from otas_middleware.localbrain.page.listing import finite, read_filter

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


_SLOTS = 60
_BUSIEST_DRAWN = 6
_LONGEST_RANGE = 400 * 24 * 3600
_PERCENTILES = {"p50": 50, "p95": 95, "p99": 99}

# A table whose row ids are the ranks of its latencies: a percentile is then a look-up, and nothing is sorted twice.
_RANK = """
CREATE TEMP TABLE ranked AS
SELECT {slot} AS slot, latency_ms FROM {events} AND latency_ms IS NOT NULL ORDER BY 1, 2
"""
_RANK_ALL = "CREATE TEMP TABLE ranked_all AS SELECT latency_ms FROM ranked ORDER BY 1"
_SIZES = "SELECT slot, min(rowid) AS first, count(*) AS size FROM ranked GROUP BY slot"
_KINDS = """
count(*) AS events, count(nullif(error, '')) AS errors,
sum(status_code BETWEEN 400 AND 499) AS client_errors, sum(status_code >= 500) AS server_errors,
sum(status_code < 400 AND coalesce(error, '') != '') AS failed
"""
_COUNTS = "SELECT {slot} AS slot, {kinds} FROM {events} GROUP BY 1"
_BUSIEST = """
SELECT called, {kinds}, avg(latency_ms) AS mean FROM {events}
GROUP BY called ORDER BY events DESC, called LIMIT 20
"""
_BY_CALL = """
SELECT {slot} AS slot, called, count(*) AS events FROM {events}
AND called IN (SELECT value FROM json_each(:calls)) GROUP BY 1, 2
"""
_COUNTED = ("events", "errors", "client_errors", "server_errors", "failed")
_SLOT = "min(:slots - 1, CAST((arrived_at - :start) / :width AS INTEGER))"


def charts(store: Store, incoming: Incoming) -> Response:
    """`GET /_page/charts?seconds=` and a filter: the figures of the last so many seconds; 0 is all there is.

    Times are Unix seconds and latencies milliseconds; each list has a value for each of `times`, the beginnings of
    slots of equal `width` seconds. `client_errors` have a status of 4xx, `server_errors` one of 5xx and above, and
    `failed` are errors within an answer below 400.
    """
    wanted = read_filter(incoming)
    if wanted.reads_bodies:
        raise BadQueryError("charts do not look into bodies")
    seconds = number(incoming, "seconds", 3600, most=_LONGEST_RANGE)
    with store.reading() as connection:
        start, width = _slots(connection, seconds)
        first = connection.execute(
            "SELECT min(id) FROM event INDEXED BY event_arrival WHERE arrived_at >= ?", (start,)
        ).fetchone()[0]
        where, values = wanted.where()
        events = f"{wanted.table} WHERE id >= :first AND arrived_at >= :start AND {where}"
        values |= {"slots": _SLOTS, "start": start, "width": width, "first": first or 2**62}
        return Json(_Figures(connection, events, values).all())


class _Figures:
    """The figures of one selection of events.

    Args:
        connection: Where to read.
        events: What follows FROM.
        values: Its parameters, and those of the slots.
    """

    def __init__(self, connection: sqlite3.Connection, events: str, values: dict[str, object]) -> None:
        self._connection = connection
        self._events = events
        self._values = values

    def all(self) -> dict[str, Any]:
        """Return the answer."""
        start, width = cast("float", self._values["start"]), cast("float", self._values["width"])
        counts = {row["slot"]: row for row in self._rows(_COUNTS)}
        busiest = self._rows(_BUSIEST)
        series = {name: [counts[slot][name] if slot in counts else 0 for slot in range(_SLOTS)] for name in _COUNTED}
        slots, whole = self._percentiles()
        return {
            "times": [start + slot * width for slot in range(_SLOTS)],
            "width": width,
            **series,
            **{name: [slots[slot].get(name) for slot in range(_SLOTS)] for name in _PERCENTILES},
            "calls": self._traffic([row["called"] for row in busiest[:_BUSIEST_DRAWN]]),
            "busiest": [{**dict(row), "mean": _finite(row["mean"])} for row in busiest],
            "total": {
                **{name: sum(numbers) for name, numbers in series.items()},
                **{name: whole.get(name) for name in _PERCENTILES},
            },
        }

    def _traffic(self, calls: list[str]) -> list[dict[str, Any]]:
        counted: dict[str, list[int]] = {called: [0] * _SLOTS for called in calls}
        for row in self._rows(_BY_CALL, calls=json.dumps(calls)):
            counted[row["called"]][row["slot"]] = row["events"]
        return [{"called": called, "events": numbers} for called, numbers in counted.items()]

    def _percentiles(self) -> tuple[list[dict[str, float | None]], dict[str, float | None]]:
        """Return the percentiles of each slot, and of all together; none where there is no event."""
        self._rows(_RANK)
        self._rows(_RANK_ALL)
        slots: list[dict[str, float | None]] = [{} for _ in range(_SLOTS)]
        for row in self._rows(_SIZES):
            slots[row["slot"]] = self._at("ranked", row["first"], row["size"])
        size = self._rows("SELECT count(*) AS size FROM ranked_all")[0]["size"]
        return slots, self._at("ranked_all", 1, size) if size else {}

    def _at(self, table: str, first: int, size: int) -> dict[str, float | None]:
        """Look percentiles up by nearest rank: the smallest latency that so many percent of all do not exceed."""
        found: dict[str, float | None] = {}
        for name, percent in _PERCENTILES.items():
            rank = first + (size * percent + 99) // 100 - 1
            found[name] = _finite(self._rows(f"SELECT latency_ms FROM {table} WHERE rowid = {rank}")[0][0])  # noqa: S608
        return found

    def _rows(self, sql: str, **values: object) -> list[sqlite3.Row]:
        return self._connection.execute(
            sql.format(slot=_SLOT, events=self._events, kinds=_KINDS), {**self._values, **values}
        ).fetchall()


def _slots(connection: sqlite3.Connection, seconds: int) -> tuple[float, float]:
    """Return when the first slot begins, in Unix seconds, and how many seconds a slot has."""
    oldest, newest = connection.execute(
        "SELECT (SELECT min(arrived_at) FROM event), (SELECT max(arrived_at) FROM event)"
    ).fetchone()
    end = time.time() if seconds or newest is None else newest
    start = end - seconds if seconds or oldest is None else oldest
    return start, max(1.0, (end - start) / _SLOTS)


def _finite(value: float | None) -> float | None:
    """Leave out what JSON cannot hold."""
    return value if value is not None and math.isfinite(value) else None
