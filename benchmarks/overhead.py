"""Part "applications": what the middleware adds to a request, by application, variant and size.

All variants of an application are driven in this process (`driver.py`), interleaved; the sink is another process.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import otas_middleware
from benchmarks.applications import APPLICATIONS, PATH_PREFIX
from benchmarks.driver import UPLOAD_PIECE, Call, Runner, batch_size, interleave
from benchmarks.relay import NEEDS, WAYS
from benchmarks.report import table, with_quartiles
from benchmarks.rounds import quietest, summary
from benchmarks.samples import json_document, session_token
from otas_middleware import OtasSettings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

SIZES = {"1/2 KB": (1024, 2048), "40/40 KB": (40_960, 40_960), "100/100 KB": (102_400, 102_400)}
UPLOAD_BYTES = 100 * 1024 * 1024
TRANSPORTS = {"direct": "httpx2", "httpx": "httpx2", **dict.fromkeys(WAYS, NEEDS)}
"""How events leave the process, and the package that it takes: over a transport of its own, or by way of a relay."""

VARIANTS = ("bare", "pass", "look-up", "ordinary", "recorded")
DELIVERY_SECONDS = 60.0


@dataclass(frozen=True)
class Exchange:
    """One kind of request and its answer.

    Attributes:
        label: What it is called in the results.
        plain: The request without the token.
        recorded: The same with it.
        document: The application's answer.
        batch: How many make a batch; as many as take some milliseconds when left out.
        share: Its number of rounds, as a share of the usual: fewer of what takes long, more of what matters most.
    """

    label: str
    plain: Call
    recorded: Call
    document: bytes
    batch: int | None = None
    share: float = 1.0


def exchanges(name: str) -> Iterator[Exchange]:
    """Yield what an application is measured with, the smallest first."""
    token, prefix = session_token(), PATH_PREFIX.get(name, "")
    path = f"{prefix}/items/7"
    for label, (asked, answered) in SIZES.items():
        body = json_document(asked)
        plain, recorded = Call("POST", path, body), Call("POST", path, body, token)
        yield Exchange(label, plain, recorded, json_document(answered), share=2.0 if asked < 2000 else 1.0)
    stream = f"{prefix}/stream"
    yield Exchange("1,000 chunks", Call("GET", stream), Call("GET", stream, token=token), b"{}")
    pieces = UPLOAD_BYTES // len(UPLOAD_PIECE)
    upload, recorded_upload = (Call("POST", path, UPLOAD_PIECE, given, pieces) for given in (None, token))
    yield Exchange("100 MB upload", upload, recorded_upload, b"{}", batch=1, share=0.1)


def runners(
    name: str, exchange: Exchange, settings: Mapping[str, OtasSettings], variants: Collection[str] = VARIANTS
) -> list[Runner]:
    """Return a runner for each variant of an application; of `recorded`, one for each transport.

    Args:
        name: The application.
        exchange: What the runners do.
        settings: The middleware's settings by transport.
        variants: Which variants, of `VARIANTS`.
    """
    make, plain = APPLICATIONS[name], exchange.plain
    first = next(iter(settings.values()))
    floor = make("look-up", exchange.document, None)
    batch = exchange.batch or batch_size(floor, plain)
    made = {
        "bare": lambda: Runner("bare", make("bare", exchange.document, None), plain, batch),
        "pass": lambda: Runner("pass", make("pass", exchange.document, None), plain, batch),
        "look-up": lambda: Runner("look-up", floor, plain, batch),
        "ordinary": lambda: Runner("ordinary", make("otas", exchange.document, first), plain, batch),
    }
    found = [made[variant]() for variant in variants if variant != "recorded"]
    if "recorded" in variants:
        found += [
            Runner(f"recorded, {transport}", make("otas", exchange.document, given), exchange.recorded, batch)
            for transport, given in settings.items()
        ]
    return found


def settings_for(url: str, transports: Sequence[str] = tuple(TRANSPORTS), relay: str = "") -> dict[str, OtasSettings]:
    """Return the middleware's settings for each of these transports that is installed.

    Args:
        url: Where the sink is.
        transports: Which, of `TRANSPORTS`.
        relay: The socket of a relay; without it those ways are left out.
    """

    def settings(transport: str) -> OtasSettings:
        way = WAYS.get(transport)
        if way is None:
            return OtasSettings(sdk_key="otas_bench_key", brain_url=url, transport=transport)
        return OtasSettings(sdk_key="otas_bench_key", brain_url=url, relay=relay, **way)

    found = [transport for transport in transports if find_spec(TRANSPORTS[transport]) is not None]
    return {transport: settings(transport) for transport in found if relay or transport not in WAYS}


def delivered() -> None:
    """Wait until all events are delivered."""
    if not otas_middleware.flush(DELIVERY_SECONDS):
        raise SystemExit("the sink did not take all events in time")


def measure(name: str, settings: Mapping[str, OtasSettings], rounds: int, *, only_small: bool) -> dict[str, Any]:
    """Measure one application in all variants and sizes.

    Returns:
        Size or shape → variant → figures in microseconds of CPU per request.
    """
    found: dict[str, Any] = {}
    for exchange in exchanges(name):
        turning = runners(name, exchange, settings)
        interleave(turning, max(3, int(rounds * exchange.share)), delivered)
        if lost := otas_middleware.stats().get("dropped"):
            raise SystemExit(f"events were lost, and a lost one would look like a cheap one: {lost}")
        found[exchange.label] = figures({runner.name: runner for runner in turning}, list(settings))
        if only_small:
            break
    return found


def figures(by_name: Mapping[str, Runner], transports: Sequence[str]) -> dict[str, Any]:
    """Return the quartiles of each variant, and of what ours adds, round by round.

    Of all rounds those count in which the bare application was the least disturbed.
    """
    rounds = quietest(by_name["bare"].path)
    path = {name: [runner.path[number] for number in rounds] for name, runner in by_name.items()}
    total = {name: [runner.total[number] for number in rounds] for name, runner in by_name.items()}
    return {
        **{name: summary(values) for name, values in path.items()},
        "ordinary over floor": _added(path["ordinary"], path["look-up"]),
        "recorded, path": _added(path[f"recorded, {transports[0]}"], path["bare"]),
        **{f"recorded, total, {name}": _added(total[f"recorded, {name}"], total["bare"]) for name in transports},
    }


def _added(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    return summary([mine - other for mine, other in zip(ours, theirs, strict=True)])


def show(results: Mapping[str, Any]) -> None:
    """Print one table per size: what each variant adds."""
    for label in dict.fromkeys(label for found in results.values() for label in found):
        rows: list[list[str]] = []
        columns: list[str] = []
        for name, found in results.items():
            if label not in found:
                continue
            columns = [column for column in found[label] if column not in VARIANTS and not _is_runner(column)]
            plain = (f"{found[label][variant]['median']:.2f}" for variant in VARIANTS[:-1])
            rows.append([name, *plain, *(with_quartiles(found[label][column]) for column in columns)])
        print(table(f"{label}: CPU µs per request", ["application", *VARIANTS[:-1], *columns], rows))


def _is_runner(column: str) -> bool:
    return column.removeprefix("recorded, ") in TRANSPORTS
