"""Running requests in batches, and what one of them cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import driver
from benchmarks.applications import Application
from benchmarks.driver import Call, Runner, batch_size, interleave
from benchmarks.overhead import figures

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

CALL = Call("POST", "/items/7", b"{}", "token")


class Clock:
    """The CPU time of the process, as the driver reads it."""

    def __init__(self) -> None:
        self.nanoseconds = 0

    def spend(self, seconds: float) -> None:
        self.nanoseconds += round(seconds * 1e9)

    def process_time_ns(self) -> int:
        return self.nanoseconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(driver, "time", found)
    monkeypatch.setattr(driver, "worker_cpu_ns", lambda: 0)
    return found


class Wsgi:
    """Notes each request, and takes so many seconds of CPU for it."""

    def __init__(
        self, clock: Clock | None = None, seconds: float = 0.0, notes: list[str] | None = None, name: str = ""
    ) -> None:
        self.environs: list[WSGIEnvironment] = []
        self._clock = clock
        self._seconds = seconds
        self._notes = [] if notes is None else notes
        self._name = name

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.environs.append(environ)
        self._notes.append(self._name)
        if self._clock is not None:
            self._clock.spend(self._seconds)
        start_response("200 OK", [])
        return [b"{}"]


def test_runners_take_turns_batch_by_batch() -> None:
    notes: list[str] = []
    made = [Runner(name, Application(Wsgi(notes=notes, name=name), "wsgi"), CALL, 2) for name in "ab"]
    interleave(made, 2, lambda: notes.append("flushed"))
    turn = {name: [name, name, "flushed"] for name in "ab"}
    assert notes == [*turn["a"], *turn["b"], *turn["b"], *turn["a"]] * 2
    assert [len(runner.path) for runner in made] == [2, 2]


def test_the_figure_is_the_cpu_of_one_request(clock: Clock) -> None:
    runner = Runner("slow", Application(Wsgi(clock, 0.002), "wsgi"), CALL, 5)
    interleave([runner], 3, lambda: None)
    assert runner.path == [2000.0] * 3  # µs


def test_what_is_done_until_all_is_delivered_belongs_to_the_total_only(clock: Clock) -> None:
    runner = Runner("recorded", Application(Wsgi(clock, 0.001), "wsgi"), CALL, 5)
    interleave([runner], 3, lambda: clock.spend(0.01))
    assert (runner.path, runner.total) == ([1000.0] * 3, [3000.0] * 3)


def test_a_request_has_the_token_and_its_body() -> None:
    app = Wsgi()
    interleave([Runner("recorded", Application(app, "wsgi"), CALL, 1)], 1, lambda: None)
    environ: dict[str, Any] = app.environs[0]
    assert environ["HTTP_X_OTAS_AGENT_SESSION_TOKEN"] == "token"
    assert (environ["REQUEST_METHOD"], environ["PATH_INFO"]) == ("POST", "/items/7")
    assert environ["wsgi.input"].read() == b"{}"


@pytest.mark.parametrize(("seconds", "batch"), [(0.00001, 100), (0.001, 5), (0.006, 1)])
def test_a_slow_application_is_asked_less_often(clock: Clock, seconds: float, batch: int) -> None:
    assert batch_size(Application(Wsgi(clock, seconds), "wsgi"), CALL) == batch


def test_what_is_added_is_the_difference_round_by_round_while_the_machine_is_quiet() -> None:
    paths = {
        "bare": [1.0, 10.0, 100.0, 300.0, 250.0],  # in the last two the machine was disturbed
        "look-up": [2.0, 11.0, 101.0, 2.0, 500.0],
        "ordinary": [2.5, 11.5, 101.5, 900.0, 3.0],
        "recorded, fast": [21.0, 30.0, 120.0, 7.0, 8.0],
        "recorded, httpx": [99.0, 99.0, 199.0, 1.0, 900.0],
    }
    made = {name: Runner(name, Application(None, "wsgi"), CALL, 1, path, path) for name, path in paths.items()}
    found = figures(made, ["fast", "httpx"])
    assert found["ordinary over floor"] == {"q1": 0.5, "median": 0.5, "q3": 0.5}
    assert found["recorded, path"] == {"q1": 20.0, "median": 20.0, "q3": 20.0}
    assert found["recorded, total, httpx"]["median"] == 98.0
