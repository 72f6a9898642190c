"""A worker of Celery with one of its pools, in a process of its own: `celery_runs.py POOL HOW URL FOLDER`.

An agent's task is retried at once, or its message is delivered twice, so that one id runs twice, at the same time where
the pool allows. Then six tasks are sent that belong to nobody's session. Each calls a path at the URL.
"""

from __future__ import annotations

import sys

POOL, HOW, URL, FOLDER = sys.argv[1:]
if POOL == "gevent":
    from importlib import import_module as imported

    imported("gevent.monkey").patch_all()

import logging  # noqa: E402  # gevent comes first
import os  # noqa: E402  # as above; so below
import threading  # noqa: E402
import time  # noqa: E402
from importlib import import_module  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import TYPE_CHECKING, Any  # noqa: E402

import httpx2  # noqa: E402

from otas_middleware import propagate  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

celery: Any = import_module("celery")
signals: Any = import_module("celery.signals")
runs = Path(FOLDER, "runs")
messages = Path(FOLDER, "messages")
together = POOL != "solo"


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread or process does."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def fetch(path: str) -> None:
    """Call the host."""
    with propagate.instrument(httpx2.Client(trust_env=False)) as http:
        http.get(URL + path)


def begun() -> int:
    """How many runs of the agent's task have begun."""
    return len(list(runs.iterdir()))


def set_up_logging(**_: object) -> None:
    """Log errors only."""
    logging.basicConfig(level="ERROR")


signals.setup_logging.connect(set_up_logging, weak=False)
# A child process publishes too. Kombu's file system transport may read a file that is still being written.
broker = "filesystem://" if POOL == "prefork" else "memory://"
files = {"data_folder_in": str(messages), "data_folder_out": str(messages), "control_folder": str(messages / "control")}
app = celery.Celery("runs", broker=broker, set_as_current=False)
app.conf.update(
    broker_transport_options={"polling_interval": 0.02, **(files if POOL == "prefork" else {})},
    task_ignore_result=True,
    worker_enable_remote_control=False,
    worker_prefetch_multiplier=4,
)
propagate.connect_celery()


class Lingers(celery.Task):  # type: ignore[misc]  # Celery has no types
    """Its first run is still there when its second begins."""

    def on_retry(self, *_: Any, **__: Any) -> None:
        if together:
            wait_until(lambda: begun() == 2)


@app.task(name="work", bind=True, base=Lingers, max_retries=1)  # type: ignore[untyped-decorator]  # as above
def work(self: Any) -> None:
    """Run for the agent."""
    Path(runs, f"{os.getpid()}-{time.monotonic_ns()}").touch()
    fetch("/work")
    if HOW == "retried at once" and not self.request.retries:
        raise self.retry(countdown=0)
    if together:
        wait_until(lambda: begun() == 2)


@app.task(name="plain")  # type: ignore[untyped-decorator]  # as above
def plain(number: int) -> None:
    """Run for nobody."""
    fetch(f"/plain/{number}")
    Path(FOLDER, f"plain-{number}").touch()


def play() -> None:
    """Send the tasks."""
    passed = propagate._Passed("the.agents.token", propagate._domain_of((URL,)))
    carried = propagate._carried.set(propagate._Carried(passed, None))
    for _ in range(2 if HOW == "delivered twice" else 1):
        work.apply_async(task_id="one")
    propagate._carried.reset(carried)
    wait_until(lambda: begun() == 2)
    for number in range(6):
        plain.delay(number)
    wait_until(lambda: len(list(Path(FOLDER).glob("plain-*"))) == 6)
    os._exit(0)


def end() -> None:
    """End the process whatever happens."""
    try:
        play()
    except BaseException:
        logging.getLogger("play").exception("it did not come to its end")
        os._exit(1)


for folder in (runs, messages, messages / "control"):
    folder.mkdir()
threading.Thread(target=end, daemon=True).start()
app.worker_main(["worker", f"--pool={POOL}", "--concurrency=2", "--without-mingle", "--without-gossip", "-l", "ERROR"])
os._exit(2)  # the worker has ended before its time
