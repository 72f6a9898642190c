"""Who holds a lease, and whether that process is still there.

A lease runs out by itself; on Linux it need not be waited for when its holder can be seen to be gone. A process is
told from others by the boot of its machine, its process-id namespace, its id and the moment of its start, so that
neither a reused id nor a container with ids of its own is mistaken for it.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path


def new_owner() -> str:
    """Return a name for a holder in this process."""
    place = _place()
    start = _start_of(os.getpid()) if place is not None else None
    return f"{place}/{os.getpid()}/{start}/{uuid.uuid4().hex[:8]}"


def is_gone(owner: str) -> bool:
    """Say whether the holder's process has certainly ended; False where nobody can know."""
    place, _, rest = owner.partition("/")
    pid, _, rest = rest.partition("/")
    start = rest.partition("/")[0]
    if place != _place() or not pid.isdigit() or not start.isdigit():
        return False
    return _start_of(int(pid)) != int(start)


def _place() -> str | None:
    """Return what this process's id is unique in: a boot of a kernel and a namespace of process ids."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}:{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return None


def _start_of(pid: int) -> int | None:
    """Return when a process started, in clock ticks since the boot, or None when there is no such process."""
    try:
        # The second field is the program's name in brackets: any bytes, brackets and blanks among them, cut after 15.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] == b"Z" else int(fields[19])  # a zombie will not come back
