"""What the queue's bound in bytes sees: everything that a waiting event keeps alive."""

from __future__ import annotations

import gc
import io
import sys
import threading
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

import otas_middleware as otas
from otas_middleware._capture.values import size_of
from otas_middleware._delivery import Pipeline
from otas_middleware._recorder import Recorder
from otas_middleware.localbrain import LocalBrain
from otas_middleware.testing import make_token
from otas_middleware.wsgi import OtasMiddleware
from support.delivery import PATIENCE, Item, RawServer, pipeline, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

pytestmark = pytest.mark.no_cover  # memory is measured: that of a tracer is not ours

EVENTS = 700
LONG = 10_000


def _application(kind: str) -> Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        number = str(environ["test.number"])
        headers = [("Content-Type", "text/plain")]
        environ["wsgi.input"].read()
        if kind == "response header":
            headers.append(("X-Long", "r" * LONG + number))
        elif kind == "annotation":
            otas.annotate(long="a" * LONG + number)
        elif kind == "annotation of many parts":
            otas.annotate(orders=[{"id": f"{number}-{part}", "state": f"shipped-{part}"} for part in range(200)])
        elif kind == "checkpoint":
            otas.checkpoint("cache", key="k" * LONG + number)
        elif kind == "exception":
            raise ValueError("v" * 8_000 + number)
        start_response("200 OK", headers)
        return [("b" * LONG).encode()] if kind == "response body" else [b"ok"]

    return application


def _start_response(*_: object) -> Callable[[bytes], object]:
    return lambda _data: None


def _call(wrapped: Callable[..., Iterable[bytes]], token: str, kind: str, number: int) -> None:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/" + ("p" * LONG + str(number) if kind == "path" else str(number)),
        "QUERY_STRING": "q=" + ("q" * LONG + str(number) if kind == "query" else str(number)),
        "SERVER_NAME": "shop",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(b"b" * LONG if kind == "request body" else b""),
        "wsgi.errors": sys.stderr,
        "HTTP_ACCEPT": "text/html," + str(number),
        "HTTP_X_OTAS_AGENT_SESSION_TOKEN": token,
        "test.number": number,
    }
    if kind == "request header":
        environ["HTTP_X_LONG"] = "h" * LONG + str(number)
    if kind == "many headers":
        environ |= {f"HTTP_X_{name}": f"{name}-{number}" for name in range(60)}
    try:
        answer = wrapped(environ, _start_response)
        for _ in answer:
            pass
        close: Callable[[], None] = getattr(answer, "close", lambda: None)
        close()
    except ValueError:
        pass


@pytest.mark.parametrize(
    "kind",
    [
        "query",
        "path",
        "request header",
        "many headers",
        "response header",
        "annotation",
        "annotation of many parts",
        "checkpoint",
        "exception",
        "request body",
        "response body",
    ],
)
def test_what_an_event_weighs_is_what_memory_grows_by(kind: str) -> None:
    arrived = threading.Event()
    with RawServer(lambda _connection, _request: arrived.set()) as hole:
        made = settings(hole.url, queue_max_bytes=10**9, capture_traceback=True, shutdown_timeout=0.0)
        senders: list[Pipeline] = []

        def deliver(recorder: Recorder) -> Pipeline:
            senders.append(Pipeline(recorder.settings, recorder.build))
            return senders[-1]

        recorder = Recorder(made, deliver)
        wrapped = OtasMiddleware(_application(kind), settings=made)
        wrapped._recorder = recorder
        token = make_token()
        for number in range(50):
            _call(wrapped, token, kind, number)
        (sender,) = senders
        assert arrived.wait(PATIENCE)  # what the first event needs has been imported
        gc.collect()
        tracemalloc.start()
        try:
            weighed = sender.stats()["queued_bytes"]
            for number in range(EVENTS // 5 if kind == "annotation of many parts" else EVENTS):
                _call(wrapped, token, kind, 1000 + number)
            gc.collect()
            grown, _ = tracemalloc.get_traced_memory()
            weighed = sender.stats()["queued_bytes"] - weighed
        finally:
            tracemalloc.stop()
        sender.close(0.0)
    assert 0.8 <= weighed / grown <= 1.2


def test_a_full_queue_holds_what_its_bound_says_whatever_the_events_are_made_of() -> None:
    with LocalBrain() as brain:
        brain.faults.down()
        with pipeline(brain.url, queue_max_bytes=1_000_000) as sender:
            for number in range(100):
                sender.put_envelope(Item(body=f"{number}" * 10_000).envelope())
            stats = sender.stats()
            assert stats["queued_bytes"] <= 1_000_000
            assert stats["dropped"]["queue_full"] > 50


class TestSizes:
    def test_a_container_weighs_what_it_holds(self) -> None:
        texts = [f"{number:>100}" for number in range(100)]
        assert size_of(texts) == sys.getsizeof(texts) + sum(map(sys.getsizeof, texts))

    def test_of_a_long_one_the_rest_is_taken_to_be_like_its_beginning(self) -> None:
        numbers = list(range(10**6, 10**6 + 500_000))
        exact = sys.getsizeof(numbers) + sum(map(sys.getsizeof, numbers))
        assert 0.95 < size_of(numbers) / exact < 1.05

    def test_one_that_holds_itself_comes_to_an_end(self) -> None:
        endless: list[object] = []
        endless.append(endless)
        assert size_of(endless) > 0

    def test_an_object_of_the_applications_own_does_not_raise(self) -> None:
        class Odd:
            def __sizeof__(self) -> int:
                raise RuntimeError

        assert size_of([Odd(), Odd()]) > 0
