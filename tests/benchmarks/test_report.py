"""Tables, and the change against an earlier run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from benchmarks.report import comparison, flat, table

if TYPE_CHECKING:
    from pathlib import Path


def test_a_table_is_aligned_markdown() -> None:
    assert table("Costs", ["what", "µs"], [["asgi", "1.00"], ["django-wsgi", "10.00"]]).splitlines() == [
        "",
        "Costs",
        "",
        "| what        |    µs |",
        "|-------------|------:|",
        "| asgi        |  1.00 |",
        "| django-wsgi | 10.00 |",
    ]


def test_of_quartiles_the_median_is_compared() -> None:
    run = {"sending": {"httpx": {"CPU": {"q1": 1.0, "median": 2.0, "q3": 3.0}, "events": 7}}, "python": "3.11"}
    assert flat(run) == {"sending.httpx.CPU": 2.0, "sending.httpx.events": 7.0}


def test_a_comparison_gives_the_ratio_of_each_figure_that_both_runs_have(tmp_path: Path) -> None:
    base = tmp_path / "base.json"
    base.write_text(json.dumps({"dearer": {"median": 2.0}, "gone": 1.0, "zero": 0.0, "same": 4}))
    told = comparison({"dearer": {"median": 3.0}, "new": 1.0, "zero": 5.0, "same": 4}, base)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in told.splitlines()[5:]]
    assert "base.json" in told
    assert rows == [["dearer", "2.00", "3.00", "1.50"], ["same", "4.00", "4.00", "1.00"]]
