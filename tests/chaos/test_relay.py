"""The relay under load and in trouble: nothing that a client saw answered is lost, and what comes twice was counted.

Part of `make chaos`. The relay is a process of its own beside the server, as its users run it.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from chaos import report
from chaos.stage import Stage
from support.relay import RelayProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from chaos.stage import Figures

SECONDS = float(os.environ.get("CHAOS_SECONDS", "15"))
RATE = float(os.environ.get("CHAOS_RATE", "60"))
RELAY_RATE = 250.0
KILLS = 20
WORKER_KILLS = 10

WITHOUT_DISK = {"OTAS_SPOOL_DIR": ""}


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[RelayProcess]:
    with RelayProcess(tmp_path) as relay:
        yield relay


@pytest.fixture
def stage(tmp_path: Path, relay: RelayProcess) -> Iterator[Callable[..., Stage]]:
    stages: list[Stage] = []

    def make(rate: float = RATE, server: str = "gunicorn", **environment: str) -> Stage:
        made = Stage(tmp_path, rate, server, **{"OTAS_RELAY": relay.path, **environment})
        stages.append(made)
        made.server.start()
        return made

    yield make
    for made in stages:
        made.__exit__()


def check(figures: Figures, *, lost: int = 0) -> None:
    """Write the figures down, and hold them against the measures."""
    report.add(figures)
    assert figures.lost <= lost, figures
    assert figures.answered > figures.seconds, figures
    assert figures.duplicates <= figures.possible_duplicates, figures


def kill_again_and_again(relay: RelayProcess, times: int, seconds: float) -> Callable[[], None]:
    def kill() -> None:
        for _ in range(times):
            time.sleep(seconds / times)
            relay.stop(signal.SIGKILL)
            relay.start()

    return kill


@pytest.mark.slow
@pytest.mark.parametrize("server", ["gunicorn", "uvicorn"])
@pytest.mark.parametrize("slow_ms", [0, 50])
def test_the_relay_is_killed_twenty_times(
    stage: Callable[..., Stage], relay: RelayProcess, slow_ms: int, server: str
) -> None:
    here = stage(RELAY_RATE, server, **WITHOUT_DISK)
    here.brain.misbehave(slow_ms=slow_ms)
    kill = kill_again_and_again(relay, KILLS, SECONDS)
    check(here.run(f"relay killed {KILLS} times, Brain of {slow_ms} ms, {server}", SECONDS, kill, here.brain.behave))


@pytest.mark.slow
def test_the_relay_is_stopped_and_continued(stage: Callable[..., Stage], relay: RelayProcess) -> None:
    here = stage(RELAY_RATE, **WITHOUT_DISK)
    figures = here.run(
        "relay stopped and continued",
        SECONDS,
        lambda: relay.send(signal.SIGSTOP),
        lambda: relay.send(signal.SIGCONT),
    )
    check(figures)
    assert figures.p99_during <= figures.p99_before * 3 + 40, figures


@pytest.mark.slow
def test_the_relay_is_started_late_and_replaced_again_and_again(
    stage: Callable[..., Stage], relay: RelayProcess
) -> None:
    relay.stop()
    here = stage(**WITHOUT_DISK)

    def replace() -> None:
        for _ in range(5):
            relay.start()
            time.sleep(SECONDS / 5)
            relay.stop()  # it drains, and leaves the rest to the workers

    check(here.run("relay started late, ended and started", SECONDS, replace, relay.start))


@pytest.mark.slow
def test_the_disk_is_full_under_the_relay_while_brain_is_away(stage: Callable[..., Stage], relay: RelayProcess) -> None:
    relay.stop()
    relay.start(largest_file=200_000)
    here = stage()
    check(here.run("Brain away and the disk full under the relay", SECONDS, here.brain.stop, here.brain.start))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_brain_is_away_and_the_relay_ends(
    stage: Callable[..., Stage], relay: RelayProcess, number: signal.Signals
) -> None:
    here = stage(**WITHOUT_DISK)

    def trouble() -> None:
        here.brain.stop()
        time.sleep(SECONDS / 3)
        relay.stop(number)
        time.sleep(SECONDS / 3)
        relay.start()

    check(here.run(f"Brain away, {number.name} of the relay", SECONDS, trouble, here.brain.start))


LOST_PER_KILL = {"relay": 0, "inline": 1, "batch": 60}


@pytest.mark.slow
@pytest.mark.parametrize("mode", LOST_PER_KILL)
@pytest.mark.parametrize("server", ["gunicorn", "uvicorn"])
def test_workers_are_killed_in_mid_load(stage: Callable[..., Stage], mode: str, server: str) -> None:
    environment = {"relay": {"OTAS_DURABILITY": "relay"}, "inline": {}, "batch": {"OTAS_RELAY_BATCH": "1"}}[mode]
    here = stage(RELAY_RATE, server, **WITHOUT_DISK, **environment)

    def kill() -> None:
        for _ in range(WORKER_KILLS):
            time.sleep(SECONDS / WORKER_KILLS)
            os.kill(here.server.workers()[0], signal.SIGKILL)

    figures = here.run(f"{WORKER_KILLS} workers killed, {mode}, {server}", SECONDS, kill, lambda: None)
    check(figures, lost=LOST_PER_KILL[mode] * WORKER_KILLS)


def test_the_relay_is_killed_and_ended_under_load_in_short(stage: Callable[..., Stage], relay: RelayProcess) -> None:
    """The short form of the above, for every run of the tests."""
    here = stage(**WITHOUT_DISK)

    def trouble() -> None:
        here.brain.misbehave(slow_ms=50)
        relay.stop(signal.SIGKILL)
        time.sleep(0.5)
        relay.start()
        time.sleep(1.0)
        relay.stop()

    figures = here.run("relay in trouble, short form", 3.0, trouble, relay.start)
    assert figures.lost == 0, figures
    assert figures.answered > 100, figures
    assert figures.duplicates <= figures.possible_duplicates, figures
