"""Where memory, descriptors or stack run out, and where an extension quits, no event is lost untold and no thread."""

from __future__ import annotations

import importlib
import logging
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, Literal

import pytest

import otas_middleware
import otas_middleware._errors as internal_errors
from otas_middleware._delivery import Pipeline, Request, Response, process
from otas_middleware.localbrain import LocalBrain
from support.delivery import Item, RawServer, answer, balance, build, created, eventually, pipeline, settings
from support.limits import no_descriptor_left

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._event import Envelope
    from support.agent import Agent
    from support.delivery import Received

pytestmark = pytest.mark.usefixtures("as_in_production")


def test_what_cannot_be_imported_for_want_of_descriptors_is_built_when_there_are_some(
    brain: LocalBrain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needed_for_this_kind_of_body.py").write_text("")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    def importing(item: Any, chosen: OtasSettings) -> Envelope | None:
        if item.path == "/rare":
            importlib.import_module("needed_for_this_kind_of_body")
        return build(item, chosen)

    token = brain.create_session()
    sender = Pipeline(settings(brain.url, sdk_key=brain.sdk_key), importing)
    try:
        sender.put(Item("/first", token))  # its connection is kept
        assert sender.flush(20)
        failures = internal_errors.counts["delivery.build"]
        with no_descriptor_left():
            sender.put(Item("/rare", token))
            eventually(lambda: internal_errors.counts["delivery.build"] > failures)
        assert sender.flush(20)
        assert (sender.stats()["delivered"], sender.stats()["dropped"]) == (2, {})
    finally:
        sender.close(0.0)


def test_what_was_leased_and_cannot_be_read_for_want_of_descriptors_is_read_when_there_are_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    up = threading.Event()

    def script(connection: socket.socket, _request: Received) -> None:
        connection.sendall(created() if up.is_set() else answer("503 Service Unavailable"))

    with RawServer(script) as server:
        before = Pipeline(settings(server.url, spool_dir=tmp_path), build)
        for _ in range(3):
            before.put(Item())
        before.close(5.0)
        assert before.stats()["spooled"] == 3
        up.set()
        failures = internal_errors.counts["delivery.next_work"]
        with pipeline(server.url, spool_dir=tmp_path) as sender:
            otas_middleware.flush(2.0)  # what other tests have recorded
            with monkeypatch.context() as patch:
                patch.setitem(sys.modules, "otas_middleware._event", None)
                sender.put(Item())
                eventually(lambda: internal_errors.counts["delivery.next_work"] > failures)
            eventually(lambda: sender.stats()["delivered"] == 4)
            assert (sender.stats()["spooled"], balance(sender.stats())) == (-3, 0)


def test_a_build_that_is_short_of_memory_for_ever_is_given_up() -> None:
    tries: list[None] = []

    def hungry(_item: Any, _chosen: OtasSettings) -> Envelope | None:
        tries.append(None)
        raise MemoryError

    sender = Pipeline(settings("http://x.invalid", max_retries=2), hungry)
    try:
        sender.put(Item())
        assert sender.flush(20)
        assert sender.stats()["dropped"] == {"internal_error": 1}
        assert len(tries) == 3
    finally:
        sender.close(0.0)


def test_what_cannot_be_built_in_its_request_is_built_by_a_worker(brain: LocalBrain, tmp_path: Path) -> None:
    def needs_stack(item: Any, chosen: OtasSettings) -> Envelope | None:
        if threading.current_thread() is threading.main_thread():
            raise RecursionError
        return build(item, chosen)

    chosen = settings(brain.url, sdk_key=brain.sdk_key, durability="spool", spool_dir=tmp_path)
    sender = Pipeline(chosen, needs_stack)
    try:
        sender.put(Item(token=brain.create_session()))
        assert sender.flush(20)
        assert (sender.stats()["delivered"], sender.stats()["dropped"]) == (1, {})
    finally:
        sender.close(0.0)


@pytest.mark.parametrize("durability", ["memory", "spool"])
def test_an_application_whose_threads_have_little_stack_keeps_it_so_and_its_events_leave(
    durability: Literal["memory", "spool"], brain: LocalBrain, agent: Agent, tmp_path: Path
) -> None:
    """Python 3.14 counts its C stack: what 64 KB leave does not do for our imports."""
    environ = {"OTAS_SDK_KEY": brain.sdk_key, "OTAS_BRAIN_URL": brain.url, "OTAS_DURABILITY": durability}
    result = subprocess.run(
        [sys.executable, "-c", SMALL_STACKS, agent.token],
        env={**environ, "OTAS_SPOOL_DIR": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout == "True 65536\n", result.stderr
    assert agent.event_from_elsewhere()["path"] == "/orders"


SMALL_STACKS = """
import asyncio, sys, threading
threading.stack_size(65536)
import otas_middleware
from otas_middleware.asgi import OtasMiddleware

async def application(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})

async def channel(*_):
    return {"type": "http.request"}

headers = [(b"x-otas-agent-session-token", sys.argv[1].encode())]
scope = {"type": "http", "method": "GET", "path": "/orders", "query_string": b"", "headers": headers}
asyncio.run(OtasMiddleware(application)(scope, channel, channel))
print(otas_middleware.flush(20), threading.stack_size())
"""


def test_what_cannot_be_imported_under_greenlets_stops_no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """As trio under eventlet, which our HTTP library imports where it is installed."""
    otas_middleware.flush(2.0)  # what other tests have recorded
    monkeypatch.setattr(process, "threads_are_greenlets", lambda: True)
    monkeypatch.setitem(sys.modules, "otas_middleware._delivery.transports.direct", None)
    failures = internal_errors.counts["delivery.import"]
    with pipeline("http://x.invalid") as sender:
        sender.put(Item())
        eventually(lambda: sender.stats()["state"] == "transport_failed")
        assert (sender.stats()["queued"], sender.stats()["dropped"]) == (1, {})
    assert internal_errors.counts["delivery.import"] == failures + 1


def test_a_hook_that_fails_costs_nothing() -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("oh")

    with RawServer(lambda connection, _: connection.sendall(created())) as server:
        sender = Pipeline(settings(server.url), build, on_bad_token=fail, on_delivered=fail)
        sender.put(Item())
        assert sender.flush(10)
        assert sender.stats()["delivered"] == 1
        sender.close()


class TimeIsUp(BaseException):
    """What some libraries raise that is no `Exception`, such as `gevent.Timeout`."""


@pytest.mark.parametrize("fault", [SystemExit, TimeIsUp])
class TestAnExtensionThatQuits:
    def test_in_before_send_loses_that_event_and_ends_no_thread(self, fault: type[BaseException]) -> None:
        with LocalBrain() as brain:
            sender = Pipeline(settings(brain.url, sdk_key=brain.sdk_key), quitting(fault))
            self.sends_the_others(sender, brain.create_session())
            assert sender.stats()["dropped"] == {"internal_error": 1}
            sender.close()

    def test_in_a_transport_has_the_event_tried_again_and_ends_no_thread(
        self, fault: type[BaseException], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Quitting:
            def __call__(self, request: Request, _timeout: float) -> Response:
                if b"/odd" in request.body:
                    raise fault
                return Response(201, {})

        monkeypatch.setattr("support.delivery.Quitting", Quitting, raising=False)
        values = {"transport": "support.delivery:Quitting", "max_retries": 1, "max_retry_delay": 0.01}
        with pipeline("http://x.invalid", **values) as sender:
            self.sends_the_others(sender, "header.payload.signature")
            eventually(lambda: sender.stats()["dropped"] == {"internal_error": 1})
            assert sender.stats()["retries"] >= 1

    @staticmethod
    def sends_the_others(sender: Pipeline, token: str) -> None:
        sender.put(Item(path="/odd", token=token))
        for _ in range(3):  # one after the other, so that each finds the threads as the last has left them
            delivered = sender.stats()["delivered"]
            sender.put(Item(token=token))
            eventually(lambda: sender.stats()["delivered"] > delivered)  # noqa: B023  # waited for within the loop
        assert balance(sender.stats()) == 0

    def test_leaves_the_others_of_its_batch_on_disk(self, fault: type[BaseException], tmp_path: Path) -> None:
        with LocalBrain() as brain:
            token = brain.create_session()
            brain.faults.down()
            sender = Pipeline(settings(brain.url, sdk_key=brain.sdk_key, spool_dir=tmp_path / "spool"), quitting(fault))
            for path in ("/a", "/odd", "/b"):
                sender.put(Item(path=path, token=token))
            eventually(lambda: sender.stats()["spooled"] == 2)
            assert (sender.stats()["dropped"], balance(sender.stats())) == ({"internal_error": 1}, 0)
            sender.close()


def quitting(fault: type[BaseException]) -> Callable[[Any, OtasSettings], Envelope | None]:
    """Return a way of building in which an extension of the user's own, such as `before_send`, quits."""

    def build_or_quit(item: Any, given_settings: OtasSettings) -> Envelope | None:
        if item.path == "/odd":
            raise fault
        return build(item, given_settings)

    return build_or_quit


def test_a_fault_that_is_one_of_configuration_says_in_the_log_what_to_correct(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(internal_errors, "_seen", set[object]())
    with pipeline("http://127.0.0.1:9", transport="celery", celery_app="nowhere:app") as sender:
        sender.put(Item())
        eventually(lambda: "recording failed in delivery.transport" in caplog.text)
    assert "the OTAS_CELERY_APP 'nowhere:app' cannot be imported" in caplog.text


class Upset(logging.Filter):
    """As many in the world: it asks for the current request, and there is none in a thread of ours."""

    def filter(self, record: logging.LogRecord) -> bool:
        raise RuntimeError("Working outside of request context.")


@pytest.fixture
def upset_log() -> Iterator[None]:
    logger, upset = logging.getLogger("otas_middleware"), Upset()
    logger.addFilter(upset)
    yield
    logger.removeFilter(upset)


@pytest.mark.usefixtures("upset_log")
def test_a_filter_of_the_log_that_raises_ends_no_thread_and_no_request() -> None:
    def refuse(connection: socket.socket, _request: Received) -> None:
        connection.sendall(answer("401 Unauthorized", b'{"status_description":"invalid_sdk_key"}'))

    before = internal_errors.counts.copy()
    with RawServer(refuse) as server, pipeline(server.url, max_connections=1) as sender:
        sender.put(Item())
        eventually(lambda: sender.stats()["state"] == "invalid_sdk_key")
        sender.put(Item())
        stats = sender.stats()
    assert internal_errors.counts == before
    assert balance(stats) == 0
    try:
        int("a fault of ours")
    except ValueError:
        internal_errors.report_internal_error("here")  # in a request
