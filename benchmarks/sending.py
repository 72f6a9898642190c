"""The sender alone, with events that are made already: per transport, and what writing to the spool costs."""

from __future__ import annotations

import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.report import table
from otas_middleware import OtasSettings
from otas_middleware._delivery import Pipeline
from otas_middleware._event import BackendEvent, Parcel

if TYPE_CHECKING:
    from collections.abc import Callable

EVENTS = 2000
DURABLE_EVENTS = 200
TRANSPORTS = {"httpx": "httpx2", "fast": "pyreqwest"}
TOKEN = "header.payload.signature"


def parcel() -> Parcel:
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
    return Parcel(event, TOKEN, "session-1", "agent-1")


def measure(url: str, rounds: int) -> dict[str, Any]:
    """Measure all transports against a sink, and the spool.

    Args:
        url: The sink's URL.
        rounds: How often; the medians are returned.
    """
    found: dict[str, Any] = {}
    for transport, package in TRANSPORTS.items():
        if find_spec(package) is not None:
            found[transport] = _delivery(url, transport, rounds)
    with tempfile.TemporaryDirectory() as folder:
        found["durability=spool, writing and sending"] = _durable(url, Path(folder), rounds)
    return found


def _delivery(url: str, transport: str, rounds: int) -> dict[str, float]:
    sender = Pipeline(_settings(url, transport=transport, queue_max_events=2 * EVENTS), _as_it_is)
    ready = parcel()

    def batch() -> None:
        for _ in range(EVENTS):
            sender.put_parcel(ready)
        _delivered(sender)

    batch()
    figures = _timed(batch, EVENTS, rounds)
    sender.close(5.0)
    return figures


def _durable(url: str, folder: Path, rounds: int) -> dict[str, float]:
    sender = Pipeline(_settings(url, durability="spool", spool_dir=folder / "spool"), _as_it_is)
    ready = parcel()

    class Item:
        weight = 4096

    item = Item()
    item.parcel = ready  # type: ignore[attr-defined]

    def batch() -> None:
        for _ in range(DURABLE_EVENTS):
            sender.put(item)
        _delivered(sender)

    batch()
    figures = _timed(batch, DURABLE_EVENTS, rounds)
    waits: list[float] = []
    for _ in range(DURABLE_EVENTS):
        began = time.perf_counter()
        sender.put(item)
        waits.append(time.perf_counter() - began)
    _delivered(sender)
    sender.close(5.0)
    return {**figures, "the request waits, µs": round(median(waits) * 1e6, 1)}


def _delivered(sender: Pipeline) -> None:
    """Wait for everything; a lost event would look like a cheap one."""
    if not sender.flush(60.0) or sender.stats()["dropped"]:
        raise SystemExit(f"the sink did not take all events: {sender.stats()['dropped']}")


def _as_it_is(item: Any, _settings: OtasSettings) -> Parcel:
    found: Parcel = item.parcel
    return found


def _settings(url: str, **values: Any) -> OtasSettings:
    return OtasSettings(sdk_key="otas_bench_key", brain_url=url, **values)  # type: ignore[arg-type]


def _timed(batch: Callable[[], None], events: int, rounds: int) -> dict[str, float]:
    cpu: list[float] = []
    rate: list[float] = []
    for _ in range(rounds):
        began, cpu_began = time.perf_counter(), time.process_time()
        batch()
        rate.append(events / (time.perf_counter() - began))
        cpu.append((time.process_time() - cpu_began) / events)
    return {"CPU µs per event": round(median(cpu) * 1e6, 1), "events per second": round(median(rate))}


def show(found: dict[str, Any]) -> None:
    """Print the table."""
    columns = ["CPU µs per event", "events per second", "the request waits, µs"]
    rows = [[name, *(str(figures.get(column, "")) for column in columns)] for name, figures in found.items()]
    print(table("Sending events of 1 KB and 2 KB that are made already", ["how", *columns], rows))
