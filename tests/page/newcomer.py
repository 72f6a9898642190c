"""How long a newcomer waits for the first event: `make newcomer`.

It follows the README as a person would, from a fresh clone in an empty folder: `make demo ARGS=--keep`, then Brain's
address in a browser. The set-up is included, and the index that pip uses decides about most of it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from page.browser import chromium

LIMIT = 120.0
"""Seconds from the clone to an event on the live page."""
_CHECKOUT = Path(__file__).parents[2]


def main() -> int:
    """Print what each step took, in seconds; the exit status is 0 when all of it stayed within the limit."""
    with tempfile.TemporaryDirectory(prefix="otas-newcomer-") as folder:
        clone = Path(folder) / "clone"
        began = time.monotonic()
        subprocess.run(["git", "clone", "--quiet", _CHECKOUT, clone], check=True)
        _tell("cloned", began)
        demo = subprocess.Popen(
            ["make", "demo", "ARGS=--keep"], cwd=clone, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            address = _address_of_brain(demo)
            _tell("set up, and Brain runs", began)
            _see_an_event(address)
            took = _tell("an event is on the live page", began)
        finally:
            os.killpg(demo.pid, signal.SIGINT)
            demo.communicate(timeout=30)
    return 0 if took < LIMIT else 1


def _address_of_brain(demo: subprocess.Popen[str]) -> str:
    for line in demo.stdout or ():
        found = re.fullmatch(r"\s*Brain\s+(http://\S+)\s*", line)
        if found is not None:
            return found[1]
    raise SystemExit("the demo ended without naming Brain's address")


def _see_an_event(address: str) -> None:
    with chromium() as browser:
        page = browser.new_page()
        page.goto(address)
        page.locator("table.list tbody tr").first.wait_for(timeout=LIMIT * 1000)


def _tell(what: str, began: float) -> float:
    seconds = time.monotonic() - began
    sys.stdout.write(f"{seconds:6.1f} s  {what}\n")
    sys.stdout.flush()
    return seconds


if __name__ == "__main__":
    sys.exit(main())
