"""What must hold with every framework and does not depend on it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from otas_middleware import asgi, wsgi
from otas_middleware._runtime import runtime
from otas_middleware.localbrain import LocalBrain
from support.agent import PATIENCE, Agent
from support.asgi_gateway import call_asgi, converse
from support.harnesses import Harness, harnesses
from support.loopback import listen
from support.recording import own_recorder
from support.request import Request
from support.scenarios import JSON, LARGE_LINE, SCENARIOS, TEXT
from support.sink import TOKEN, Sink
from support.wsgi_gateway import call_wsgi

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextlib import AbstractContextManager

    from otas_middleware import OtasSettings

HARNESSES = harnesses()
ORDER = next(scenario.request for scenario in SCENARIOS if scenario.name == "json")

every_framework = pytest.mark.parametrize("harness", HARNESSES, ids=str)


@pytest.fixture(scope="module")
def sink() -> Sink:
    return Sink()


def call(harness: Harness, app: Any, request: Request) -> Any:
    return call_asgi(app, request) if harness.protocol == "asgi" else call_wsgi(app, request.environ())


def tagged(number: int) -> Request:
    """Return a request whose every part names its number."""
    body = json.dumps({"item": f"item-{number}-", "quantity": number, "note": ""}).encode()
    return Request("POST", f"/orders/{number}", f"dry_run=1&tag=tag-{number}-", (JSON, TOKEN), (body,))


@every_framework
def test_concurrent_requests_are_never_mixed(harness: Harness, sink: Sink) -> None:
    sink.captures.clear()
    app = harness.application(sink.settings)
    requests = [tagged(number) for number in range(1000, 1200)]
    if harness.protocol == "asgi":

        async def all_at_once() -> None:
            await asyncio.gather(*(converse(app, request.scope(), request.body) for request in requests))

        asyncio.run(all_at_once())
    else:
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(functools.partial(call, harness, app), requests))
    assert len(sink.captures) == len(requests)
    for capture in sink.captures:
        _, _, number = capture.path.rpartition("/")
        query = capture.query_string
        assert f"tag-{number}-" in (query.decode() if isinstance(query, bytes) else query)
        assert f"item-{number}-".encode() in capture.request_body()
        assert f"item-{number}-".encode() in capture.response_body()
        assert capture.status_code == 201
    assert len({capture.path for capture in sink.captures}) == len(requests)


@every_framework
def test_wrapped_a_second_time_it_records_once(harness: Harness, sink: Sink, settings: OtasSettings) -> None:
    sink.captures.clear()
    inner: Any = harness.application(sink.settings)
    outer: Any = asgi.OtasMiddleware if harness.protocol == "asgi" else wsgi.OtasMiddleware
    wrapped = call(harness, outer(inner, settings=sink.settings), tagged(1))
    assert wrapped == call(harness, harness.application(None), tagged(1))
    assert sink.take().status_code == 201


@every_framework
def test_ten_megabytes_are_counted_whole_and_kept_in_part(harness: Harness, sink: Sink) -> None:
    sink.captures.clear()
    body = (LARGE_LINE * 4096,) * 160
    request = Request("POST", "/large", headers=(TEXT, TOKEN), body=body)
    call(harness, harness.application(sink.settings), request)
    capture = sink.take()
    assert capture.request_size == request.size == 10 * 1024 * 1024
    assert capture.request_body() == body[0]
    assert (capture.response_size, len(capture.response_body())) == (200_000, 65_536)


@contextlib.contextmanager
def hanging() -> Generator[str]:
    """Listen, and answer nobody."""
    with listen() as socket:
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"


@contextlib.contextmanager
def absent() -> Generator[str]:
    """Give an address where nobody listens."""
    with listen() as socket:
        port = socket.getsockname()[1]
    yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def misbehaving(mode: str) -> Generator[str]:
    with LocalBrain() as brain, brain.faults.inject(mode):
        yield brain.url


TROUBLES: dict[str, Callable[[], AbstractContextManager[str]]] = {
    "absent": absent,
    "hanging": hanging,
    "401": lambda: misbehaving("outage"),
    "500": lambda: misbehaving("page"),
    "garbage": lambda: misbehaving("garbage"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_whatever_becomes_of_brain_every_application_starts_and_answers_as_bare(
    trouble: str, settings: OtasSettings, agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    request = ORDER.having(agent.header)
    waits = 60.0  # what a request would take that waits for Brain; no machine is so busy that it takes a quarter of it
    with TROUBLES[trouble]() as url, own_recorder(settings, brain_url=url, request_timeout=waits) as troubled:
        for harness in HARNESSES:
            bare = call(harness, harness.application(None), request)
            started = time.monotonic()
            wrapped = call(harness, harness.build(troubled), request)
            assert time.monotonic() - started < waits / 4, f"{harness} waited for Brain"
            assert wrapped == bare, harness
    assert agent.token not in caplog.text


@pytest.mark.parametrize("harness", [harness for harness in HARNESSES if harness.name in {"asgi", "wsgi"}], ids=str)
def test_a_log_handler_that_calls_the_application_makes_no_endless_chain(
    harness: Harness, settings: OtasSettings, agent: Agent
) -> None:
    called = threading.Event()

    class Calling(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.name.startswith("otas_middleware"):
                call(harness, app, ORDER.having(agent.header))
                called.set()

    handler, root = Calling(), logging.getLogger()
    with misbehaving("outage") as url, own_recorder(settings, brain_url=url) as troubled:
        app = harness.build(troubled)
        root.addHandler(handler)
        try:
            call(harness, app, ORDER.having(agent.header))
            assert called.wait(PATIENCE), "nothing was logged: the test shows nothing"
        finally:
            root.removeHandler(handler)
        assert runtime.recorders[troubled].pipeline.stats()["captured"] == 1


@every_framework
def test_where_no_thread_can_be_started_the_application_answers_as_bare(
    harness: Harness, settings: OtasSettings, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("otas"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    request = ORDER.having(agent.header)
    with own_recorder(settings) as own:
        assert call(harness, harness.build(own), request) == call(harness, harness.application(None), request)
        assert agent.event()["status_code"] == 201


GLOBAL_STATE = """
import asyncio, gc, locale, logging, os, signal, socket, sys, threading, warnings
def state():
    return {
        "environ": dict(os.environ),
        "directory": os.getcwd(),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "root logger": (logging.root.level, list(logging.root.handlers), list(logging.root.filters)),
        "logging": (logging.getLoggerClass(), logging.getLogRecordFactory(), logging.raiseExceptions),
        "own logger": (list(logging.getLogger("otas_middleware").handlers), logging.getLogger("otas_middleware").level),
        "hooks": (sys.excepthook, threading.excepthook, sys.unraisablehook, sys.displayhook, sys.gettrace()),
        "warnings": list(warnings.filters),
        "sockets": socket.getdefaulttimeout(),
        "loops": asyncio.get_event_loop_policy.__name__,
        "recursion": sys.getrecursionlimit(),
        "switching": sys.getswitchinterval(),
        "locale": locale.setlocale(locale.LC_ALL),
        "gc": (gc.isenabled(), gc.get_threshold()),
        "path": list(sys.path),
        "mask": os.umask(os.umask(0o22)),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "threads": threading.active_count(),
    }
