"""Running requests in batches, and what one of them cost."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from benchmarks.applications import Application
from benchmarks.driver import Call, Runner, batch_size, interleave
from benchmarks.overhead import figures

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

CALL = Call("POST", "/items/7", b"{}", "token")


class Wsgi:
    """Notes each request, and takes so many seconds of CPU for it."""

    def __init__(self, seconds: float = 0.0, notes: list[str] | None = None, name: str = "") -> None:
        self.environs: list[WSGIEnvironment] = []
        self._seconds = seconds
        self._notes = [] if notes is None else notes
        self._name = name

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.environs.append(environ)
        self._notes.append(self._name)
        until = time.thread_time() + self._seconds
        while time.thread_time() < until:
            pass
        start_response("200 OK", [])
        return [b"{}"]


def test_runners_take_turns_batch_by_batch() -> None:
    notes: list[str] = []
    made = [Runner(name, Application(Wsgi(notes=notes, name=name), "wsgi"), CALL, 2) for name in "ab"]
    interleave(made, 2, lambda: notes.append("flushed"))
    turn = {name: [name, name, "flushed"] for name in "ab"}
    assert notes == [*turn["a"], *turn["b"], *turn["b"], *turn["a"]] * 2
    assert [len(runner.path) for runner in made] == [2, 2]


def test_the_figure_is_the_cpu_of_one_request() -> None:
    runner = Runner("slow", Application(Wsgi(0.002), "wsgi"), CALL, 5)
    interleave([runner], 3, lambda: None)
    assert 2000 <= min(runner.path) < 4000  # µs


def test_what_is_done_until_all_is_delivered_belongs_to_the_total_only() -> None:
    def flush() -> None:
        until = time.thread_time() + 0.01
        while time.thread_time() < until:
            pass

    runner = Runner("recorded", Application(Wsgi(), "wsgi"), CALL, 5)
    interleave([runner], 3, flush)
    assert all(total - path >= 2000 for path, total in zip(runner.path, runner.total, strict=True))


def test_a_request_has_the_token_and_its_body() -> None:
    app = Wsgi()
    interleave([Runner("recorded", Application(app, "wsgi"), CALL, 1)], 1, lambda: None)
    environ: dict[str, Any] = app.environs[0]
    assert environ["HTTP_X_OTAS_AGENT_SESSION_TOKEN"] == "token"
    assert (environ["REQUEST_METHOD"], environ["PATH_INFO"]) == ("POST", "/items/7")
    assert environ["wsgi.input"].read() == b"{}"


def test_a_slow_application_is_asked_less_often() -> None:
    assert batch_size(Application(Wsgi(), "wsgi"), CALL) == 100
    assert 1 < batch_size(Application(Wsgi(0.001), "wsgi"), CALL) <= 5
    assert batch_size(Application(Wsgi(0.006), "wsgi"), CALL) == 1


def test_what_is_added_is_the_difference_round_by_round() -> None:
    paths = {
        "bare": [1.0, 10.0, 100.0],
        "look-up": [2.0, 11.0, 101.0],
        "ordinary": [2.5, 11.5, 101.5],
        "recorded, fast": [21.0, 30.0, 120.0],
        "recorded, httpx": [99.0, 99.0, 199.0],
    }
    made = {name: Runner(name, Application(None, "wsgi"), CALL, 1, path, path) for name, path in paths.items()}
    found = figures(made, ["fast", "httpx"])
    assert found["ordinary over floor"] == {"q1": 0.5, "median": 0.5, "q3": 0.5}
    assert found["recorded, path"] == {"q1": 20.0, "median": 20.0, "q3": 20.0}
    assert found["recorded, total, httpx"]["median"] == 98.0
