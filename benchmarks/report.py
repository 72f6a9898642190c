"""Tables for people, JSON for machines, and the change against an earlier run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from pathlib import Path


def table(title: str, head: list[str], rows: list[list[str]]) -> str:
    """Return an aligned Markdown table: the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(cells: list[str]) -> str:
        first, *rest = (
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "| " + " | ".join([first, *rest]) + " |"

    rule = (
        "|"
        + "|".join("-" * (width + 2) if column == 0 else "-" * (width + 1) + ":" for column, width in enumerate(widths))
        + "|"
    )
    return "\n".join([f"\n{title}\n", line(head), rule, *(line(row) for row in rows)])


def with_quartiles(figures: dict[str, float]) -> str:
    """Return a median, and the quartiles about it."""
    return f"{figures['median']:.2f} ({figures['q1']:.2f}…{figures['q3']:.2f})"


def flat(results: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """Return nested results as one mapping of dotted names to figures; of quartiles, the median stands for all."""
    found: dict[str, float] = {}
    for name, value in results.items():
        if name in {"q1", "q3"}:
            continue
        key = prefix.removesuffix(".") if name == "median" else f"{prefix}{name}"
        if isinstance(value, dict):
            found.update(flat(cast("dict[str, Any]", value), f"{key}."))
        elif isinstance(value, int | float):
            found[key] = float(value)
    return found


def comparison(results: dict[str, Any], base: Path) -> str:
    """Return a table of each median that both runs have, with the ratio."""
    before = flat(json.loads(base.read_text(encoding="utf-8")))
    rows = [
        [name, f"{before[name]:.2f}", f"{value:.2f}", f"{value / before[name]:.2f}"]
        for name, value in flat(results).items()
        if before.get(name)
    ]
    return table(f"Against {base.name}", ["figure", "before", "now", "ratio"], rows)
