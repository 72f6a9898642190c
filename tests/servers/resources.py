"""What a running server uses of memory and processor, read from `/proc` (proc(5))."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from servers.process import Running

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class MemoryPeak:
    """How much a server's resident memory has grown at most since this object was made.

    Args:
        server: The server; all of its processes count.
    """

    def __init__(self, server: Running) -> None:
        self._before = {pid: _status(pid, "VmRSS") for pid in server.pids}
        for pid in self._before:
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # the high-water mark starts anew

    def growth(self) -> int:
        """Return the growth in bytes, the sum over the processes."""
        grown = 0
        for pid, before in self._before.items():
            with suppress(OSError):  # it has ended
                grown += _status(pid, "VmHWM") - before
        return grown


def cpu_seconds(server: Running) -> float:
    """Return the processor time that a server's processes have used so far."""
    ticks = 0
    for pid in server.pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS_PER_SECOND


def _status(pid: int, name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024
