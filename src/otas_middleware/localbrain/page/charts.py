"""Figures over time for the charts: percentiles of latency, errors, and traffic by path."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from otas_middleware.localbrain.page.filters import read_filter
from otas_middleware.localbrain.page.http import BadQueryError, Json, number

if TYPE_CHECKING:
    import sqlite3

    from starlette.responses import Response

    from otas_middleware.localbrain.incoming import Incoming
    from otas_middleware.localbrain.store import Store

_SLOTS = 60
_PATHS = 6
_LONGEST_RANGE = 400 * 24 * 3600

# Nearest rank: the smallest latency that at least so many percent of the events do not exceed.
_PERCENTILES = """
WITH ranked AS (
    SELECT slot, latency_ms, row_number() OVER (PARTITION BY slot ORDER BY latency_ms) AS place,
        count(*) OVER (PARTITION BY slot) AS size
    FROM picked WHERE latency_ms IS NOT NULL
)
SELECT slot,
    max(CASE WHEN place = (size * 50 + 99) / 100 THEN latency_ms END) AS p50,
    max(CASE WHEN place = (size * 95 + 99) / 100 THEN latency_ms END) AS p95,
    max(CASE WHEN place = (size * 99 + 99) / 100 THEN latency_ms END) AS p99
FROM ranked GROUP BY slot
"""
_PICK = """
INSERT INTO picked
SELECT min(:slots - 1, CAST((arrived_at - :start) / :width AS INTEGER)), path, latency_ms, coalesce(error, '') != ''
FROM {table} WHERE id >= :first AND arrived_at >= :start AND {where}
"""
_COUNTS = "SELECT slot, count(*) AS events, sum(failed) AS errors FROM picked GROUP BY slot"
_BUSIEST = """
SELECT path, count(*) AS events, sum(failed) AS errors, avg(latency_ms) AS mean FROM picked
GROUP BY path ORDER BY events DESC, path LIMIT 20
"""
_BY_PATH = "SELECT slot, path, count(*) AS events FROM picked WHERE path IN ({marks}) GROUP BY slot, path"


class Charts:
    """Answers for the charts."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def charts(self, incoming: Incoming) -> Response:
        """`GET /_page/charts?seconds=` and a filter: the figures of the last so many seconds; 0 is all there is.

        Times are Unix seconds and latencies milliseconds; each list has a value for each of `times`, the beginnings of
        slots of equal `width`.
        """
        wanted = read_filter(incoming)
        if wanted.reads_bodies:
            raise BadQueryError("charts do not look into bodies")
        seconds = number(incoming, "seconds", 3600, most=_LONGEST_RANGE)
        with self._store.reading() as connection:
            oldest, newest = connection.execute(
                "SELECT (SELECT min(arrived_at) FROM event), (SELECT max(arrived_at) FROM event)"
            ).fetchone()
            end = time.time() if seconds else (newest or time.time())
            start = end - seconds if seconds else (oldest or end)
            width = max(1.0, (end - start) / _SLOTS) if end > start else 1.0
            first = connection.execute(
                "SELECT min(id) FROM event INDEXED BY event_arrival WHERE arrived_at >= ?", (start,)
            ).fetchone()[0]
            where, values = wanted.where()
            connection.execute("CREATE TEMP TABLE picked (slot INTEGER, path TEXT, latency_ms REAL, failed INTEGER)")
            connection.execute(
                _PICK.format(table=wanted.table, where=where),
                {**values, "slots": _SLOTS, "start": start, "width": width, "first": first or 2**62},
            )
            return Json(_figures(connection, start, width))


def _figures(connection: sqlite3.Connection, start: float, width: float) -> dict[str, Any]:
    percentiles = {row["slot"]: row for row in connection.execute(_PERCENTILES)}
    counts = {row["slot"]: row for row in connection.execute(_COUNTS)}
    busiest = connection.execute(_BUSIEST).fetchall()
    shown = [row["path"] for row in busiest[:_PATHS]]
    traffic: dict[str, list[int]] = {path: [0] * _SLOTS for path in shown}
    for row in connection.execute(_BY_PATH.format(marks=",".join("?" * len(shown))), shown):
        traffic[row["path"]][row["slot"]] = row["events"]
    events = [counts[slot]["events"] if slot in counts else 0 for slot in range(_SLOTS)]
    connection.execute("UPDATE picked SET slot = 0")
    whole = connection.execute(_PERCENTILES).fetchone()
    return {
        "times": [start + slot * width for slot in range(_SLOTS)],
        "width": width,
        "events": events,
        "errors": [counts[slot]["errors"] if slot in counts else 0 for slot in range(_SLOTS)],
        **{
            name: [_finite(percentiles[slot][name]) if slot in percentiles else None for slot in range(_SLOTS)]
            for name in ("p50", "p95", "p99")
        },
        "paths": [{"path": path, "events": traffic[path]} for path in shown],
        "busiest": [{**dict(row), "mean": _finite(row["mean"])} for row in busiest],
        "total": {
            "events": sum(events),
            "errors": sum(row["errors"] for row in counts.values()),
            **{name: _finite(whole[name]) if whole else None for name in ("p50", "p95", "p99")},
        },
    }


def _finite(value: float | None) -> float | None:
    """Leave out what JSON cannot hold."""
    return value if value is not None and math.isfinite(value) else None
