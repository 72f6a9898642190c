"""Memory per recorded request, and what importing an adapter costs."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from statistics import median
from typing import Any

from benchmarks.report import table
from otas_middleware._capture import Capture
from otas_middleware._capture.session import SessionInfo

REQUESTS = 2000
TOKEN = "header.payload.signature"
SESSION = SessionInfo("agent-1", "session-1", False, "0123456789abcdef", None, None, TOKEN)  # noqa: FBT003
HEADERS = 10
IMPORT = """
import time
import {before}
began = time.perf_counter()
import {module}
print((time.perf_counter() - began) * 1000)
"""
IMPORTS = {
    "otas_middleware.asgi beside Starlette": ("starlette.applications", "otas_middleware.asgi"),
    "otas_middleware.wsgi alone": ("sys", "otas_middleware.wsgi"),
    "otas_middleware.flask beside Flask": ("flask", "otas_middleware.flask"),
}


def measure(rounds: int) -> dict[str, float]:
    """Return bytes per request and milliseconds per import, by what was measured."""
    tracemalloc.start()
    in_flight = _bytes_each(finished=False)
    queued = _bytes_each(finished=True)
    tracemalloc.stop()
    found: dict[str, float] = {
        "bytes per recorded request in flight, before its response": in_flight,
        "bytes per queued event of 1 KB and 2 KB": queued,
    }
    for name, (before, module) in IMPORTS.items():
        found[f"ms to import {name}"] = _import_milliseconds(before, module, rounds)
    return found


def _bytes_each(*, finished: bool) -> float:
    before, _ = tracemalloc.get_traced_memory()
    kept = [_capture(number, finished=finished) for number in range(REQUESTS)]
    after, _ = tracemalloc.get_traced_memory()
    return round((after - before) / len(kept))


def _capture(number: int, *, finished: bool) -> Capture:
    """Return a capture whose every part is its own, as those of requests are."""
    capture = Capture(lambda _: None, SESSION, limit=65_536, with_traceback=False)
    capture.method, capture.path = "POST", f"/items/{number}"
    capture.request_headers = [(b"x-header-%d" % n, b"value %d of %d" % (n, number)) for n in range(HEADERS)]
    capture.request.add(b"%1024d" % number)
    if finished:
        capture.started(200, [(b"x-header-%d" % n, b"value %d of %d" % (n, number)) for n in range(HEADERS)])
        capture.sent(b"%2048d" % number)
        capture.ended()
        capture.finish()
    return capture


def _import_milliseconds(before: str, module: str, rounds: int) -> float:
    program = IMPORT.format(before=before, module=module)
    times = [
        float(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)
        for _ in range(rounds)
    ]
    return round(median(times), 1)


def show(found: dict[str, Any]) -> None:
    """Print the table."""
    print(table("Memory and imports", ["what", "figure"], [[name, f"{value:g}"] for name, value in found.items()]))
