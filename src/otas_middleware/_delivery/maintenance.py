"""One thread beside the senders: it writes to disk and reports while they wait for an answer."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from otas_middleware._delivery import process
from otas_middleware._internal_errors import report_internal_error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otas_middleware._delivery.exporter import Exporter


_AFTER_A_FAULT = 1.0
"""Seconds until the tasks run again after one of them failed."""


class Summary:
    """A task: one line with an exporter's counters in the log, each `interval` seconds."""

    def __init__(self, exporter: Exporter, interval: float) -> None:
        self._exporter = exporter
        self._interval = interval
        self._next = time.monotonic() + interval

    def __call__(self, now: float) -> float:
        if now >= self._next:
            self._next = now + self._interval
            self._exporter.log.summary(self._exporter.stats())
        return self._next - now


class Maintenance:
    """Runs tasks, each of which says in how many seconds it wants to run again.

    Args:
        tasks: Called with `time.monotonic`; each returns seconds.
    """

    def __init__(self, tasks: Sequence[Callable[[float], float]]) -> None:
        self._tasks = tasks
        self._lock = threading.Lock()
        self._wake: threading.Event | None = None
        """The running thread's own; another one's, or None, tells it to end."""

    def start(self) -> None:
        """Start the thread, unless it runs or there is nothing to do."""
        with self._lock:
            if self._wake is not None or not self._tasks:
                return
            wake = self._wake = threading.Event()
        if not process.start_thread(lambda: self._run(wake), "otas-maintenance"):
            self._wake = None

    def wake(self) -> None:
        """Run the tasks now."""
        wake = self._wake
        if wake is not None:
            wake.set()

    def stop(self) -> None:
        """Let the thread end; `start` starts another."""
        with self._lock:
            wake, self._wake = self._wake, None
        if wake is not None:
            wake.set()

    def _run(self, wake: threading.Event) -> None:
        while self._wake is wake:
            wake.clear()
            pause = 60.0
            for task in self._tasks:
                try:
                    pause = min(pause, task(time.monotonic()))
                except BaseException:  # `sys.exit` in an extension ends no thread of ours
                    pause = min(pause, _AFTER_A_FAULT)
                    report_internal_error("delivery.maintenance")
            if self._wake is wake:
                wake.wait(pause)
