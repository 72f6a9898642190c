"""A soak: processes come and go before a Brain that is well, slow and away by turns. `make soak` takes ten minutes.

Three things show only after a while: a spool's file that never shrinks, events that come twice because a request was
begun when the process ended, and sender threads that a slow spell called for and that never end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from otas_middleware.localbrain import LocalBrain

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
WELL, SLOW, AWAY, CALM = 6.0, 8.0, 4.0, 16.0
"""Seconds of each spell in the life of a process; it ends in another slow one."""

PROCESS = """
import json, sys, threading, time
from flask import Flask
import otas_middleware as otas
from otas_middleware.flask import Otas

app = Flask("soak")
Otas(app, shutdown_timeout=4.0)

@app.get("/<int:number>")
def answer(number):
    return "x" * 2000

client, token, pause, number = app.test_client(), sys.argv[1], float(sys.argv[2]), 0
over = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
senders = []
while True:
    number += 1
    client.get(f"/{number}", headers={"X-OTAS-AGENT-SESSION-TOKEN": token})
    senders.append(sum(thread.name == "otas-brain" for thread in threading.enumerate()))
    if over.wait(pause):
        break
print(json.dumps({"calls": number, "most": max(senders), "calm": min(senders[-150:])}), flush=True)
"""


@pytest.mark.slow
def test_nothing_is_lost_nothing_comes_twice_and_nothing_stays(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    calls, most, calm = 0, 0, 0
    with LocalBrain() as brain:
        token = brain.create_session()
        environ = {name: value for name, value in os.environ.items() if not name.startswith("OTAS")}
        environ |= brain.environment() | {"OTAS_SPOOL_DIR": str(spool)}
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            with _process(environ, token, 0.04) as process:
                _live(brain)
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.close()
                said = json.loads(process.stdout.readline())
                process.wait(60)
            calls += said["calls"]
            most, calm = max(most, said["most"]), max(calm, said["calm"])
        brain.faults.slow_ms = 0
        _drain(environ, token, brain, calls)
        times = Counter(event["metadata"]["event_id"] for event in brain.events())
    assert len(times) == calls + 1
    assert [event for event, count in times.items() if count > 1] == []
    assert most > 1, "the slow spell called for more than one sender"
    assert calm <= 2, "the others have ended when it was over"
    (file,) = spool.glob("*.sqlite3")
    assert file.stat().st_size < 200_000


def _process(environ: dict[str, str], token: str, pause: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROCESS, token, str(pause)]
    return subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _live(brain: LocalBrain) -> None:
    """Let a process live through all weathers."""
    spells = (WELL, 0, False), (SLOW, 1500, False), (AWAY, 0, True), (CALM, 0, False), (3.0, 1500, False)
    for seconds, slow_ms, away in spells:
        brain.faults.slow_ms = slow_ms
        if away:
            brain.faults.down()
        else:
            brain.faults.up()
        threading.Event().wait(seconds)


def _drain(environ: dict[str, str], token: str, brain: LocalBrain, calls: int) -> None:
    """Let one more process deliver what the others have left on disk."""
    with _process(environ, token, 3600.0) as process:
        deadline = time.monotonic() + 120
        while len({event["metadata"]["event_id"] for event in brain.events()}) < calls + 1:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        assert process.stdin is not None
        process.stdin.close()
