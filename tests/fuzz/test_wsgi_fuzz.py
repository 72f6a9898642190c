"""Random but legal WSGI applications under random servers, bare and wrapped: the same outcome, and one event."""

from __future__ import annotations

import gc
import io
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn
from wsgiref.util import FileWrapper

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otas_middleware.wsgi import OtasMiddleware
from support.fuzzing import fuzzing
from support.request import Request
from support.sink import TOKEN, Sink
from support.wsgi_gateway import WsgiExchange, call_wsgi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from otas_middleware._capture import Capture

LIMIT = 64
"""Bytes that are kept: less than many bodies have."""

Step = tuple[Any, ...]


class OwnError(Exception):
    """What a drawn application raises."""


ERRORS: dict[str, type[BaseException]] = {"own": OwnError, "os": FileNotFoundError, "exit": SystemExit}


@dataclass
class Plan:
    """One request.

    Attributes:
        steps: What the application does before it returns.
        kind: What it returns.
        chunks: What that holds.
        raises_at: The chunk at which the response raises.
        closing: What its `close` raises, or None.
        lazy: The application is a generator function: all that it does happens when the first chunk is pulled.
        body: The request's body.
        environ: Odd values in the environ; None removes a key.
        stop_after: How many chunks the client takes before it goes away.
        file_wrapper: What the server offers.
    """

    steps: list[Step]
    kind: str
    chunks: list[bytes]
    raises_at: int | None
    closing: str | None
    lazy: bool
    body: bytes
    environ: dict[str, Any]
    stop_after: int | None
    file_wrapper: str | None


CHUNKS = st.binary(max_size=40)
STATUSES = st.sampled_from(["200 OK", "201 Created", "204 No Content", "304 Not Modified", "404 Not Found", "500 Oops"])
HEADERS = st.lists(
    st.tuples(st.sampled_from(["Content-Type", "X-One", "Set-Cookie"]), st.sampled_from(["a", "text/plain", ""])),
    max_size=3,
)
READS = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(0, 30)),
        st.tuples(st.just("readline")),
        st.tuples(st.just("readlines")),
        st.tuples(st.just("iterate")),
        st.tuples(st.just("readinto"), st.integers(0, 30)),
    ),
    max_size=3,
)
ODD_ENVIRON = st.fixed_dictionaries(
    {},
    optional={
        "SCRIPT_NAME": st.sampled_from([None, "/api", ""]),
        "QUERY_STRING": st.sampled_from([None, "a=1&b=%FF"]),
        "PATH_INFO": st.sampled_from([None, "", "/\u00ff", "/日本"]),
        "REMOTE_ADDR": st.none(),
        "SERVER_PROTOCOL": st.sampled_from([None, "HTTP/1.0"]),
        "CONTENT_LENGTH": st.sampled_from([None, "", "12"]),
        "wsgi.multithread": st.none(),
        "HTTP_X_ODD": st.sampled_from(["", "\u00ff"]),
        "x.unknown": st.just(object),
    },
)
KINDS = ["list", "tuple", "iterator", "closable", "sized", "old", "file"]


@st.composite
def application_steps(draw: st.DrawFn) -> list[Step]:
    """Draw what a legal application does until it returns: `start_response` first, and again only with an exception."""
    steps: list[Step] = list(draw(READS))
    steps += [("start", draw(STATUSES), draw(HEADERS)), *draw(READS)]
    if not draw(st.integers(0, 3)):
        steps += [("write", draw(CHUNKS)) for _ in range(draw(st.integers(1, 3)))]
    if not draw(st.integers(0, 4)):
        steps += [("restart", draw(STATUSES), draw(HEADERS))]
    if not draw(st.integers(0, 5)):
        steps[draw(st.integers(0, len(steps))) :] = [("raise", draw(st.sampled_from(sorted(ERRORS))))]
    return steps


PLANS = st.builds(
    Plan,
    steps=application_steps(),
    kind=st.sampled_from(KINDS),
    chunks=st.lists(CHUNKS, max_size=5),
    raises_at=st.none() | st.integers(0, 5),
    closing=st.none() | st.none() | st.sampled_from(sorted(ERRORS)),
    lazy=st.booleans(),
    body=st.binary(max_size=60),
    environ=ODD_ENVIRON,
    stop_after=st.none() | st.none() | st.integers(0, 4),
    file_wrapper=st.sampled_from([None, "class", "function"]),
)


class Response:
    """The iterable that a plan describes."""

    def __init__(self, plan: Plan, log: list[Any]) -> None:
        self._plan = plan
        self._log = log
        self._position = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._position == self._plan.raises_at:
            raise OwnError("in the body")
        if self._position >= len(self._plan.chunks):
            raise StopIteration
        self._position += 1
        self._log.append("pulled")
        return self._plan.chunks[self._position - 1]


class Closable(Response):
    def close(self) -> None:
        self._log.append("closed")
        if self._plan.closing is not None:
            raise ERRORS[self._plan.closing]("in close")


class Sized(Closable):
    def __len__(self) -> int:
        return len(self._plan.chunks)


