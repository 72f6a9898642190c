"""Runs the benchmarks: `make bench`. See README.md beside this file for what the figures mean."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import otas_middleware
from benchmarks import building, footprint, hostile, sending
from benchmarks.applications import APPLICATIONS, PATH_PREFIX, json_document
from benchmarks.driver import UPLOAD_PIECE, Call, Runner, interleave, summary
from benchmarks.report import comparison, table
from benchmarks.sink import sink
from otas_middleware import OtasSettings

RESULTS = Path(__file__).parent / "results"
SIZES = {"1/2 KB": (1024, 2048), "40/40 KB": (40_960, 40_960), "100/100 KB": (102_400, 102_400)}
DELIVERY_SECONDS = 60.0


def session_token() -> str:
    """Return an unsigned token of a real one's size and shape; the sink does not look at it."""
    import base64

    def part(value: dict[str, object]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims: dict[str, object] = {
        "agent_session_id": "0b0f6c1e-6a0e-4b57-9d0a-6f6f3c1b2a11",
        "agent_id": "5b1d7a52-35a5-4c5e-8a3b-0c4f1f2e3d44",
        "iat": int(time.time()),
        "exp": int(time.time()) + 86400,
    }
    return ".".join([part({"alg": "HS256", "typ": "JWT"}), part(claims), "c2lnbmF0dXJlLXNpZ25hdHVyZS1zaWduYXR1cmU"])


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
                *(_with_quartiles(found[label][column]) for column in COMPUTED),
            ]
            for name, found in results.items()
            if label in found
        ]
        print(
            table(
                f"{label}: CPU µs per request", ["application", "bare", "pass", "look-up", "ordinary", *COMPUTED], rows
            )
        )


PARTS = "applications,sending,building,hostile,footprint"
COMPUTED = ("ordinary over floor", "recorded, path", "recorded, total")


def _with_quartiles(figures: dict[str, float]) -> str:
    return f"{figures['median']:.2f} ({figures['q1']:.2f}…{figures['q3']:.2f})"


def _applications(url: str, options: argparse.Namespace) -> dict[str, Any]:
    settings = OtasSettings(sdk_key="otas_bench_key", brain_url=url, transport=options.transport)  # type: ignore[arg-type]
    results: dict[str, Any] = {}
    for name in options.only.split(","):
        results[name] = measure(name, settings, options.rounds, only_small=options.small)
        print(f"measured {name}", file=sys.stderr)
    return results


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="applications, separated by commas", default=",".join(APPLICATIONS))
    parser.add_argument("--parts", help="of " + PARTS, default=PARTS)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--small", action="store_true", help="1/2 KB requests only")
    parser.add_argument("--transport", default="auto", help="httpx, fast or auto")
    parser.add_argument("--json", type=Path, default=RESULTS / "latest.json")
    parser.add_argument("--compare", type=Path, help="an earlier run's JSON")
    options = parser.parse_args()
    parts = options.parts.split(",")
    whole: dict[str, Any] = {"python": platform.python_version(), "transport": options.transport}
    with sink() as url:
        if "applications" in parts:
            whole["applications"] = results = _applications(url, options)
            show(results)
        if "sending" in parts:
            whole["sending"] = sending.measure(url, max(3, options.rounds // 8))
            sending.show(whole["sending"])
    if "building" in parts:
        whole["building"] = building.measure(options.rounds)
        building.show(whole["building"])
    if "hostile" in parts:
        whole["hostile"] = hostile.measure(3)
        hostile.show(whole["hostile"])
    if "footprint" in parts:
        whole["footprint"] = footprint.measure(max(3, options.rounds // 4))
        footprint.show(whole["footprint"])
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(whole, indent=1), encoding="utf-8")
    if options.compare:
        print(comparison(whole, options.compare))


if __name__ == "__main__":
    main()
