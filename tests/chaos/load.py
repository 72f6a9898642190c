"""The load: agents that call at a steady rate, in a process of their own, until they are told to stop.

Usage: load.py PORT RATE TOKEN OUT. A line `STOP` on standard input ends it; OUT gets one line for each call: when it
began (`time.monotonic`, which all processes of a machine share), how long it took, whether it was answered completely,
and its path.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from pathlib import Path

AGENTS = 4


def call(connection: http.client.HTTPConnection, path: str, token: str) -> bool:
    """Make one call; return whether it was answered completely."""
    try:
        connection.request("GET", path, headers={"X-OTAS-AGENT-SESSION-TOKEN": token})
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException):
        connection.close()
        return False
    return response.status == 200 and len(body) > 1000


def agent(
    number: int, port: int, rate: float, token: str, stop: threading.Event, calls: list[tuple[object, ...]]
) -> None:
    """Call at a share of the rate; late calls are made up for, not left out."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    due = time.monotonic() + number / rate
    count = 0
    while not stop.is_set():
        pause = due - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        due = max(due + AGENTS / rate, time.monotonic() - 1.0)
        path = f"/agent-{number}/{count}"
        count += 1
        begun = time.monotonic()
        answered = call(connection, path, token)
        calls.append((begun, time.monotonic() - begun, answered, path))
    connection.close()


def main() -> None:
    port, rate, token, out = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
    stop = threading.Event()
    calls: list[tuple[object, ...]] = []
    agents = [threading.Thread(target=agent, args=(number, port, rate, token, stop, calls)) for number in range(AGENTS)]
    for thread in agents:
        thread.start()
    sys.stdin.readline()
    stop.set()
    for thread in agents:
        thread.join()
    out.write_text("\n".join(map(json.dumps, calls)))


if __name__ == "__main__":
    main()
