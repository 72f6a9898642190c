"""The parts of the documents that hold figures of a run: the benchmarks' and the chaos suite's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from docs.documents import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

RESULTS = ROOT / "benchmarks" / "results"
_SMALL, _LARGE = "1/2 KB", "40/40 KB"
_APPLICATIONS = {
    "bare": (_SMALL, "bare"),
    "no token": (_SMALL, "ordinary over floor"),
    "path": (_SMALL, "recorded, path"),
    "all": (_SMALL, "recorded, total, direct"),
    "relay": (_SMALL, "recorded, total, relay"),
    "relay, batch": (_SMALL, "recorded, total, relay, batch"),
    "all, 40 KB": (_LARGE, "recorded, total, direct"),
    "relay, 40 KB": (_LARGE, "recorded, total, relay"),
}
"""The columns of the first table, and where a run has them."""
_SERVERS = ("ordinary", "recorded, direct", "recorded, relay", "recorded, relay, batch")
_MADE = ("1 KB", "40 KB, the request's too")
_WAYS = ("direct", "httpx", "Celery publish", "durability=spool, writing and sending")
_FAULTS = {
    "fault": "fault",
    "lost": "lost",
    "duplicates": "duplicates",
    "p99_during": "p99, ms",
    "recovery_seconds": "all arrived after, s",
}


def bench(old: str) -> str:
    """Return the tables of the last `make bench`, or the old text if there is none."""
    path = RESULTS / "latest.json"
    if not path.exists():
        return old
    run: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return "\n".join(
        [
            f"By `make bench`, Python {run['python']}, on two shared cores. Medians.",
            "",
            *_applications(run.get("applications", {})),
            *_servers(run.get("servers", {})),
            *_others(run),
        ]
    )


def _applications(found: dict[str, dict[str, Any]]) -> Iterator[str]:
    rows = [[name, *(_median(sizes, *place) for place in _APPLICATIONS.values())] for name, sizes in found.items()]
    yield from _table(("application, CPU µs", *_APPLICATIONS), rows)


def _servers(found: dict[str, dict[str, Any]]) -> Iterator[str]:
    names = [name for name in _SERVERS if any(name in variants for variants in found.values())]
    rows = [
        [server, *(_median(variants, name, "CPU over bare", digits=2) for name in names)]
        for server, variants in found.items()
    ]
    yield from _table(("one worker at full load: its CPU over bare", *names), rows)


def _others(run: dict[str, Any]) -> Iterator[str]:
    building, sending = run.get("building", {}), run.get("sending", {})
    rows = [
        [f"make an event, response of {size}: CPU µs", f"{building[size]['JSON']['whole']:.0f}"]
        for size in _MADE
        if size in building
    ]
    rows += [
        [f"deliver one that is made, {how}: CPU µs", _median(sending, how, "CPU µs per event")]
        for how in _WAYS
        if how in sending
    ]
    rows += [[name, f"{value:g}"] for name, value in cast("dict[str, float]", run.get("footprint", {})).items()]
    yield from _table(("other", "figure"), rows)


def _median(found: dict[str, Any], *path: str, digits: int = 0) -> str:
    value: Any = found
    for name in path:
        value = value.get(name, {})
    if not value:
        return ""
    if value["q1"] <= 0 <= value["q3"] or value["median"] < 0:
        return "≈ 0"  # less than two runs of the same differ by
    return f"{value['median']:.{digits or (1 if value['median'] < 10 else 0)}f}"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    first, *others = head
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if lines:
        yield from (f"| {' | '.join((first, *others))} |", "|---|" + "---:|" * len(others), *lines, "")


def chaos(old: str, path: Path = RESULTS / "chaos.json") -> str:
    """Return the tables of the last run of the chaos suite under gunicorn, or the old text if there is none."""
    if not path.exists():
        return old
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    runs = [run for run in found["runs"] if not run["fault"].endswith(", uvicorn")]
    harmless = [run for run in runs if not run["lost"] and not run["duplicates"]]
    faults = [[str(run[name]) for name in _FAULTS] for run in runs if run not in harmless]
    limits = [[name, str(value)] for name, value in found["limits"].items()]
    together = [_together(harmless)] if harmless else []
    return "\n".join([*_table(_FAULTS.values(), [*together, *faults]), *_table(("limit", "figure"), limits)])


def _together(runs: list[dict[str, Any]]) -> list[str]:
    """Return one row for faults that did no harm, with the lowest and the highest of their figures."""
    figures = [[run[name] for run in runs] for name in list(_FAULTS)[1:]]
    return ["; ".join(run["fault"] for run in runs), *(_span(min(each), max(each)) for each in figures)]


def _span(lowest: float, highest: float) -> str:
    return f"{lowest}" if lowest == highest else f"{lowest} … {highest}"
