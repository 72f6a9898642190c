"""What the servers of part "servers" serve: one of the applications, and a side door for the benchmark.

The side door is a connection that the server's worker opens to the benchmark: asked for its figures, it waits until
all events are delivered, and says what CPU the process has used and what became of the events. It is no part of the
application, so that requests go through nothing that is not to be measured.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

from benchmarks.applications import APPLICATIONS
from benchmarks.samples import json_document

if TYPE_CHECKING:
    from benchmarks.applications import Variant

APPLICATION, VARIANT, DOOR = "BENCHMARK_APPLICATION", "BENCHMARK_VARIANT", "BENCHMARK_DOOR"
"""Names in the environment: which application, which variant of it, and the benchmark's port for the side door."""

ANSWER_BYTES = 2048
DELIVERY_SECONDS = 120.0


@dataclass(frozen=True)
class Account:
    """The state of a worker process, when all that it had recorded has been delivered.

    Attributes:
        cpu: Seconds of CPU that all its threads have used.
        captured: Events that were recorded.
        delivered: Events that the sink took.
        dropped: Events lost, for any reason.
        complete: Nothing is waiting any more.
    """

    cpu: float
    captured: int = 0
    delivered: int = 0
    dropped: int = 0
    complete: bool = True


def application() -> Any:
    """Return the application that the environment names; servers call it in their worker process."""
    variant = cast("Variant", os.environ[VARIANT])
    made = APPLICATIONS[os.environ[APPLICATION]](variant, json_document(ANSWER_BYTES), None)
    door = socket.create_connection(("127.0.0.1", int(os.environ[DOOR])))
    threading.Thread(target=_answer, args=(door, variant), name="benchmark", daemon=True).start()
    return made.app


def _answer(door: socket.socket, variant: Variant) -> None:
    with door.makefile("rw", encoding="utf-8") as channel:
        while channel.readline():
            account = _account() if variant == "otas" else Account(time.process_time())
            channel.write(json.dumps(asdict(account)) + "\n")
            channel.flush()
    os._exit(0)  # the benchmark is gone, and nobody else would stop this server


def _account() -> Account:
    import otas_middleware

    time.sleep(0.05)  # an event is queued when its answer's last byte is out already
    complete = otas_middleware.flush(DELIVERY_SECONDS)
    stats = otas_middleware.stats()
    dropped = sum(stats.get("dropped", {}).values())
    delivered = stats.get("delivered", 0) + stats.get("acknowledged", 0)  # the relay acknowledges what it delivered
    return Account(time.process_time(), stats.get("captured", 0), delivered, dropped, complete)
