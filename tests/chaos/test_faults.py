"""Each fault under steady load: nothing is lost, nobody waits longer, memory stays flat, and the server ends in time.

`make chaos` runs all of them (`CHAOS_SECONDS` says for how long each fault lasts) and writes their figures.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from chaos import report
from chaos.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from chaos.stage import Figures

SECONDS = float(os.environ.get("CHAOS_SECONDS", "15"))
RATE = float(os.environ.get("CHAOS_RATE", "60"))
SHUTDOWN_SECONDS = 2.0

SERVERS = ("gunicorn", "uvicorn")

NOISE_FACTOR = 3.0
NOISE_MS = 40.0
"""What the p99 of a busy machine varies by from one quarter of a minute to the next."""

GROWTH_MB = 40.0
EVENT_MB = 0.008
"""Beside what the first events bring with them, room for the queue's own bound."""


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    stages: list[Stage] = []

    def make(server: str = "gunicorn", **environment: str) -> Stage:
        made = Stage(tmp_path, RATE, server, **environment)
        stages.append(made)
        return made

    yield make
    for made in stages:
        made.__exit__()


def check(figures: Figures, *, lost: int = 0, waiting: int = 0) -> None:
    """Write the figures down, and hold them against the measures; so many events had nowhere to go but memory."""
    report.add(figures)
    assert figures.lost <= lost, figures
    assert figures.answered > RATE * (figures.seconds + 2), figures
    assert figures.p99_during <= figures.p99_before * NOISE_FACTOR + NOISE_MS, figures
    assert figures.memory_growth_mb <= GROWTH_MB + waiting * EVENT_MB, figures
    assert figures.exit_seconds <= SHUTDOWN_SECONDS + 0.5 + 1.0, figures  # gunicorn itself takes up to a second
    assert figures.duplicates <= figures.possible_duplicates, figures


def named(fault: str, server: str) -> str:
    return fault if server == "gunicorn" else f"{fault}, {server}"


