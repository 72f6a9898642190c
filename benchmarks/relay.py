"""A relay for the benchmarks, as its users run it, and the settings that hand over to it."""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.processes import START_SECONDS, check, running

if TYPE_CHECKING:
    from collections.abc import Generator

WAYS: dict[str, dict[str, Any]] = {"relay": {}, "relay, batch": {"relay_batch": True}}
"""How events may be handed over, as settings beside the relay's path."""

NEEDS = "msgspec"
"""The package that it needs."""


@contextmanager
def relay() -> Generator[str]:
    """Run a relay in another process and yield its path."""
    with tempfile.TemporaryDirectory(prefix="otas-bench-") as folder:
        path = Path(folder) / "relay.sock"
        command = [sys.executable, "-m", "otas_middleware", "relay", "--socket", str(path)]
        with running(command, Path(folder)) as process:
            deadline = time.monotonic() + START_SECONDS
            while not path.exists():
                check(process, deadline)
                time.sleep(0.02)
            yield str(path)
