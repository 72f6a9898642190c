"""The parts of the documents that hold figures of a run: the benchmarks' and the chaos suite's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from chaos.report import COLUMNS as CHAOS_COLUMNS
from docs.documents import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RESULTS = ROOT / "benchmarks" / "results"
_COLUMNS = (
    *("bare", "ordinary over floor", "recorded, path", "recorded, total, direct", "recorded, total, httpx"),
    *("recorded, total, relay", "recorded, total, relay, batch"),
)


def bench(old: str) -> str:
    """Return the tables of the last `make bench`, or the old text if there is none."""
    path = RESULTS / "latest.json"
    if not path.exists():
        return old
    run: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    found: dict[str, dict[str, Any]] = run.get("applications", {})
    lines = [
        f"By `make bench`, Python {run['python']}, on a shared virtual machine.",
        "Medians, quartiles in brackets. The aims: 0.5 µs over the floor (Django 1), a path of 15 µs (Django ASGI 25),",
        "a total of 200 µs by httpx and of 100 µs by `fast`. Where they are missed, and why, is said under the tables.",
        "",
    ]
    for size in dict.fromkeys(size for figures in found.values() for size in figures):
        lines += [f"**{size}**", "", f"| application | {' | '.join(_COLUMNS)} |", "|---|" + "---:|" * len(_COLUMNS)]
        for name, figures in found.items():
            if size in figures:
                lines.append(f"| {name} | {' | '.join(_figure(figures[size].get(column)) for column in _COLUMNS)} |")
        lines.append("")
    return "\n".join([*lines, *_further(run)])


def _further(run: dict[str, Any]) -> Iterator[str]:
    """Yield the tables of the other parts of a run."""
    for server, variants in run.get("servers", {}).items():
        yield from _table(f"{server}: one worker at full load", "variant", variants)
    yield from _table("A call of an agent by httpx2, CPU µs", "call", run.get("agent", {}))
    for size, kinds in run.get("building", {}).items():
        yield from _table(f"Making an event, response body of {size}: CPU µs in the worker", "body", kinds)
    yield from _table("Sending events that are made already, 1 KB and 2 KB", "how", run.get("sending", {}))
    yield from _table("Hostile input, in the worker", "what", run.get("hostile", {}))
    footprint: dict[str, float] = run.get("footprint", {})
    yield from _table("Memory and imports", "what", {name: {"figure": value} for name, value in footprint.items()})


def _table(title: str, heading: str, rows: dict[str, dict[str, Any]]) -> Iterator[str]:
    columns = list(dict.fromkeys(column for figures in rows.values() for column in figures))
    if rows:
        yield from (f"**{title}**", "", f"| {heading} | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns))
        for name, figures in rows.items():
            yield f"| {name} | {' | '.join(_cell(figures.get(column, '')) for column in columns)} |"
        yield ""


def _cell(value: Any) -> str:
    return _figure(cast("dict[str, float]", value)) if isinstance(value, dict) else str(value)


def _figure(found: dict[str, float] | None) -> str:
    if found is None:
        return ""
    digits = 2 if abs(found["median"]) < 10 else 1
    low, middle, high = (f"{found[name]:.{digits}f}" for name in ("q1", "median", "q3"))
    return f"{middle} ({low} … {high})"


def chaos(old: str, path: Path = RESULTS / "chaos.json") -> str:
    """Return the tables of the last run of the chaos suite, or the old text if there is none."""
    if not path.exists():
        return old
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    runs = {run["fault"]: {title: run[name] for name, title in CHAOS_COLUMNS.items()} for run in found["runs"]}
    limits = {name: {"figure": value} for name, value in found["limits"].items()}
    for figures in runs.values():
        del figures["fault"]
    return "\n".join([*_table("Faults", "fault", runs), *_table("Limits", "what", limits)])