class Old:
    """An iterable of the oldest kind: no `__iter__`, only items."""

    def __init__(self, response: Response) -> None:
        self._response = response

    def __getitem__(self, index: int) -> bytes:
        try:
            return next(self._response)
        except StopIteration:
            raise IndexError(index) from None


def returned(plan: Plan, environ: WSGIEnvironment, log: list[Any]) -> Any:
    match plan.kind:
        case "list":
            return plan.chunks
        case "tuple":
            return tuple(plan.chunks)
        case "iterator":
            return Response(plan, log)
        case "closable":
            return Closable(plan, log)
        case "sized":
            return Sized(plan, log)
        case "old":
            return Old(Response(plan, log))
        case _:
            file = io.BytesIO(b"".join(plan.chunks))
            wrapper = environ.get("wsgi.file_wrapper", FileWrapper)
            return wrapper(file, 16)


@dataclass
class Application:
    """A plan's application; keeps what it read and what was done to its response."""

    plan: Plan
    log: list[Any] = field(default_factory=list[Any])

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if self.plan.lazy:
            return self._later(environ, start_response)
        response: Iterable[bytes] = self._now(environ, start_response)
        return response

    def _later(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        response = self._now(environ, start_response)
        try:
            yield from response
        finally:
            close: Any = getattr(response, "close", None)
            if close is not None:
                close()

    def _now(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        write: Any = None
        for step in self.plan.steps:
            match step:
                case ("start", status, headers):
                    write = start_response(status, list(headers))
                case ("restart", status, headers):
                    try:
                        fail()
                    except OwnError:
                        write = start_response(status, list(headers), sys.exc_info())
                case ("write", data):
                    write(data)
                case ("raise", kind):
                    raise ERRORS[kind]("in the call")
                case (read, *args):
                    self.log.append(take(environ["wsgi.input"], read, *args))
                case _:
                    raise AssertionError(step)
        return returned(self.plan, environ, self.log)


def fail() -> NoReturn:
    raise OwnError("handled")


def take(stream: Any, read: str, *args: int) -> Any:
    match read:
        case "iterate":
            return list(stream)
        case "readinto":
            buffer = bytearray(args[0])
            return bytes(buffer[: stream.readinto(buffer)])
        case _:
            return getattr(stream, read)(*args)


def give_file(file: Any, _size: int) -> Any:
    return file


def run(wrap: Callable[[WSGIApplication], WSGIApplication], plan: Plan) -> tuple[WsgiExchange, list[Any]]:
    app = Application(plan)
    environ = Request("POST", "/fuzz", headers=(TOKEN,), body=(plan.body,)).environ(**plan.environ)
    for key in [key for key, value in environ.items() if value is None]:
        del environ[key]
    if plan.file_wrapper is not None:
        environ["wsgi.file_wrapper"] = FileWrapper if plan.file_wrapper == "class" else give_file
    exchange = call_wsgi(wrap(app), environ, stop_after=plan.stop_after)
    return exchange, app.log


@pytest.fixture(scope="module")
def sink() -> Sink:
    return Sink(max_body_bytes=LIMIT)


@fuzzing
@given(plan=PLANS)
def test_a_wrapped_application_answers_as_the_bare_one_and_leaves_one_event(plan: Plan, sink: Sink) -> None:
    sink.captures.clear()
    bare, bare_log = run(lambda app: app, plan)
    wrapped, log = run(lambda app: OtasMiddleware(app, settings=sink.settings), plan)
    assert wrapped == bare
    assert log == bare_log
    if not sink.captures:
        gc.collect()  # a response of which nobody learns the end
    check(sink.take(), plan, wrapped, log)


def check(capture: Capture, plan: Plan, exchange: WsgiExchange, log: list[Any]) -> None:
    """Compare the record with what passed."""
    reads = [entry for entry in log if entry not in ("pulled", "closed")]
    read = b"".join(entry if isinstance(entry, bytes) else b"".join(entry) for entry in reads)
    assert capture.request_size == len(read)
    assert capture.request_body() == read[:LIMIT]
    if exchange.raised is not None and not capture.status_code:  # the server had sent nothing of it yet
        assert exchange.body == b""
        assert capture.response_headers == ()
    elif exchange.status is not None:
        assert capture.status_code == exchange.status_code
        assert list(capture.response_headers) == exchange.headers
    if exchange.raised is not None:
        kind, text = exchange.raised
        if not capture.complete or issubclass(kind, Exception):  # also what ends a request from outside
            assert capture.exception is not None
            assert capture.exception[:2] == (kind.__name__, text)
    if capture.opaque or capture.status_code in {204, 304}:
        pass
    elif plan.kind in {"list", "tuple"} and plan.stop_after is not None:
        # It was handed on itself and noted whole; how much a server took of it nobody can see.
        assert capture.response_body().startswith(exchange.body[:LIMIT])
    else:
        assert capture.response_size == len(exchange.body)
        assert capture.response_body() == exchange.body[:LIMIT]
    assert capture.latency >= (capture.ttfb or 0) >= 0
