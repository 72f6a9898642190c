"""When bytes reach the client, and what the record says of it; how much is held meanwhile."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from flask import Flask, Response

from otas_middleware import asgi, wsgi
from otas_middleware.flask import Otas
from support.django_project import make_handler
from support.request import Request
from support.scenarios import OCTETS
from support.sink import TOKEN, Sink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIEnvironment

    from otas_middleware._capture import Capture
    from otas_middleware._capture.asgi_scope import Message, Receive, Scope, Send

STEP = 0.1
"""Seconds between two chunks of a slow stream."""
AFTER = 0.2
"""Seconds that pass after its last byte."""


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as sink:
        yield sink


async def slow_asgi(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(3):
        await asyncio.sleep(STEP)
        await send({"type": "http.response.body", "body": b"chunk", "more_body": True})
    await send({"type": "http.response.body"})
    await asyncio.sleep(AFTER)  # work after the response


def slow_chunks() -> Iterator[bytes]:
    for _ in range(3):
        time.sleep(STEP)
        yield b"chunk"


def slow_wsgi(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    return slow_chunks()


def slow_flask(settings: Any) -> Any:
    app = Flask("slow")
    app.get("/slow")(lambda: Response(slow_chunks()))
    Otas(app, settings=settings)
    return app


ASGI: dict[str, Callable[[Any], Any]] = {
    "asgi": lambda settings: asgi.OtasMiddleware(slow_asgi, settings=settings),
    "django": lambda settings: make_handler(ASGIHandler, settings, ["support.slow_django.Routes"]),
}
WSGI: dict[str, Callable[[Any], Any]] = {
    "wsgi": lambda settings: wsgi.OtasMiddleware(slow_wsgi, settings=settings),
    "flask": slow_flask,
    "django": lambda settings: make_handler(WSGIHandler, settings, ["support.slow_django.Routes"]),
}


def check_times(capture: Capture, arrivals: list[float], ended: float) -> None:
    """Compare the record with the times at which the chunks came, in seconds since the request.

    However busy the machine is, nothing takes less time than is slept.

    Args:
        capture: The record.
        arrivals: When each chunk came.
        ended: When the last byte had been sent at the latest.
    """
    assert len(arrivals) == 3
    assert arrivals[2] - arrivals[0] > 1.5 * STEP, "the first chunk waited for others"
    assert capture.ttfb is not None
    assert 0.9 * STEP < capture.ttfb <= arrivals[0]
    assert capture.ttfb + 1.8 * STEP < capture.latency <= ended


@pytest.mark.parametrize("name", ASGI)
def test_a_slow_stream_arrives_as_it_is_made_and_is_timed_to_its_last_byte(name: str, sink: Sink) -> None:
    app = ASGI[name](sink.settings)
    arrivals: list[float] = []
    began = time.perf_counter()

    async def call() -> None:
        done = asyncio.Event()
        first: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Message:
            if first:
                return first.pop()
            await done.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message.get("body"):
                arrivals.append(time.perf_counter() - began)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                done.set()

        await app(Request(path="/slow", headers=(TOKEN,)).scope(), receive, send)

    asyncio.run(call())
    ended = time.perf_counter() - began
    check_times(sink.take(), arrivals, ended - AFTER if name == "asgi" else ended)


@pytest.mark.parametrize("name", WSGI)
def test_a_slow_iterable_arrives_as_it_is_made_and_is_timed_to_its_last_byte(name: str, sink: Sink) -> None:
    app = WSGI[name](sink.settings)
    began = time.perf_counter()
    response = app(Request(path="/slow", headers=(TOKEN,)).environ(), ignore)
    arrivals = [time.perf_counter() - began for chunk in response if chunk]
    time.sleep(AFTER)  # what the server does before it closes is not the application's time
    response.close()
    check_times(sink.take(), arrivals, time.perf_counter() - began - AFTER)


def ignore(*_: Any) -> Any:
    """Be a `start_response` of which nothing is expected."""
    return print


def test_a_request_of_which_only_a_part_is_kept_holds_only_that_part(sink: Sink) -> None:
    piece, pieces = 65_536, 1000

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(pieces):
            await send({"type": "http.response.body", "body": bytes(piece), "more_body": True})
        await send({"type": "http.response.body"})

    async def call() -> None:
        left = [pieces]

        async def receive() -> Message:
            left[0] -= 1
            return {"type": "http.request", "body": bytes(piece), "more_body": left[0] > 0}

        async def send(message: Message) -> None:
            """Be a client that is always ready."""

        wrapped = asgi.OtasMiddleware(app, settings=sink.settings)
        await wrapped(Request("POST", headers=(OCTETS, TOKEN)).scope(), receive, send)

    capture = measured(lambda: asyncio.run(call()), sink)
    assert capture.request_size == capture.response_size == piece * pieces


def test_an_iterable_of_which_only_a_part_is_kept_holds_only_that_part(sink: Sink) -> None:
    piece, pieces = 65_536, 1000

    class Endless:
        def read(self, size: int) -> bytes:
            return bytes(size)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        for _ in range(pieces):
            environ["wsgi.input"].read(piece)
        start_response("200 OK", [])
        return (bytes(piece) for _ in range(pieces))

    def call() -> None:
        environ = Request("POST", headers=(OCTETS, TOKEN)).environ(**{"wsgi.input": Endless()})
        response: Any = wsgi.OtasMiddleware(app, settings=sink.settings)(environ, ignore)
        for _ in response:
            pass
        response.close()

    capture = measured(call, sink)
    assert capture.request_size == capture.response_size == piece * pieces


def measured(call: Callable[[], None], sink: Sink) -> Capture:
    """Run a request of 65 MB each way, check that it holds less than 1 MB at any time, and return its capture."""
    gc.collect()
    tracemalloc.start()
    try:
        call()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000
    return sink.take()
