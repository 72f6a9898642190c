"""Keeps the figures of all runs in `docs/figures/chaos.json`, and as a table beside it, when asked to."""

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
    """Add one run, in the place of an earlier one of the same fault, if `OTAS_CHAOS_REPORT` names a folder."""
    name = os.environ.get("OTAS_CHAOS_REPORT")
    if not name:
        return
    folder = Path(name)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "chaos.json"
    runs: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    runs = [run for run in runs if run["fault"] != figures.fault] + [figures.as_dict()]
    path.write_text(json.dumps(runs, indent=1) + "\n")
    rows = [" | ".join(COLUMNS.values()), " | ".join("---" for _ in COLUMNS)]
    rows += [" | ".join(str(run[column]) for column in COLUMNS) for run in runs]
    (folder / "chaos.md").write_text("\n".join(f"| {row} |" for row in rows) + "\n")
