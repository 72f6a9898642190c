"""Part "applications": what the middleware adds to a request, by application, variant and size.

All variants of an application are driven in this process (`driver.py`), interleaved; the sink is another process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import otas_middleware
from benchmarks.applications import APPLICATIONS, PATH_PREFIX
from benchmarks.driver import UPLOAD_PIECE, Call, Runner, interleave
from benchmarks.report import table, with_quartiles
from benchmarks.rounds import summary
from benchmarks.samples import json_document, session_token

if TYPE_CHECKING:
    from otas_middleware import OtasSettings

SIZES = {"1/2 KB": (1024, 2048), "40/40 KB": (40_960, 40_960), "100/100 KB": (102_400, 102_400)}
COMPUTED = ("ordinary over floor", "recorded, path", "recorded, total")
DELIVERY_SECONDS = 60.0


def flush() -> None:
    if not otas_middleware.flush(DELIVERY_SECONDS):
        raise SystemExit("the sink did not take all events in time")


def measure(name: str, settings: OtasSettings, rounds: int, *, only_small: bool) -> dict[str, Any]:
    """Measure one application in all variants and sizes.

    Returns:
        Size or shape → variant → figures in microseconds of CPU per request.
    """
    token = session_token()
    prefix = PATH_PREFIX.get(name, "")
    found: dict[str, Any] = {}
    for label, (asked, answered) in SIZES.items():
        if only_small and label != "1/2 KB":
            continue
        batch = 100 if asked < 2000 else 20
        body, document = json_document(asked), json_document(answered)
        plain = Call("POST", f"{prefix}/items/7", body)
        recorded = Call("POST", f"{prefix}/items/7", body, token)
        found[label] = _variants(name, document, settings, plain, recorded, batch, rounds)
    if not only_small:
        stream, stream_recorded = Call("GET", f"{prefix}/stream"), Call("GET", f"{prefix}/stream", token=token)
        found["1,000 chunks"] = _variants(name, b"{}", settings, stream, stream_recorded, 4, rounds)
        pieces = 100 * 1024 * 1024 // len(UPLOAD_PIECE)
        upload = Call("POST", f"{prefix}/items/7", UPLOAD_PIECE, repeat=pieces)
        upload_recorded = Call("POST", f"{prefix}/items/7", UPLOAD_PIECE, token, pieces)
        found["100 MB upload"] = _variants(name, b"{}", settings, upload, upload_recorded, 1, max(3, rounds // 10))
    return found


def _variants(
    name: str, document: bytes, settings: OtasSettings, plain: Call, recorded: Call, batch: int, rounds: int
) -> dict[str, Any]:
    make = APPLICATIONS[name]
    runners = [
        Runner("bare", make("bare", document, None), plain, batch),
        Runner("pass", make("pass", document, None), plain, batch),
        Runner("look-up", make("look-up", document, None), plain, batch),
        Runner("ordinary", make("otas", document, settings), plain, batch),
        Runner("recorded", make("otas", document, settings), recorded, batch),
    ]
    interleave(runners, rounds, flush)
    by_name = {runner.name: runner for runner in runners}
    floor = by_name["look-up"].path
    ordinary = [ours - theirs for ours, theirs in zip(by_name["ordinary"].path, floor, strict=True)]
    path = [ours - theirs for ours, theirs in zip(by_name["recorded"].path, by_name["bare"].path, strict=True)]
    total = [ours - theirs for ours, theirs in zip(by_name["recorded"].total, by_name["bare"].total, strict=True)]
    return {
        **{runner.name: summary(runner.path) for runner in runners},
        "ordinary over floor": summary(ordinary),
        "recorded, path": summary(path),
        "recorded, total": summary(total),
    }


def show(results: dict[str, Any]) -> None:
    """Print one table per size: what each variant adds."""
    labels = dict.fromkeys(label for found in results.values() for label in found)
    for label in labels:
        rows = [
            [
                name,
                *(f"{found[label][column]['median']:.2f}" for column in ("bare", "pass", "look-up", "ordinary")),
                *(with_quartiles(found[label][column]) for column in COMPUTED),
            ]
            for name, found in results.items()
            if label in found
        ]
        print(
            table(
                f"{label}: CPU µs per request", ["application", "bare", "pass", "look-up", "ordinary", *COMPUTED], rows
            )
        )