MISBEHAVIOURS: dict[str, dict[str, Any]] = {
    "none": {},
    "500 event_capture_failed": {"mode": "capture-failed"},
    "401 invalid_sdk_key (UASAM down)": {"mode": "outage", "services": ["brain", "uasam"]},
    "hung": {"mode": "hang"},
    "503 with a page": {"mode": "busy"},
    "half of the connections reset": {"mode": "reset", "rate": 0.5},
    "a third of the answers lost": {"mode": "reset-after", "rate": 0.33},
    "half of the answers garbage": {"mode": "garbage", "rate": 0.5},
    "half of the answers cut short": {"mode": "truncated", "rate": 0.5},
    "slow: 200 ms": {"slow_ms": 200},
    "slow: 3 s": {"slow_ms": 3000},
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", MISBEHAVIOURS)
def test_brain_misbehaves(stage: Callable[..., Stage], fault: str) -> None:
    here = stage()
    here.server.start()
    check(here.run(fault, SECONDS, lambda: here.brain.misbehave(**MISBEHAVIOURS[fault]), here.brain.behave))


@pytest.mark.slow
@pytest.mark.parametrize("server", SERVERS)
def test_brain_is_stopped_and_started_again(stage: Callable[..., Stage], server: str) -> None:
    here = stage(server)
    here.server.start()
    check(here.run(named("Brain stopped and started", server), SECONDS, here.brain.stop, here.brain.start))


@pytest.mark.slow
def test_brain_is_killed_in_mid_answer(stage: Callable[..., Stage]) -> None:
    here = stage()
    here.server.start()

    def kill() -> None:
        here.brain.misbehave(slow_ms=300)
        time.sleep(1.0)
        here.brain.stop(signal.SIGKILL)

    check(here.run("Brain killed in mid-answer", SECONDS, kill, here.brain.start))


@pytest.mark.slow
def test_the_network_is_a_black_hole(stage: Callable[..., Stage]) -> None:
    here = stage(OTAS_REQUEST_TIMEOUT="5")
    here.server.start()
    check(
        here.run(
            "network black hole",
            SECONDS,
            lambda: here.network.report_internal_error(everything=True),
            lambda: here.network.report_internal_error(everything=False),
        )
    )


@pytest.mark.slow
def test_the_disk_is_full_under_the_spool_while_brain_is_away(stage: Callable[..., Stage]) -> None:
    here = stage()
    here.server.start(largest_file=200_000)
    figures = here.run("Brain away and the disk full", SECONDS, here.brain.stop, here.brain.start)
    check(figures, waiting=int(RATE * SECONDS))
    assert "the spool in" in here.server.log()


@pytest.mark.slow
@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("away", [False, True])
def test_a_worker_is_terminated(stage: Callable[..., Stage], away: bool, server: str) -> None:
    here = stage(server)
    here.server.start()

    def terminate() -> None:
        if away:
            here.brain.stop()
        time.sleep(SECONDS / 3)
        os.kill(here.server.workers()[0], signal.SIGTERM)

    name = "SIGTERM of a worker" + (" while Brain is away" if away else "")
    check(here.run(named(name, server), SECONDS, terminate, here.brain.start if away else lambda: None))


@pytest.mark.slow
def test_a_worker_is_killed(stage: Callable[..., Stage]) -> None:
    """What was only in its memory is lost: what came within the last moments, while Brain is well."""
    here = stage()
    here.server.start()
    figures = here.run(
        "SIGKILL of a worker", SECONDS, lambda: os.kill(here.server.workers()[0], signal.SIGKILL), lambda: None
    )
    check(figures, lost=int(RATE))


@pytest.mark.slow
@pytest.mark.parametrize("server", SERVERS)
def test_a_worker_is_killed_with_durability(stage: Callable[..., Stage], server: str) -> None:
    here = stage(server, OTAS_DURABILITY="spool")
    here.server.start()
    here.brain.misbehave(slow_ms=500)

    def kill() -> None:
        time.sleep(SECONDS / 3)
        os.kill(here.server.workers()[0], signal.SIGKILL)

    check(here.run(named("SIGKILL of a worker, durability=spool", server), SECONDS, kill, here.brain.behave))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("durability", ["memory", "spool"])
@pytest.mark.parametrize("server", SERVERS)
def test_the_whole_server_ends_and_starts_again(
    stage: Callable[..., Stage], number: signal.Signals, durability: str, server: str
) -> None:
    here = stage(server, OTAS_DURABILITY=durability)
    here.server.start()
    took: list[float] = []

    def restart() -> None:
        here.brain.misbehave(slow_ms=300)
        time.sleep(2.0)
        took.append(here.server.stop(number))
        here.server.start()

    name = named(f"{number.name} of the server, durability={durability}", server)
    figures = here.run(name, SECONDS, restart, here.brain.behave)
    figures.p99_during = figures.p99_before  # calls fail while there is no server
    check(figures, lost=int(RATE * 3) if (number, durability) == (signal.SIGKILL, "memory") else 0)
    assert took[0] <= SHUTDOWN_SECONDS + 0.5 + 1.0


@pytest.mark.slow
def test_the_server_ends_in_time_with_nowhere_to_send(stage: Callable[..., Stage]) -> None:
    here = stage()
    here.server.start()
    took: list[float] = []

    def restart() -> None:
        here.network.report_internal_error(everything=True)
        time.sleep(SECONDS / 2)
        took.append(here.server.stop())
        here.server.start()

    figures = here.run(
        "SIGTERM of the server before a black hole",
        SECONDS,
        restart,
        lambda: here.network.report_internal_error(everything=False),
    )
    figures.p99_during = figures.p99_before
    figures.exit_seconds = round(took[0], 2)
    check(figures)


def test_nothing_is_lost_while_brain_goes_away_a_worker_is_recycled_and_answers_are_lost_in_short(
    stage: Callable[..., Stage],
) -> None:
    """The short form of all the above, for every run of the tests."""
    here = stage()
    here.server.start()

    def break_things() -> None:
        here.brain.misbehave(mode="reset-after", rate=0.3)
        time.sleep(1.0)
        here.brain.stop()
        time.sleep(1.5)
        os.kill(here.server.workers()[0], signal.SIGTERM)

    figures = here.run("short form", 4.0, break_things, here.brain.start)
    assert figures.lost == 0, figures
    assert figures.answered > 100, figures
    assert figures.exit_seconds <= 10, figures
