"""The parts of the documents that hold figures of a run: the benchmarks' and the chaos suite's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from docs.documents import ROOT

if TYPE_CHECKING:
    from pathlib import Path

RESULTS = ROOT / "benchmarks" / "results"
_COLUMNS = ("bare", "ordinary over floor", "recorded, path", "recorded, total")


def bench(old: str) -> str:
    """Return the tables of the last `make bench`, or the old text if there is none."""
    path = RESULTS / "latest.json"
    if not path.exists():
        return old
    run: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    found: dict[str, dict[str, Any]] = run["applications"]
    lines = [f"Python {run['python']}, transport `{run['transport']}`; medians, quartiles in brackets.", ""]
    for size in dict.fromkeys(size for figures in found.values() for size in figures):
        lines += [f"**{size}**", "", f"| application | {' | '.join(_COLUMNS)} |", "|---|" + "---:|" * len(_COLUMNS)]
        for name, figures in found.items():
            if size in figures:
                lines.append(f"| {name} | {' | '.join(_figure(figures[size].get(column)) for column in _COLUMNS)} |")
        lines.append("")
    return "\n".join(lines)


def _figure(found: dict[str, float] | None) -> str:
    return "" if found is None else f"{found['median']:.1f} ({found['q1']:.1f} … {found['q3']:.1f})"


def chaos(old: str, path: Path = RESULTS / "chaos.json") -> str:
    """Return the table of the last run of the chaos suite, or the old text if there is none."""
    if not path.exists():
        return old
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [f"| {' | '.join(columns)} |", "|---|" + "---:|" * (len(columns) - 1)]
    lines += [f"| {' | '.join(str(row.get(name, '')) for name in columns)} |" for row in rows]
    return "\n".join(lines) + "\n"
