"""What the worker needs, in time and memory, for input that is made to need much: the cases of `tests/events`."""

from __future__ import annotations

import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

from benchmarks.report import table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # those cases

MEGABYTE = 1_048_576


def measure(rounds: int) -> dict[str, Any]:
    """Return milliseconds of CPU and megabytes at most, by case."""
    from events.exchange import event_of, exchange
    from events.test_hostile import CASES

    event_of(exchange(response_body=b"{}", response_type="application/json"))  # what is made once is nobody's
    found: dict[str, Any] = {}
    for name, (make, _, _) in CASES.items():
        capture = make()
        tracemalloc.start()
        event_of(capture)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        times: list[float] = []
        for _ in range(rounds):
            began = time.process_time()
            event_of(capture)
            times.append(time.process_time() - began)
        found[name] = {"CPU ms": round(min(times) * 1000, 1), "MB at most": round(peak / MEGABYTE, 1)}
    return found


def show(found: dict[str, Any]) -> None:
    """Print the table."""
    rows = [[name, *(str(value) for value in figures.values())] for name, figures in found.items()]
    print(table("Hostile input, in the worker", ["what", "CPU ms", "MB at most"], rows))
