"""Part "servers": real servers at full load, bare and with the middleware.

Each server has one worker process. All variants of a server are up at the same time and take turns under load; the
load generator and the sink are processes of their own. The CPU is that of the whole worker process, from the first
request until the last event is delivered, so that the sender is in it. Throughput and latency are those of the
requests, while the sender works beside them. Afterwards each variant gets half of what the bare server can do: how long
a request then takes is what users feel.
"""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any, Protocol

from benchmarks.driver import Call
from benchmarks.load import Job, Load, generator
from benchmarks.relay import WAYS, relay
from benchmarks.report import table, with_quartiles
from benchmarks.rounds import summary, turns
from benchmarks.samples import json_document, session_token
from benchmarks.server import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from benchmarks.served import Account

SERVERS = {
    "uvicorn, Starlette": ("uvicorn", "starlette"),
    "uvicorn[standard], Starlette": ("uvicorn[standard]", "starlette"),
    "uvicorn[standard], FastAPI": ("uvicorn[standard]", "fastapi"),
    "gunicorn gthread, Flask": ("gunicorn", "flask"),
}
"""Name → server and application."""

WAYS_OUT: dict[str, dict[str, str]] = {
    "direct": {"OTAS_TRANSPORT": "direct"},
    "httpx": {"OTAS_TRANSPORT": "httpx"},
    "relay": {},
    "relay, batch": {"OTAS_RELAY_BATCH": "1"},
}
"""How events leave the process, as variables; the relays' get its path beside these."""

WITH_TOKEN = "bare, with the token"
"""The variant that shows what an agent's longer request costs without the middleware."""

CONNECTIONS = 16
SECONDS = 1.5
BUSY = 0.9
"""A generator that is busier than this is no longer sure to be faster than the server."""


class Host(Protocol):
    """A server that is up (`server.py`)."""

    port: int

    def account(self) -> Account:
        """Return its worker's figures when all that it recorded has been delivered."""
        ...


@dataclass
class Variant:
    """One variant of a server, and what its turns under load gave.

    Attributes:
        name: What it is called in the results.
        server: Where it runs; variants may share one.
        request: The bytes of a request.
        loads: What the generator saw, turn by turn.
        cpu: Microseconds of the worker's CPU per request, turn by turn.
        paced: Medians of the milliseconds that requests took at half of bare's full rate, turn by turn.
        delivered: Events of all turns that the sink took.
        dropped: Events of all turns that were lost.
    """

    name: str
    server: Host
    request: bytes
    loads: list[Load] = field(default_factory=list[Load])
    cpu: list[float] = field(default_factory=list[float])
    paced: list[float] = field(default_factory=list[float])
    delivered: int = 0
    dropped: int = 0

    def run(self, load: Callable[[Job], Load], *, keep: bool) -> None:
        """Put the server under load, wait until its events are delivered and, if asked, keep the figures."""
        before = self.server.account()
        found = load(Job(self.server.port, self.request, CONNECTIONS, SECONDS))
        after = self.server.account()
        if not after.complete:
            raise SystemExit(f"{self.name}: the sink did not take all events in time")
        if keep:
            self._keep(found, before, after)

    def pace(self, load: Callable[[Job], Load], rate: float, *, keep: bool) -> None:
        """Have the server answer so many requests a second, wait for its events and, if asked, keep the median."""
        found = load(Job(self.server.port, self.request, CONNECTIONS, SECONDS, rate))
        self.server.account()
        if keep:
            self.paced.append(found.p50_ms)

    def _keep(self, found: Load, before: Account, after: Account) -> None:
        self.loads.append(found)
        self.cpu.append((after.cpu - before.cpu) / found.requests * 1e6)
        self.delivered += after.delivered - before.delivered
        self.dropped += after.dropped - before.dropped


def measure(url: str, rounds: int) -> dict[str, Any]:
    """Measure all servers against a sink.

    Args:
        url: The sink's URL.
        rounds: How often each variant is put under load.

    Returns:
        Server → variant → quartiles of each figure, and what became of the events.
    """
    found: dict[str, Any] = {}
    with generator() as load:
        for name, (kind, application) in SERVERS.items():
            with _variants(kind, application, url) as variants:
                for variant, counts in turns(variants, rounds, warm_up=1):
                    variant.run(load, keep=counts)
                bare = variants[0]
                rate = median(load.requests / load.seconds for load in bare.loads) / 2
                for variant, counts in turns(variants, rounds, warm_up=1):
                    variant.pace(load, rate, keep=counts)
            _check_generator(name, variants)
            found[name] = {variant.name: figures(variant, bare.cpu, bare.paced) for variant in variants}
            print(f"measured {name}", file=sys.stderr)
    return found


@contextlib.contextmanager
def _variants(kind: str, application: str, url: str) -> Generator[list[Variant]]:
    """Start the servers of all variants; the first of them is bare."""
    body = json_document(1024)
    plain = Call("POST", "/items/7", body).as_bytes()
    recorded = Call("POST", "/items/7", body, session_token()).as_bytes()
    with contextlib.ExitStack() as stack:
        found = [
            Variant(name, stack.enter_context(serving(kind, application, "bare", {})), plain)
            for name in ("bare", "bare, again")  # how much two processes differ that do the same
        ]
        found.append(Variant(WITH_TOKEN, found[-1].server, recorded))  # which servers and frameworks parse too
        path = stack.enter_context(relay())
        for transport, variables in WAYS_OUT.items():
            environ = {"OTAS_SDK_KEY": "otas_bench_key", "OTAS_BRAIN_URL": url, **variables}
            if transport in WAYS:
                environ["OTAS_RELAY"] = path
            server = stack.enter_context(serving(kind, application, "otas", environ))
            if found[-1].name == WITH_TOKEN:  # no transport has to do with it
                found.append(Variant("ordinary", server, plain))
            found.append(Variant(f"recorded, {transport}", server, recorded))
        yield found


def figures(variant: Variant, bare: list[float], paced: Sequence[float] = ()) -> dict[str, Any]:
    """Return the quartiles of what a variant's turns gave.

    Args:
        variant: Whose.
        bare: Bare's CPU, turn by turn.
        paced: Bare's medians at half of its full rate, turn by turn.
    """
    return {
        "requests per second": summary([load.requests / load.seconds for load in variant.loads]),
        "p50 ms": summary([load.p50_ms for load in variant.loads]),
        "p99 ms": summary([load.p99_ms for load in variant.loads]),
        "CPU µs per request": summary(variant.cpu),
        "CPU over bare": _over(variant.cpu, bare),
        **({"p50 over bare at half its rate": _over(variant.paced, paced)} if paced else {}),
        "delivered": variant.delivered,
        "dropped": variant.dropped,
    }


def _over(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    return summary([mine / other for mine, other in zip(ours, theirs, strict=True)])


def _check_generator(name: str, variants: list[Variant]) -> None:
    busiest = max(load.busy for variant in variants for load in variant.loads)
    if busiest > BUSY:
        print(f"{name}: the load generator was busy {busiest:.0%} of the time; the server could do more")


def show(found: dict[str, Any]) -> None:
    """Print a table for each server."""
    for server, variants in found.items():
        columns = list(next(iter(variants.values())))
        rows = [[name, *(_cell(figures[column]) for column in columns)] for name, figures in variants.items()]
        print(table(f"{server}: one worker at full load, {CONNECTIONS} connections", ["variant", *columns], rows))
    print("\nCPU is the worker process's until all its events were delivered; those dropped cost no delivery.")


def _cell(figure: dict[str, float] | int) -> str:
    return str(figure) if isinstance(figure, int) else with_quartiles(figure)
