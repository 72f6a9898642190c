"""Runs the benchmarks: `make bench`. See README.md beside this file for what the figures mean."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import agent, building, footprint, hostile, overhead, sending, servers
from benchmarks.applications import APPLICATIONS
from benchmarks.relay import relay
from benchmarks.report import comparison
from benchmarks.sink import sink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

RESULTS = Path(__file__).parent / "results"


@dataclass
class Options:
    """The command line."""

    only: list[str] = field(default_factory=lambda: [*APPLICATIONS])
    parts: list[str] = field(default_factory=lambda: [*PARTS])
    rounds: int = 40
    small: bool = False
    transports: list[str] = field(default_factory=lambda: [*overhead.TRANSPORTS])
    json: Path = RESULTS / "latest.json"
    compare: Path | None = None


@dataclass(frozen=True)
class Part:
    """One part: what measures it, given the sink's URL, and what prints it."""

    measure: Callable[[str, Options], dict[str, Any]]
    show: Callable[[dict[str, Any]], None]


def _applications(url: str, options: Options) -> dict[str, Any]:
    results: dict[str, Any] = {}
    with relay() as path:
        settings = overhead.settings_for(url, options.transports, path)
        for name in options.only:
            results[name] = overhead.measure(name, settings, options.rounds, only_small=options.small)
            print(f"measured {name}", file=sys.stderr)
    return results


PARTS: dict[str, Part] = {
    "applications": Part(_applications, overhead.show),
    "servers": Part(lambda url, options: servers.measure(url, max(3, options.rounds // 6)), servers.show),
    "sending": Part(lambda url, options: sending.measure(url, max(3, options.rounds // 8)), sending.show),
    "agent": Part(lambda _, options: agent.measure(options.rounds * 10), agent.show),
    "building": Part(lambda _, options: building.measure(options.rounds), building.show),
    "hostile": Part(lambda _url, _options: hostile.measure(3), hostile.show),
    "footprint": Part(lambda _, options: footprint.measure(max(3, options.rounds // 4)), footprint.show),
}


def main() -> None:
    """Parse the command line and run."""
    options = _options()
    whole: dict[str, Any] = {"python": platform.python_version(), "rounds": options.rounds}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    with sink() as url:
        for name in options.parts:
            began = time.monotonic()
            whole[name] = PARTS[name].measure(url, options)
            PARTS[name].show(whole[name])
            print(f"part {name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
            options.json.write_text(json.dumps(whole, indent=1), encoding="utf-8")  # what is known, should one fail
    if options.compare:
        print(comparison(whole, options.compare))


def _options() -> Options:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", type=_names(APPLICATIONS), help="of " + ",".join(APPLICATIONS))
    parser.add_argument("--parts", type=_names(PARTS), help="of " + ",".join(PARTS))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--small", action="store_true", help="1/2 KB requests only")
    parser.add_argument("--transports", type=_names(overhead.TRANSPORTS), help="of " + ",".join(overhead.TRANSPORTS))
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--compare", type=Path, help="an earlier run's JSON")
    return parser.parse_args(namespace=Options())


def _names(known: Iterable[str]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        given = text.split(",")
        if unknown := sorted(set(given) - set(known)):
            raise argparse.ArgumentTypeError(f"not known: {', '.join(unknown)}")
        return given

    return names


if __name__ == "__main__":
    main()
