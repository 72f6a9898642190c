"""A Redis of the benchmark's own, which keeps nothing on disk."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from benchmarks.processes import free_port, running, wait_until_it_listens

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

BROKER = "BENCHMARK_BROKER"
"""The name in the environment that says to the Celery application where the broker is."""


@contextlib.contextmanager
def redis(folder: Path) -> Generator[str]:
    """Run a Redis and yield its URL.

    Args:
        folder: Its working directory.

    Raises:
        StartError: It does not start.
    """
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with running(command, folder) as process:
        wait_until_it_listens(port, process)
        yield f"redis://127.0.0.1:{port}/0"
