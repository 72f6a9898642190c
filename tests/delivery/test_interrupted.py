"""What interrupts delivery's own code, in its own thread, waits for nothing that only that code could end."""

from __future__ import annotations

import gc
import os
import threading
from typing import TYPE_CHECKING

import pytest

import otas_middleware as otas
from otas_middleware._capture import context
from otas_middleware._delivery import process
from otas_middleware._runtime import Runtime
from otas_middleware.wsgi import OtasMiddleware
from relay.host import host
from support.agent import PATIENCE, Agent
from support.interrupting import TimeLimitError, in_a_thread
from support.recording import own_recorder
from support.relay import RelayThread
from support.request import Request
from support.wsgi_gateway import call_wsgi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import FrameType
    from wsgiref.types import StartResponse, WSGIEnvironment

    from otas_middleware import BackendEvent, OtasSettings
    from otas_middleware.localbrain import LocalBrain


def stream(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"one"
    yield b"two"


def _start_response(*_: object) -> Callable[[bytes], object]:
    return len


class Abandoned:
    """A response that its server neither reads to the end nor closes, in a cycle that only the collector ends."""

    def __init__(self, app: OtasMiddleware, request: Request) -> None:
        self.response = app(request.environ(), _start_response)
        next(iter(self.response))
        self.itself = self


def interrupting(file: str, name: str, action: Callable[[], object]) -> Callable[[FrameType, str, object], None]:
    """Return a profiler that does something as soon as a function of ours is entered, once."""
    todo = [action]

    def profile(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if todo and event == "call" and code.co_name == name and code.co_filename.endswith(file):
            todo.pop()()

    return profile


@pytest.fixture
def collector_at_rest() -> Iterator[None]:
    """The collector works only when it is told to."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


PLACES = [
    ("_delivery/queue.py", "add"),
    ("_delivery/queue.py", "_sort_in"),
    ("_delivery/worker_pool.py", "wake"),
    ("_delivery/stats.py", "copy"),
]


@pytest.mark.usefixtures("collector_at_rest")
@pytest.mark.parametrize("place", PLACES, ids=str)
def test_a_response_that_the_collector_finds_while_a_lock_is_held_is_recorded_afterwards(
    place: tuple[str, str], settings: OtasSettings, agent: Agent
) -> None:
    app = OtasMiddleware(stream, settings=settings)
    abandoned = Abandoned(app, Request("GET", "/abandoned").having(agent.header))

    def serve() -> None:
        call_wsgi(app, Request("GET", "/served").having(agent.header).environ())
        otas.stats()

    del abandoned
    in_a_thread(serve, interrupting(*place, gc.collect))
    agent.event_from_elsewhere(2)
    assert sorted(str(event["path"]) for event in agent.events()) == ["/abandoned", "/served"]


@pytest.mark.usefixtures("collector_at_rest")
def test_a_response_that_the_collector_finds_while_a_relay_is_connected_to_is_recorded_afterwards(
    brain: LocalBrain, agent: Agent
) -> None:
    with RelayThread() as relay, host(brain, agent, relay.path, stream) as app:
        abandoned = Abandoned(app.app, Request("GET", "/abandoned").having(agent.header))
        del abandoned
        in_a_thread(app.call, interrupting("_delivery/relay/link.py", "connect", gc.collect))
        agent.event_from_elsewhere(2)


@pytest.mark.usefixtures("collector_at_rest")
def test_where_no_thread_can_be_started_the_interrupted_code_does_it_at_its_end(
    settings: OtasSettings, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise RuntimeError("can't start new thread")

    app = OtasMiddleware(stream, settings=settings)
    abandoned = Abandoned(app, Request("GET", "/abandoned").having(agent.header))

    def serve() -> None:
        with monkeypatch.context() as patched:
            patched.setattr("_thread.start_new_thread", refuse)
            call_wsgi(app, Request("GET", "/served").having(agent.header).environ())

    del abandoned
    in_a_thread(serve, interrupting(*PLACES[0], gc.collect))
    assert len(agent.events()) == 2


def test_a_signals_handler_that_flushes_in_the_middle_of_recording_is_told_at_once_that_it_cannot(
    settings: OtasSettings, agent: Agent
) -> None:
    app = OtasMiddleware(stream, settings=settings)
    found: list[object] = []

    def handle() -> None:
        found.extend((otas.flush(3600.0), otas.stats()["captured"]))

    in_a_thread(
        lambda: call_wsgi(app, Request("GET", "/served").having(agent.header).environ()),
        interrupting(*PLACES[0], handle),
    )
    assert found[0] is False
    assert len(agent.events()) == 1
    assert otas.flush(PATIENCE)


def test_what_interrupts_a_block_within_another_is_done_once_at_the_end_of_the_outer_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_thread(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("_thread.start_new_thread", no_thread)
    done: list[str] = []

    def both() -> None:
        with context.deferring_interruptions():
            with context.deferring_interruptions():
                context.run_or_defer(done.append, "it")
            done.append("the inner one has ended")

    in_a_thread(both)
    assert done == ["the inner one has ended", "it"]


def test_what_was_left_for_later_is_the_parents_after_a_fork() -> None:
    context._deferred.append((print, "the parent's"))
    child = os.fork()
    if child == 0:
        os._exit(len(context._deferred))
    context._deferred.clear()
    assert os.waitpid(child, 0)[1] == 0


def test_a_fork_does_not_wait_for_a_before_send_that_takes_its_time(
    settings: OtasSettings, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "LONGEST_WAIT", 3600.0)
    may_go_on, asked = threading.Event(), threading.Semaphore(0)

    def ask(event: BackendEvent) -> BackendEvent:
        asked.release()
        assert event.path == "/first" or may_go_on.wait(PATIENCE)
        return event

    def fork() -> None:
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)

    with own_recorder(settings, before_send=ask) as own:
        app = OtasMiddleware(stream, settings=own)
        call_wsgi(app, Request("GET", "/first").having(agent.header).environ())  # may import, and no fork goes on then
        assert len(agent.events()) == 1
        assert asked.acquire(timeout=PATIENCE)
        call_wsgi(app, Request("GET", "/second").having(agent.header).environ())
        assert asked.acquire(timeout=PATIENCE)
        in_a_thread(fork)
        may_go_on.set()
        assert len(agent.events()) == 2


def test_only_code_that_has_run_before_lets_a_fork_go_on_whatever_its_identity_was_once() -> None:
    ours = Runtime()

    def others_may_fork() -> bool:
        taken: list[bool] = []

        def fork() -> None:
            taken.append(ours.no_fork.acquire(blocking=False))
            if taken[0]:
                ours.no_fork.release()

        thread = threading.Thread(target=fork)
        thread.start()
        thread.join()
        return taken[0]

    with ours.no_fork:
        for code in (
            object() for _ in range(3)
        ):  # each gets the identity of the one before, unless somebody keeps that
            for times in range(2):
                with ours.forks_allowed(code):
                    assert others_may_fork() == (times > 0)
            del code


def test_a_signals_handler_that_raises_at_the_beginning_of_delivery_leaves_nothing_marked() -> None:
    def strike(frame: FrameType, event: str, _: object) -> None:
        if event == "c_return" and frame.f_code.co_name == "run_or_defer" and armed.pop():
            raise TimeLimitError

    def hand_over() -> None:
        with pytest.raises(TimeLimitError):
            context.run_or_defer(len, "")
        found.append(context.in_delivery.get())

    found: list[bool] = []
    armed = [True, False]  # not when it was asked where it is called, but when that was marked
    in_a_thread(hand_over, strike)
    assert found == [False]
