"""Figures over time for the charts: percentiles of latency, errors by kind, and traffic by what was called."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Any, cast

from otas_middleware.localbrain.page.http import BadQueryError, Json, number
from otas_middleware.localbrain.page.listing import read_filter

if TYPE_CHECKING:
    import sqlite3

    from starlette.responses import Response

    from otas_middleware.localbrain.django_http import Incoming
    from otas_middleware.localbrain.store import Store

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


class Charts:
    """Answers for the charts."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def charts(self, incoming: Incoming) -> Response:
        """`GET /_page/charts?seconds=` and a filter: the figures of the last so many seconds; 0 is all there is.

        Times are Unix seconds and latencies milliseconds; each list has a value for each of `times`, the beginnings of
        slots of equal `width` seconds. `client_errors` have a status of 4xx, `server_errors` one of 5xx and above, and
        `failed` are errors within an answer below 400.
        """
        wanted = read_filter(incoming)
        if wanted.reads_bodies:
            raise BadQueryError("charts do not look into bodies")
        seconds = number(incoming, "seconds", 3600, most=_LONGEST_RANGE)
        with self._store.reading() as connection:
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
