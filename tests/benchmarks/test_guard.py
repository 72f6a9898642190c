"""The guard's verdict: a ratio that got worse by more than the margin fails, and is named."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from benchmarks.applications import Application
from benchmarks.driver import Call, Runner
from benchmarks.guard import APPLICATIONS, BASELINE, GUARDED, MARGIN, check, main, ratios

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BEFORE = {"asgi, ordinary": 1.0, "asgi, recorded": 6.0, "flask, ordinary": 1.0, "flask, recorded": 1.5}


class Machine:
    """Measures what it was told to, run by run; the last one again and again."""

    def __init__(self, *runs: dict[str, float]) -> None:
        self._runs = [BEFORE | run for run in runs]
        self.asked: list[Sequence[str]] = []

    def __call__(self, names: Sequence[str]) -> dict[str, float]:
        self.asked.append(names)
        run = self._runs.pop(0) if len(self._runs) > 1 else self._runs[0]
        return {name: value for name, value in run.items() if name.partition(",")[0] in names}


def test_ratios_that_did_not_change_pass() -> None:
    machine = Machine({})
    said, well = check(BEFORE, machine)
    assert well
    assert "worse" not in said
    assert machine.asked == [("asgi", "flask")]


def test_a_ratio_within_the_margin_passes() -> None:
    _, well = check(BEFORE, Machine({"asgi, recorded": 6.0 * MARGIN}))
    assert well


def test_a_ratio_that_got_worse_fails_and_is_named_with_the_margin() -> None:
    said, well = check(BEFORE, Machine({"flask, recorded": 1.5 * MARGIN + 0.01}))
    assert not well
    assert f"Dearer than {MARGIN} times the baseline: flask, recorded." in said
    marked = [line for line in said.splitlines() if line.endswith("worse |")]
    assert [line.split("|")[1].strip() for line in marked] == ["flask, recorded"]


def test_all_ratios_that_got_worse_are_named() -> None:
    said, _ = check(BEFORE, Machine({"asgi, ordinary": 2.0, "flask, recorded": 9.0}))
    assert "asgi, ordinary; flask, recorded" in said


def test_what_seems_to_be_worse_is_measured_again_by_itself() -> None:
    machine = Machine({"flask, ordinary": 1.7}, {})
    _, well = check(BEFORE, machine)
    assert well
    assert machine.asked == [("asgi", "flask"), ("flask",)]


def test_a_second_measurement_makes_nothing_worse() -> None:
    _, well = check(BEFORE, Machine({"flask, ordinary": 1.7}, {"flask, recorded": 9.0}))
    assert well


def test_a_ratio_is_between_neighbours_so_that_a_slow_minute_changes_nothing() -> None:
    floor = [4.0, 40.0, 5.0]
    turning = [
        _runner("look-up", floor),
        _runner("ordinary", [1.5 * path for path in floor]),
        _runner("recorded, direct", [5 * path for path in floor]),
        _runner("recorded, relay", [6 * path for path in floor]),
    ]
    assert ratios(turning) == {"ordinary": 1.5, "recorded": 5.0, "handed over": 6.0}


def test_a_disturbed_round_changes_no_ratio() -> None:
    recorded = [_runner("recorded, direct", [20.0] * 3), _runner("recorded, relay", [24.0] * 3)]
    turning = [_runner("look-up", [4.0] * 3), _runner("ordinary", [4.0, 90.0, 4.0]), *recorded]
    assert ratios(turning) == {"ordinary": 1.0, "recorded": 5.0, "handed over": 6.0}


@pytest.mark.parametrize(("recorded", "status"), [(6.0, 0), (60.0, 1)])
def test_the_exit_status_is_the_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], recorded: float, status: int
) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps(BEFORE))
    assert main([], path, Machine({"asgi, recorded": recorded})) == status
    assert f"{recorded:.2f}" in capsys.readouterr().out


def test_a_baseline_is_the_median_of_several_runs(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    main(["--write"], path, Machine({"asgi, recorded": 90.0}, {"asgi, recorded": 1.0}, {}))
    assert json.loads(path.read_text()) == BEFORE


def test_a_baseline_that_was_written_passes(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    assert main(["--write"], path, Machine({"asgi, recorded": 60.0})) == 0
    assert main([], path, Machine({"asgi, recorded": 60.0})) == 0


def test_the_baseline_holds_every_application_and_variant() -> None:
    expected = {f"{name}, {variant}" for name in APPLICATIONS for variant in GUARDED}
    assert set(json.loads(BASELINE.read_text(encoding="utf-8"))) == expected


def _runner(name: str, path: list[float]) -> Runner:
    return Runner(name, Application(None, "wsgi"), Call("GET", "/"), 1, path)
