"""What a recorded request costs, in two versions of the package that take turns in one run.

    git worktree add ../before a55d4dc
    python -m benchmarks.versions ../before [APPLICATION ...]

Each version has a process of its own, which makes a batch of requests when it is told to and waits until their events
are delivered; so has this version with a relay, inline and in batches. They take turns on one processor, and leave the
others to the sink and the relay: what threads lose that hand Python's lock from one processor to another is more than
what is compared here.
CPU time is that of the whole process, less what the bare application takes, in microseconds per request. Of a relay's
process it is the mean, since Linux counts that by ticks.
"""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import otas_middleware
from benchmarks.applications import APPLICATIONS, PATH_PREFIX
from benchmarks.driver import Call, Runner
from benchmarks.overhead import SIZES
from benchmarks.relay import relay
from benchmarks.rounds import turns
from benchmarks.samples import json_document, session_token
from benchmarks.sink import sink

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).parents[1]
BATCH, ROUNDS = 100, 30
_TICK = 1e6 / os.sysconf("SC_CLK_TCK")
_PROCESSOR, *_OTHERS = sorted(os.sched_getaffinity(0))


def work(name: str, variant: Any, size: str, settings: dict[str, Any]) -> None:
    """Make a batch of requests each time a line comes in, and say what one cost."""
    asked, answered = SIZES[size]
    given = otas_middleware.OtasSettings(sdk_key="otas_bench_key", **settings) if variant == "otas" else None
    app = APPLICATIONS[name](variant, json_document(answered), given)
    token = session_token() if variant == "otas" else None
    runner = Runner(name, app, Call("POST", f"{PATH_PREFIX.get(name, '')}/items/7", json_document(asked), token), BATCH)
    loop = asyncio.new_event_loop()
    gc.collect()
    gc.freeze()
    for _ in sys.stdin:
        runner.run(loop, lambda: otas_middleware.flush(60.0), keep=True)
        print(runner.total[-1], flush=True)


def start(tree: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start the process of one version."""
    environment = {**os.environ, "PYTHONPATH": f"{tree / 'src'}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "benchmarks.versions", "--work", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    os.sched_setaffinity(process.pid, {_PROCESSOR})
    return process


def ask(process: subprocess.Popen[str]) -> float:
    """Have a process make a batch; return what it says."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def cpu_of(pid: int) -> float:
    """Return the microseconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK


def measure(before: Path, name: str, size: str, url: str, path: str, pid: int) -> str:
    """Measure one application with bodies of a size; return the line that says what was found."""
    processes = {
        "bare": start(ROOT, name, "bare", size),
        "before": start(before, name, "otas", size, f"brain_url={url}"),
        "now": start(ROOT, name, "otas", size, f"brain_url={url}"),
        "relay": start(ROOT, name, "otas", size, f"brain_url={url}", f"relay={path}"),
        "batch": start(ROOT, name, "otas", size, f"brain_url={url}", f"relay={path}", "relay_batch=1"),
    }
    found: dict[str, list[float]] = {which: [] for which in processes}
    used = 0.0
    for which, counts in turns(list(processes), ROUNDS):
        begun, cost = cpu_of(pid), ask(processes[which])
        if counts:
            found[which].append(cost)
            used += (cpu_of(pid) - begun) / BATCH / ROUNDS if which == "relay" else 0.0
    for process in processes.values():
        process.communicate()

    def added(which: str, of: Callable[[Sequence[float]], float]) -> float:
        return of(found[which]) - of(found["bare"])

    figures = [*(added(which, median) for which in ("before", "now", "relay", "batch")), used]
    ratios = [
        f"{added(which, min) / added('before', min):.2f} ({added(which, median) / added('before', median):.2f})"
        for which in ("now", "relay", "batch")
    ]
    ratios.append(f"{(added('relay', median) + used) / added('before', median):.2f}")
    return (
        f"{name:12} {size:9}" + "".join(f"{figure:8.0f}" for figure in figures) + "".join(f"{it:>14}" for it in ratios)
    )


def main(before: Path, names: Sequence[str]) -> None:
    """Measure these applications, or all of them, and print a line for each; ratios are of minima (medians)."""
    from otas_middleware._delivery.relay.start import state_of  # which the version before may not have

    shown = ("now/before", "relay/before", "batch/before", "together")
    columns = f"{'before':>8}{'now':>8}{'relay':>8}{'batch':>8}{'its own':>8}" + "".join(f"{it:>14}" for it in shown)
    print(f"{'':22}{columns}")
    if _OTHERS:
        os.sched_setaffinity(0, _OTHERS)
    with sink() as url, relay() as path:
        pid = int(state_of(path)["pid"])
        for name in names or APPLICATIONS:
            for size in ("1/2 KB", "40/40 KB"):
                print(measure(before, name, size, url, path, pid), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2], sys.argv[3], sys.argv[4], dict(pair.split("=", 1) for pair in sys.argv[5:]))
    else:
        main(Path(sys.argv[1]).resolve(), sys.argv[2:])