before = state()
import otas_middleware
from otas_middleware import asgi, django, flask, wsgi
app = wsgi.OtasMiddleware(lambda environ, start: (start("200 OK", []), [b"hello"])[1])
import flask as framework
flask.Otas(framework.Flask("app"))
after = state()
for name in before:
    if before[name] != after[name]:
        print(name, before[name], after[name], sep="\\n")
"""


def test_importing_and_installing_changes_nothing_of_the_process(settings: OtasSettings) -> None:
    assert settings.sdk_key is not None
    environment = {
        **os.environ,
        "OTAS_SDK_KEY": settings.sdk_key.get_secret_value(),
        "OTAS_BRAIN_URL": "http://[::1]:9",
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", GLOBAL_STATE],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_recording_leaves_signals_loggers_and_the_environment_alone(settings: OtasSettings, agent: Agent) -> None:
    def state() -> Any:
        loggers = [logging.getLogger(), logging.getLogger("otas_middleware")]
        signals = {number: signal.getsignal(number) for number in signal.valid_signals()}
        return [(logger.handlers[:], logger.level, logger.propagate) for logger in loggers], dict(os.environ), signals

    before = state()
    for harness in HARNESSES:
        call(harness, harness.application(settings), ORDER.having(agent.header))
    assert len(agent.events()) == len(HARNESSES)
    assert state() == before
