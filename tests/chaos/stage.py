"""One run: load, a fault in the middle of it, and the account afterwards."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from chaos.processes import Brain, Network, Server

if TYPE_CHECKING:
    from collections.abc import Callable

QUIET_SECONDS = 3.0
"""Load before the fault and after it."""

RECOVERY_SECONDS = 120.0
"""How long everything may take to arrive after the load has ended."""

STANDSTILL_SECONDS = 45.0
"""Nothing more is waited for when nothing has arrived for so long: beyond the 30 s that a lost request takes to end."""


@dataclass
class Figures:
    """What one run came to. Times are milliseconds unless a name says otherwise."""

    fault: str
    seconds: float
    answered: int
    """Calls that the agents saw answered completely."""
    stored: int
    """Different events in Brain."""
    lost: int
    """Answered, and not in Brain in the end."""
    duplicates: int
    possible_duplicates: int
    """As the workers counted; those of killed workers are missing."""
    p50_before: float
    p50_during: float
    p99_before: float
    p99_during: float
    memory_growth_mb: float
    """Of the worker that grew most."""
    recovery_seconds: float
    """From the end of the load until everything had arrived."""
    exit_seconds: float
    """What the whole server took to end."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Stage:
    """Everything that runs during one scenario.

    Args:
        folder: For databases, the spool and logs.
        rate: Calls per second.
        server: `gunicorn` or `uvicorn`.
        environment: Settings of the middleware beyond the usual.
    """

    def __init__(self, folder: Path, rate: float, server: str = "gunicorn", **environment: str) -> None:
        self.folder = folder
        self.rate = rate
        self.brain = Brain(folder)
        self.brain.start()
        self.network = Network(self.brain.port)
        self.server = Server(
            folder,
            {
                **self.brain.environment,
                "OTAS_BRAIN_URL": self.network.url,
                "OTAS_UASAM_URL": self.brain.url,
                "OTAS_SPOOL_DIR": str(folder / "spool"),
                "OTAS_MAX_RETRY_DELAY": "2",
                **environment,
            },
            server,
        )
        self._by_worker: dict[int, dict[str, Any]] = {}
        self._memory: dict[int, list[int]] = {}
        self._watching = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._watching.set()
        self.server.stop()
        self.brain.stop()
        self.network.close()

    def run(self, fault: str, seconds: float, begin: Callable[[], object], end: Callable[[], object]) -> Figures:
        """Load, break, load on, repair, load on, and wait until all has arrived."""
        token = self.brain.create_session()
        out = self.folder / "calls"
        watcher = threading.Thread(target=self._watch, daemon=True)
        watcher.start()
        load = subprocess.Popen(
            [
                sys.executable,
                str(Path(__file__).with_name("load.py")),
                str(self.server.port),
                str(self.rate),
                token,
                str(out),
            ],
            stdin=subprocess.PIPE,
        )
        try:
            time.sleep(QUIET_SECONDS + 1.0)
            broken = time.monotonic()
            begin()
            time.sleep(max(0.0, seconds - (time.monotonic() - broken)))
            end()
            repaired = time.monotonic()
            time.sleep(QUIET_SECONDS)
        finally:
            load.communicate(b"STOP\n", timeout=60)
        stopped = time.monotonic()
        calls = [json.loads(line) for line in out.read_text().splitlines()]
        answered = {path for _, _, complete, path in calls if complete}
        self._wait_for(answered)
        recovery = time.monotonic() - stopped
        self._watching.set()
        watcher.join(10)
        self._ask_each_worker()
        exit_seconds = self.server.stop()
        stored = self.brain.stored()
        first = min(begun for begun, *_ in calls)
        before = [took for begun, took, *_ in calls if first + 1.0 <= begun < broken]
        during = [took for begun, took, *_ in calls if broken <= begun < repaired]
        return Figures(
            fault=fault,
            seconds=round(repaired - broken, 1),
            answered=len(answered),
            stored=len(set(stored)),
            lost=len(answered - set(stored)),
            duplicates=len(stored) - len(set(stored)),
            possible_duplicates=sum(stats.get("possible_duplicates", 0) for stats in self._by_worker.values()),
            p50_before=_quantile(before, 0.50),
            p50_during=_quantile(during, 0.50),
            p99_before=_quantile(before, 0.99),
            p99_during=_quantile(during, 0.99),
            memory_growth_mb=self._growth(),
            recovery_seconds=round(recovery, 1),
            exit_seconds=round(exit_seconds, 2),
        )

    def _wait_for(self, answered: set[str]) -> None:
        deadline = time.monotonic() + RECOVERY_SECONDS
        quiet = time.monotonic() + STANDSTILL_SECONDS
        count = -1
        while time.monotonic() < min(deadline, quiet):
            stored = set(self.brain.stored())
            if answered <= stored:
                return
            if len(stored) != count:
                count, quiet = len(stored), time.monotonic() + STANDSTILL_SECONDS
            time.sleep(0.1)

    def _watch(self) -> None:
        while not self._watching.wait(0.1):
            self._ask()

    def _ask(self) -> int | None:
        """Take the counters of one worker; return which one answered."""
        stats = self.server.stats()
        if stats is None:
            return None
        self._by_worker[stats["pid"]] = stats
        self._memory.setdefault(stats["pid"], []).append(stats["rss"])
        pid: int = stats["pid"]
        return pid

    def _ask_each_worker(self) -> None:
        """Take the last counters of all workers; which one answers is the kernel's choice."""
        missing = set(self.server.workers())
        for _ in range(500):
            if not missing:
                return
            with ThreadPoolExecutor(8) as pool:  # several at once reach several workers
                asked = [pool.submit(self._ask) for _ in range(8)]
            missing -= {answer.result() for answer in asked}

    def _growth(self) -> float:
        """Return the growth of memory, from its median in the first seconds to its largest."""
        growths = [
            max(samples) - statistics.median(samples[3:15]) for samples in self._memory.values() if len(samples) > 15
        ]
        return round(max(growths, default=0.0) / 1_048_576, 1)


def _quantile(values: list[float], share: float) -> float:
    if not values:
        return 0.0
    return round(sorted(values)[min(len(values) - 1, int(len(values) * share))] * 1000, 1)
