"""The short form that CI runs: has the request path become dearer, against the floor measured in the same run?

    python -m benchmarks.guard [--write]

Compares the ratios of the request path to the header look-up with those in `baseline.json`. A ratio is the median of
those of many short rounds, each between neighbours in time, so that other work on the machine falls on both. It may
be `MARGIN` times the baseline's, since machines and versions of Python differ a little in it; where two kinds of
machines differ by more (system calls beside Python), the larger ratio of the two is written down. One that is larger is
measured once more before it counts, in a new process: where things happen to lie in memory can make one slower.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.driver import interleave
from benchmarks.overhead import delivered, exchanges, runners, settings_for
from benchmarks.relay import relay
from benchmarks.report import table
from benchmarks.sink import sink

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from benchmarks.driver import Runner

    Measure = Callable[[Sequence[str]], dict[str, float]]

BASELINE = Path(__file__).parent / "baseline.json"
APPLICATIONS = ("asgi", "starlette", "wsgi", "flask", "django-wsgi", "django-asgi")
FLOOR = "look-up"
GUARDED = ("ordinary", "recorded", "handed over")
"""What is guarded: a request without a token, one that is recorded, and one that is handed to a relay as well."""

ROUNDS = 40
BASELINE_RUNS = 5
MARGIN = 1.25
"""How many times as large as the baseline's a ratio may be."""


def measure(names: Sequence[str]) -> dict[str, float]:
    """Return the ratios of these applications: CPU per request over that of the look-up, by application and variant."""
    found: dict[str, float] = {}
    with sink() as url, relay() as path:
        for name in names:
            with ProcessPoolExecutor(1, get_context("spawn")) as process:
                figures = process.submit(_measure, name, url, path).result()
            found.update({f"{name}, {variant}": value for variant, value in figures.items()})
    return found


def _measure(name: str, url: str, path: str) -> dict[str, float]:
    settings = settings_for(url, ("direct", "relay"), path)
    turning = runners(name, next(exchanges(name)), settings, (FLOOR, "ordinary", "recorded"))
    interleave(turning, ROUNDS, delivered)
    return ratios(turning)


def ratios(turning: Sequence[Runner]) -> dict[str, float]:
    """Return what each variant cost over what the look-up did, the first of them: the median of the rounds' ratios."""
    floor, *guarded = (runner.path for runner in turning)
    return {
        variant: round(median(ours / least for ours, least in zip(path, floor, strict=True)), 3)
        for variant, path in zip(GUARDED, guarded, strict=True)
    }


def worse(now: Mapping[str, float], baseline: Mapping[str, float]) -> list[str]:
    """Return the names of the ratios that are larger than they may be."""
    return [name for name, value in now.items() if value > baseline[name] * MARGIN]


def check(baseline: Mapping[str, float], measure: Measure) -> tuple[str, bool]:
    """Measure and compare, and measure once more what seems to be worse.

    Args:
        baseline: Ratios by `application, variant`.
        measure: Returns the same of today, for the applications that it is given.

    Returns:
        What there is to say, and whether all is well.
    """
    now = measure(tuple(dict.fromkeys(map(_application, baseline))))
    if suspects := worse(now, baseline):
        again = measure(tuple(dict.fromkeys(map(_application, suspects))))
        now |= {name: min(value, now[name]) for name, value in again.items()}
    found = worse(now, baseline)
    rows = [_row(name, baseline[name], value, found) for name, value in now.items()]
    said = table("Request path over header look-up, 1 KB in and 2 KB out", ["what", "baseline", "now", ""], rows)
    if found:
        said += (
            f"\n\nDearer than {MARGIN} times the baseline: {'; '.join(found)}. If it must be so: --write, and say why."
        )
    return said, not found


def _application(name: str) -> str:
    return name.partition(",")[0]


def _row(name: str, before: float, now: float, found: Collection[str]) -> list[str]:
    return [name, f"{before:.2f}", f"{now:.2f}", "worse" if name in found else ""]


def main(arguments: Sequence[str], path: Path = BASELINE, measure: Measure = measure) -> int:
    """Write the baseline, or compare with it; return the exit status."""
    if "--write" in arguments:
        runs = [measure(APPLICATIONS) for _ in range(BASELINE_RUNS)]
        written = {name: median(run[name] for run in runs) for name in runs[0]}
        path.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
        return 0
    said, well = check(json.loads(path.read_text(encoding="utf-8")), measure)
    print(said)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
