"""The short form that CI runs: has the request path become dearer, against the floor measured in the same run?

    python -m benchmarks.guard [--write]

Compares the ratios of the request path to the header look-up with those in `baseline.json`. A ratio may be larger by
`MARGIN`: CI's machines differ, and are shared. One that is too large is measured once more before it counts.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.overhead import measure
from benchmarks.report import table
from benchmarks.sink import sink
from otas_middleware import OtasSettings

BASELINE = Path(__file__).parent / "baseline.json"
APPLICATIONS = ("asgi", "wsgi", "flask", "django-wsgi")
VARIANTS = ("ordinary", "recorded")
ROUNDS = 15
MARGIN = 1.6
"""How many times as large as the baseline's a ratio may be."""


def ratios(names: tuple[str, ...] = APPLICATIONS) -> dict[str, float]:
    """Measure and return CPU per request over that of the header look-up, by application and variant."""
    found: dict[str, float] = {}
    with sink() as url:
        settings = OtasSettings(sdk_key="otas_bench_key", brain_url=url)  # type: ignore[arg-type]
        for name in names:
            figures: dict[str, Any] = measure(name, settings, ROUNDS, only_small=True)["1/2 KB"]
            floor = figures["look-up"]["median"]
            for variant in VARIANTS:
                found[f"{name}, {variant}"] = round(figures[variant]["median"] / floor, 3)
    return found


def main() -> int:
    """Measure, and write the baseline or compare with it; return the exit status."""
    now = ratios()
    if "--write" in sys.argv:
        BASELINE.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
        return 0
    before: dict[str, float] = json.loads(BASELINE.read_text(encoding="utf-8"))
    worse = _worse(now, before)
    if worse:
        again = ratios(tuple(dict.fromkeys(name.partition(",")[0] for name in worse)))
        now.update({name: min(value, now[name]) for name, value in again.items()})
        worse = _worse(now, before)
    rows = [
        [name, f"{before[name]:.2f}", f"{value:.2f}", "worse" if name in worse else ""] for name, value in now.items()
    ]
    print(table("Request path over header look-up, 1 KB in and 2 KB out", ["what", "baseline", "now", ""], rows))
    if worse:
        print(f"\nMore than {MARGIN} times the baseline: {', '.join(worse)}. If it must be so: --write, and say why.")
    return 1 if worse else 0


def _worse(now: dict[str, float], before: dict[str, float]) -> list[str]:
    return [name for name, value in now.items() if value > before[name] * MARGIN]


if __name__ == "__main__":
    sys.exit(main())
