"""Part "sending": the sender alone, with events that are made already, by transport; and what the spool costs.

All ways take turns, a batch each. A way that a package or a program is missing for is left out, and that is said.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.broker import BROKER, redis
from benchmarks.report import table, with_quartiles
from benchmarks.rounds import summary, turns
from otas_middleware import OtasSettings
from otas_middleware._delivery import Pipeline
from otas_middleware._delivery.codec import Record
from otas_middleware._delivery.disk_queue import DiskQueue
from otas_middleware._event import BackendEvent, Envelope

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

EVENTS = 2000
SPOOLED_EVENTS = 200
SPOOL_BATCH = 100
"""How many events go into one transaction when memory is emptied into the spool."""

TRANSPORTS = {"direct": "httpx2", "httpx": "httpx2"}
TOKEN = "header.payload.signature"


def envelope() -> Envelope:
    """Return an event with a request body of 1 KB and a response body of 2 KB."""
    event = BackendEvent(
        path="/items/7",
        method="POST",
        status_code=200,
        latency_ms=1.5,
        request_headers='{"host":"api.example.com","user-agent":"agent/1.0"}',
        response_headers='{"content-type":"application/json"}',
        request_body="x" * 1024,
        response_body="y" * 2048,
        metadata={"event_id": "0b0f6c1e-6a0e-4b57-9d0a-6f6f3c1b2a11", "route": "/items/{item_id}"},
    )
    return Envelope(event, TOKEN, "session-1", "agent-1")


@dataclass
class Way:
    """One way that events can go.

    Attributes:
        events: How many a batch has.
        batch: Sends or writes them all, and returns when that is done.
        between: What is done between batches, uncounted.
        cpu: Microseconds of CPU per event, batch by batch.
        rate: Events per second, batch by batch.
        waits: For how many microseconds each request waited, where one does.
    """

    name: str
    events: int
    batch: Callable[[], None]
    between: Callable[[], None] = lambda: None
    cpu: list[float] = field(default_factory=list[float])
    rate: list[float] = field(default_factory=list[float])
    waits: list[float] = field(default_factory=list[float])

    def run(self, *, keep: bool) -> None:
        """Run one batch and, if asked, keep what it cost."""
        began, cpu_began = time.perf_counter(), time.process_time()
        self.batch()
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu_began
        self.between()
        if keep:
            self.cpu.append(cpu / self.events * 1e6)
            self.rate.append(self.events / seconds)
        else:
            self.waits.clear()

    def figures(self) -> dict[str, Any]:
        found = {"CPU µs per event": summary(self.cpu), "events per second": summary(self.rate)}
        return found | ({"the request waits, µs": summary(self.waits)} if self.waits else {})


@dataclass(frozen=True)
class Item:
    """What the request path would hand over, built already."""

    envelope: Envelope
    weight: int = 4096


def measure(url: str, rounds: int) -> dict[str, Any]:
    """Measure all ways against a sink.

    Args:
        url: The sink's URL.
        rounds: How many batches of each are counted.

    Returns:
        Way → quartiles of its figures.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ways = [
            stack.enter_context(_sending(transport, url, transport=transport))
            for transport, package in TRANSPORTS.items()
            if _installed(transport, find_spec(package), package)
        ]
        if _installed("Celery publish", shutil.which("redis-server"), "redis-server"):
            os.environ[BROKER] = stack.enter_context(redis(folder))
            application = "benchmarks.celery_app:app"
            publishing = _sending("Celery publish", url, transport="celery", celery_app=application)
            ways.append(stack.enter_context(publishing))
        ways.append(stack.enter_context(_durable(url, folder / "durable")))
        ways.append(stack.enter_context(_appending("spool, appending one by one", folder / "one.db", 1)))
        together = _appending(f"spool, appending {SPOOL_BATCH} at once", folder / "many.db", SPOOL_BATCH)
        ways.append(stack.enter_context(together))
        for way, counts in turns(ways, rounds, warm_up=1):
            way.run(keep=counts)
    return {way.name: way.figures() for way in ways}


def _installed(name: str, found: object, needed: str) -> bool:
    if found is None:
        print(f"sending: {name} is left out, since {needed} is not installed")
    return found is not None


@contextlib.contextmanager
def _sending(name: str, url: str, **settings: Any) -> Generator[Way]:
    """Give finished events to a pipeline, as fast as it takes them."""
    ready = envelope()
    with _pipeline(url, queue_max_events=2 * EVENTS, **settings) as sender:

        def batch() -> None:
            for _ in range(EVENTS):
                sender.put_envelope(ready)
            _delivered(sender)

        yield Way(name, EVENTS, batch)


@contextlib.contextmanager
def _durable(url: str, folder: Path) -> Generator[Way]:
    """Have each event written to the spool before the request goes on, and sent."""
    item = Item(envelope())
    with _pipeline(url, durability="spool", spool_dir=folder) as sender:

        def batch() -> None:
            for _ in range(SPOOLED_EVENTS):
                began = time.perf_counter()
                sender.put(item)
                way.waits.append((time.perf_counter() - began) * 1e6)
            _delivered(sender)

        way = Way("durability=spool, writing and sending", SPOOLED_EVENTS, batch)
        yield way


@contextlib.contextmanager
def _appending(name: str, path: Path, at_once: int) -> Generator[Way]:
    """Write events to a spool, so many in one transaction."""
    ready = envelope()
    record = Record(ready.event.to_json(), ready.token, ready.session_id, ready.agent_id, ready.source)
    spool = DiskQueue(path, 268_435_456, None)
    rows: list[int] = []

    def batch() -> None:
        for _ in range(SPOOLED_EVENTS // at_once):
            rows.extend(spool.write([record] * at_once, leased=True)[0])

    def between() -> None:
        spool.acknowledge(rows)
        rows.clear()

    try:
        yield Way(name, SPOOLED_EVENTS, batch, between)
    finally:
        spool.close()


@contextlib.contextmanager
def _pipeline(url: str, **settings: Any) -> Generator[Pipeline]:
    sender = Pipeline(OtasSettings(sdk_key="otas_bench_key", brain_url=url, **settings), _as_it_is)
    try:
        yield sender
    finally:
        sender.close(5.0)


def _delivered(sender: Pipeline) -> None:
    """Wait for everything; a lost event would look like a cheap one."""
    if not sender.flush(60.0) or sender.stats()["dropped"]:
        raise SystemExit(f"the sink did not take all events: {sender.stats()['dropped']}")


def _as_it_is(item: Item, _settings: OtasSettings) -> Envelope:
    return item.envelope


def show(found: dict[str, Any]) -> None:
    """Print the table."""
    columns = list(dict.fromkeys(column for figures in found.values() for column in figures))
    rows = [
        [name, *(with_quartiles(figures[column]) if column in figures else "" for column in columns)]
        for name, figures in found.items()
    ]
    print(table("Sending events of 1 KB and 2 KB that are made already", ["how", *columns], rows))
