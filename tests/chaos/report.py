"""Keeps the figures of all runs as JSON, and as a table beside it, in the folder that `CHAOS_REPORT` names."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chaos.stage import Figures

COLUMNS = {
    "fault": "fault",
    "seconds": "lasted, s",
    "answered": "calls answered",
    "lost": "events lost",
    "duplicates": "duplicates",
    "possible_duplicates": "counted as possible",
    "p50_before": "p50 before, ms",
    "p50_during": "p50 during, ms",
    "p99_before": "p99 before, ms",
    "p99_during": "p99 during, ms",
    "memory_growth_mb": "memory, MB more",
    "recovery_seconds": "all arrived after, s",
    "exit_seconds": "exit, s",
}


def add(figures: Figures) -> None:
    """Add one run, in the place of an earlier one of the same fault."""
    found = _read()
    runs = [run for run in found["runs"] if run["fault"] != figures.fault]
    _write({**found, "runs": [*runs, figures.as_dict()]})


def note(name: str, value: object) -> None:
    """Add a single figure, in the place of an earlier one of the same name."""
    found = _read()
    _write({**found, "limits": {**found["limits"], name: value}})


def _folder() -> Path | None:
    name = os.environ.get("CHAOS_REPORT")
    return Path(name) if name else None


def _read() -> dict[str, Any]:
    folder = _folder()
    empty: dict[str, Any] = {"runs": [], "limits": {}}
    if folder is None or not (folder / "chaos.json").exists():
        return empty
    found: dict[str, Any] = json.loads((folder / "chaos.json").read_text())
    return {**empty, **found}


def _write(found: dict[str, Any]) -> None:
    folder = _folder()
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "chaos.json").write_text(json.dumps(found, indent=1) + "\n")
    rows = [" | ".join(COLUMNS.values()), " | ".join("---" for _ in COLUMNS)]
    rows += [" | ".join(str(run[column]) for column in COLUMNS) for run in found["runs"]]
    rows = [f"| {row} |" for row in rows]
    rows += [
        "",
        "| limit | figure |",
        "| --- | --- |",
        *(f"| {key} | {value} |" for key, value in found["limits"].items()),
    ]
    (folder / "chaos.md").write_text("\n".join(rows) + "\n")
