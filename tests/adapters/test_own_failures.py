"""When the recording itself fails, wherever that is, no request notices: the failure is counted, and that is all."""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from otas_middleware import _capture, _errors, _recorder
from otas_middleware._capture import body as _bounded
from otas_middleware._runtime import runtime
from otas_middleware.asgi import OtasMiddleware
from support.asgi_gateway import call_asgi
from support.delivery import balance
from support.harnesses import Harness, harnesses
from support.recording import own_recorder
from support.request import Request
from support.scenarios import SCENARIOS
from support.sink import TOKEN, Sink
from support.wsgi_gateway import call_wsgi

if TYPE_CHECKING:
    from collections import Counter

    from otas_middleware import OtasSettings
    from otas_middleware._capture.asgi_scope import Receive, Scope, Send
    from support.agent import Agent

NAMES = {"json", "large", "streamed", "not found", "handled error", "unhandled exception", "exception mid-stream"}
ASKED = [scenario for scenario in SCENARIOS if scenario.name in NAMES]

PLACES: dict[str, tuple[Any, str]] = {
    "beginning": (_recorder.Recorder, "begin"),
    "start of the response": (_capture.Capture, "started"),
    "chunk": (_capture.Capture, "sent"),
    "body": (_bounded.BoundedBody, "add"),
    "cut": (_bounded.BoundedBody, "cut"),
    "exception": (_capture, "describe_exception"),
    "end": (_capture.Capture, "finish"),
    "queue": (_recorder.Recorder, "_submit"),
}


@pytest.fixture(scope="module")
def sink() -> Sink:
    return Sink()


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Swallow failures as production does, and return their counts; what other tests left is gone by then."""
    gc.collect()
    monkeypatch.setattr(runtime, "behaviour", replace(runtime.behaviour, reraise=False))
    monkeypatch.setattr(_errors, "counts", type(_errors.counts)())
    return _errors.counts


def call(harness: Harness, app: Any, request: Request) -> Any:
    return call_asgi(app, request) if harness.protocol == "asgi" else call_wsgi(app, request.environ())


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("harness", harnesses(), ids=str)
def test_a_failure_of_ours_is_counted_and_changes_nothing(
    harness: Harness, place: str, sink: Sink, counted: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("a mistake of ours")

    app = harness.application(sink.settings)
    monkeypatch.setattr(*PLACES[place], fail)
    for scenario in ASKED:
        request = scenario.request.having(TOKEN)
        assert call(harness, app, request) == call(harness, harness.application(None), request), scenario
    assert counted


@pytest.mark.usefixtures("counted")
def test_an_application_that_is_nearly_as_deep_as_python_allows_leaves_one_event_of_each_request(
    settings: OtasSettings, agent: Agent
) -> None:
    async def call(depth: int, receive: Receive, send: Send) -> None:
        if depth:
            await call(depth - 1, receive, send)
            return
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"deep"})

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await call(int(scope["path"][1:]), receive, send)

    def serve(depth: int) -> None:
        with contextlib.suppress(RecursionError):  # of the application's own
            call_asgi(recorded, Request("GET", f"/{depth}").having(agent.header))

    with own_recorder(settings) as own:
        recorded = OtasMiddleware(app, settings=own)
        depths = range(sys.getrecursionlimit() - 70, sys.getrecursionlimit())
        for depth in depths:
            thread = threading.Thread(target=serve, args=(depth,))
            thread.start()
            thread.join()
        paths = sorted(str(event["path"]) for event in agent.events())
        assert paths == sorted(f"/{depth}" for depth in depths)
        assert balance(runtime.recorders[own].pipeline.stats()) == 0
