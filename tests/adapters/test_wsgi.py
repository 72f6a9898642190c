"""The WSGI adapter among servers and applications that use PEP 3333 in full."""

from __future__ import annotations

import copy
import gc
import io
import json
import pickle
import sys
from contextlib import nullcontext
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest
from starlette.applications import Starlette

from otas_middleware import ConfigurationError
from otas_middleware.wsgi import OtasMiddleware
from support.request import Request
from support.wsgi_gateway import call_wsgi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from otas_middleware import OtasSettings
    from support.agent import Agent

    Wrap = Callable[[WSGIApplication], WSGIApplication]

PLAIN = [("Content-Type", "text/plain")]


@pytest.fixture
def wrap(settings: OtasSettings) -> Callable[[WSGIApplication], WSGIApplication]:
    """Put an application behind the middleware."""
    return lambda app: OtasMiddleware(app, settings=settings)


class Body:
    """A response that counts its closings."""

    def __init__(self, *chunks: bytes, raises: BaseException | None = None) -> None:
        self._chunks = iter(chunks)
        self._raises = raises
        self.closed = 0
        self.pulled = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self.pulled += 1
        return next(self._chunks)

    def close(self) -> None:
        self.closed += 1
        if self._raises is not None:
            raise self._raises


def answering(body: Iterable[bytes], headers: list[tuple[str, str]] = PLAIN) -> WSGIApplication:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", headers)
        return body

    return app


def environ_of(agent: Agent, changes: WSGIEnvironment | None = None, *, method: str = "GET") -> WSGIEnvironment:
    return Request(method, headers=(agent.header,)).environ(**(changes or {}))


def ignore(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
    """Be a `start_response` of which nothing is expected."""
    return print


def lose_something() -> None:
    raise KeyError("lost")


class Old:
    """An iterable of the oldest kind: no `__iter__`, only items."""

    def __getitem__(self, index: int) -> bytes:
        return [b"one", b"two"][index]


def yielding() -> Iterator[bytes]:
    yield b"one"
    yield b"two"


ITERABLES: list[Callable[[], Any]] = [
    lambda: [b"one", b"two"],
    lambda: (b"one", b"two"),
    yielding,
    lambda: iter([b"one", b"two"]),
    lambda: Body(b"one", b"two"),
    lambda: {b"one": 1, b"two": 2},
    lambda: map(bytes.lower, [b"ONE", b"TWO"]),
    Old,
    lambda: io.BytesIO(b"one\ntwo"),
]


@pytest.mark.parametrize("make", ITERABLES, ids=range(len(ITERABLES)))
def test_every_kind_of_iterable_arrives_whole(make: Callable[[], Any], wrap: Wrap, agent: Agent) -> None:
    bare = call_wsgi(answering(make()), environ_of(agent))
    assert call_wsgi(wrap(answering(make())), environ_of(agent)) == bare
    event = agent.event()
    assert event["response_body"] == bare.body.decode()
    assert "aborted" not in event["metadata"]


def test_chunks_are_handed_on_as_the_very_same_objects(wrap: Wrap, agent: Agent) -> None:
    chunks = [b"x" * 1000, b"y" * 1000, b"z" * 100_000]
    got = call_wsgi(wrap(answering(iter(chunks))), environ_of(agent)).chunks
    assert all(one is other for one, other in zip(got, chunks, strict=True))


class Rows(list[bytes]):
    """A list of a class of its own, as some frameworks return."""


def test_a_sized_response_keeps_its_length_and_an_unsized_one_has_none(wrap: Wrap, agent: Agent) -> None:
    sized: Any = wrap(answering(Rows([b"only"])))(environ_of(agent), ignore)
    unsized: Any = wrap(answering(iter([b"only"])))(environ_of(agent), ignore)
    assert len(sized) == 1
    assert not hasattr(unsized, "__len__")
    sized.close()
    unsized.close()


def test_a_sized_response_is_begun_by_the_server_and_fails_there(wrap: Wrap, agent: Agent) -> None:
    class Failing(Rows):
        def __iter__(self) -> Iterator[bytes]:
            raise LookupError("no such row")

    response: Any = wrap(answering(Failing([b"only"])))(environ_of(agent), ignore)
    with pytest.raises(LookupError):
        next(iter(response))
    response.close()
    assert "LookupError" in str(agent.event()["error"])


@pytest.mark.parametrize("body", [[], [b""], [b"one", b"two"], (), (b"one", b"two")])
def test_a_list_or_tuple_is_noted_and_handed_on_itself(body: Any, wrap: Wrap, agent: Agent) -> None:
    assert wrap(answering(body))(environ_of(agent), ignore) is body
    event = agent.event()
    assert (event["status_code"], event["response_body"]) == (200, "".join(map(bytes.decode, body)))
    assert "aborted" not in event["metadata"]


def test_a_list_of_what_no_server_sends_is_pulled_by_the_server_and_fails_there(wrap: Wrap, agent: Agent) -> None:
    body: Any = [b"one", "two"]
    response: Any = wrap(answering(body))(environ_of(agent), ignore)
    assert list(response) == body
    response.close()
    agent.event()


@pytest.mark.parametrize(("taken", "aborted"), [(0, True), (1, True), (2, False)])
def test_a_server_may_take_as_many_chunks_as_there_are_and_close(
    taken: int, aborted: bool, wrap: Wrap, agent: Agent
) -> None:
    response: Any = wrap(answering(Rows([b"one", b"two"])))(environ_of(agent), ignore)
    chunks = iter(response)
    assert [next(chunks) for _ in range(taken)] == [b"one", b"two"][:taken]
    response.close()
    event = agent.event()
    assert event["metadata"].get("aborted", False) is aborted
    assert event["response_size_bytes"] == 3 * taken


def test_a_response_of_which_only_the_iterator_is_kept_goes_on(wrap: Wrap, agent: Agent) -> None:
    chunks = iter(wrap(answering(Body(b"one", b"two")))(environ_of(agent), ignore))  # as `for` does in a bridge
    gc.collect()
    assert next(chunks) == b"one"
    gc.collect()
    assert list(chunks) == [b"two"]
    event = agent.event()
    assert (event["response_body"], "aborted" in event["metadata"]) == ("onetwo", False)


def test_a_response_that_fails_is_an_event_before_anybody_closes_it(wrap: Wrap, agent: Agent) -> None:
    def body() -> Iterator[bytes]:
        yield b"one"
        raise ValueError("row two")

    response: Any = wrap(answering(body()))(environ_of(agent), ignore)
    with pytest.raises(ValueError, match="row two"):
        list(response)
    event = agent.event()
    assert (event["status_code"], event["error"]) == (200, "ValueError: row two")
    response.close()
    assert len(agent.events()) == 1


def fails_before(first: list[bytes]) -> WSGIApplication:
    """Return an application that starts a response, and fails after these chunks."""

    def body() -> Iterator[bytes]:
        yield from first
        raise ValueError("no row")

    return answering(body(), [*PLAIN, ("X-Nobody", "sees this")])


@pytest.mark.parametrize(
    ("software", "first", "status"),
    [
        ("waitress", [], 500),
        ("waitress", [b""], 500),
        ("waitress", [b"", b"x"], 200),
        ("gunicorn/27.0", [], 500),
        ("gunicorn/27.0", [b""], 200),
        ("WSGIServer/0.2", [b""], 200),
        ("Werkzeug/3.1", [b""], 200),
        ("Granian", [], 200),
        (None, [], 500),
        (None, [b""], 200),
    ],
)
def test_a_response_that_fails_before_its_server_sent_anything_is_the_servers_500(
    software: str | None, first: list[bytes], status: int, wrap: Wrap, agent: Agent
) -> None:
    environ = environ_of(agent, {} if software is None else {"SERVER_SOFTWARE": software})
    with pytest.raises(ValueError, match="no row"):
        list(wrap(fails_before(first))(environ, ignore))
    event = agent.event()
    assert (event["status_code"], event["error"]) == (status, "ValueError: no row")
    assert ("x-nobody" in (event["response_headers"] or "")) is (status == 200)


def test_a_server_without_a_name_that_wraps_files_sends_nothing_with_an_empty_chunk(wrap: Wrap, agent: Agent) -> None:
    with pytest.raises(ValueError, match="no row"):
        list(wrap(fails_before([b""]))(environ_of(agent, {"wsgi.file_wrapper": FileWrapper}), ignore))
    assert agent.event()["status_code"] == 500


@pytest.mark.parametrize("key", ["uwsgi.version", "asgi.scope"])
def test_servers_that_send_the_head_at_once_have_sent_it_when_the_response_fails(
    key: str, wrap: Wrap, agent: Agent
) -> None:
    with pytest.raises(ValueError, match="no row"):
        list(wrap(fails_before([]))(environ_of(agent, {key: b"1"}), ignore))
    assert agent.event()["status_code"] == 200


@pytest.mark.parametrize("written", [b"", b"written"])
def test_an_exception_after_write_has_the_status_that_was_sent_with_it(
    written: bytes, wrap: Wrap, agent: Agent
) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)(written)
        raise ValueError("late")

    with pytest.raises(ValueError, match="late"):
        wrap(app)(environ_of(agent, {"SERVER_SOFTWARE": "waitress"}), ignore)
    assert agent.event()["status_code"] == (200 if written else 500)


@pytest.mark.parametrize(
    ("method", "length", "body", "aborted"),
    [
        ("GET", "5", [b"hello"], False),
        ("GET", "6", [b"hello"], True),
        ("GET", "4", [b"hello"], False),
        ("HEAD", "6", [], False),
        ("GET", "many", [b"hello"], False),
    ],
)
@pytest.mark.parametrize("kind", [list, iter])
def test_a_body_shorter_than_its_length_is_aborted(
    kind: Any, method: str, length: str, body: list[bytes], aborted: bool, wrap: Wrap, agent: Agent
) -> None:
    app = wrap(answering(kind(body), [("Content-Length", length)]))
    call_wsgi(app, environ_of(agent, method=method))
    assert agent.event()["metadata"].get("aborted", False) is aborted


@pytest.mark.parametrize("kind", [list, iter])
def test_what_goes_beyond_the_declared_length_did_not_get_to_the_client(kind: Any, wrap: Wrap, agent: Agent) -> None:
    """Servers cut it off, and clients read no further (RFC 9112, section 6.3)."""
    app = wrap(answering(kind([b"hel", b"lo, more", b"than that"]), [("Content-Length", "5")]))
    call_wsgi(app, environ_of(agent))
    event = agent.event()
    assert (event["response_body"], event["response_size_bytes"]) == ("hello", 5)
    assert "aborted" not in event["metadata"]


def test_a_write_to_a_client_that_has_gone_is_no_failure_of_the_application(wrap: Wrap, agent: Agent) -> None:
    def write(_: bytes) -> object:
        raise BrokenPipeError

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)(b"hello")
        return []

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        return write

    with pytest.raises(BrokenPipeError):
        wrap(app)(environ_of(agent), start)
    event = agent.event()
    assert (event["status_code"], event["error"], event["metadata"]["aborted"]) == (200, "", True)


def test_no_chunk_is_pulled_before_the_server_asks_for_it(wrap: Wrap, agent: Agent) -> None:
    body = Body(b"one", b"two", b"three")
    response: Any = wrap(answering(body))(environ_of(agent), ignore)
    assert body.pulled == 0
    chunks = iter(response)
    assert body.pulled == 0
    assert next(chunks) == b"one"
    assert body.pulled == 1
    response.close()


@pytest.mark.parametrize("pulled", [0, 1, 2, None])
def test_the_response_is_closed_once_wherever_the_server_stops(pulled: int | None, wrap: Wrap, agent: Agent) -> None:
    body = Body(b"one", b"two", b"three")
    call_wsgi(wrap(answering(body)), environ_of(agent), stop_after=pulled)
    assert body.closed == 1
    event = agent.event()
    assert event["response_size_bytes"] == len(b"onetwothree"[: {0: 0, 1: 3, 2: 6, None: 11}[pulled]])
    assert event["metadata"].get("aborted", False) is (pulled is not None)
    assert event["error"] == ""


def test_closing_a_generator_runs_its_finally_also_when_it_never_began_to_answer(wrap: Wrap, agent: Agent) -> None:
    steps: list[str] = []

    def body() -> Iterator[bytes]:
        try:
            steps.append("began")
            yield b"one"
            yield b"two"
        finally:
            steps.append("ended")

    call_wsgi(wrap(answering(body())), environ_of(agent), stop_after=1)
    assert steps == ["began", "ended"]
    call_wsgi(wrap(answering(body())), environ_of(agent), stop_after=0)
    assert steps == ["began", "ended"]
    assert len(agent.events()) == 2


def test_closing_twice_closes_the_application_once(wrap: Wrap, agent: Agent) -> None:
    body = Body(b"one")
    response: Any = wrap(answering(body))(environ_of(agent), ignore)
    assert list(response) == [b"one"]
    response.close()
    response.close()
    assert body.closed == 1
    agent.event()


def test_an_exception_in_close_passes_and_is_recorded(wrap: Wrap, agent: Agent) -> None:
    error = RuntimeError("cannot close")
    exchange = call_wsgi(wrap(answering(Body(b"one", raises=error))), environ_of(agent))
    assert (exchange.raised_at, exchange.body) == ("close", b"one")
    event = agent.event()
    assert (event["status_code"], event["error"]) == (200, "RuntimeError: cannot close")


def test_a_response_that_its_server_forgets_is_an_event_all_the_same(wrap: Wrap, agent: Agent) -> None:
    body = Body(b"one", b"two")
    response: Any = wrap(answering(body))(environ_of(agent), ignore)
    next(iter(response))
    del response
    gc.collect()
    event = agent.event()
    assert event["metadata"]["aborted"] is True
    assert body.closed == 0  # that was the server's to do


def test_what_is_written_reaches_the_client_and_the_record(wrap: Wrap, agent: Agent) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", PLAIN)
        write(b"written ")
        write(b"by hand, ")
        return [b"and returned"]

    exchange = call_wsgi(wrap(app), environ_of(agent))
    assert exchange.chunks == [b"written ", b"by hand, ", b"and returned"]
    assert agent.event()["response_body"] == "written by hand, and returned"


def test_a_second_start_with_the_exception_replaces_the_first(wrap: Wrap, agent: Agent) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        try:
            lose_something()
        except KeyError:
            start_response("503 Try Later", [*PLAIN, ("Retry-After", "5")], sys.exc_info())
        return [b"sorry"]

    exchange = call_wsgi(wrap(app), environ_of(agent))
    assert (exchange.status, exchange.headers) == ("503 Try Later", [*PLAIN, ("Retry-After", "5")])
    event = agent.event()
    assert (event["status_code"], event["error"]) == (503, "KeyError: 'lost'")
    assert "retry-after" in (event["response_headers"] or "")


def test_a_second_start_after_the_headers_were_sent_raises_the_exception(wrap: Wrap, agent: Agent) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        yield b"begun"
        try:
            lose_something()
        except KeyError:
            start_response("500 Oops", PLAIN, sys.exc_info())

    bare = call_wsgi(app, environ_of(agent))
    wrapped = call_wsgi(wrap(app), environ_of(agent))
    assert wrapped == bare
    assert wrapped.raised == (KeyError, "'lost'")
    assert agent.event()["error"] == "KeyError: 'lost'"


@pytest.mark.parametrize("body", [[], [b"lost"]])
def test_an_application_that_never_starts_a_response_has_failed(wrap: Wrap, agent: Agent, body: list[bytes]) -> None:
    list(wrap(lambda environ, start_response: body)(environ_of(agent), ignore))
    event = agent.event()
    assert (event["status_code"], event["error"]) == (500, "500 Internal Server Error")
    assert "aborted" not in event["metadata"]


def test_start_response_is_called_with_what_the_application_gave(wrap: Wrap, agent: Agent) -> None:
    calls: list[tuple[Any, Any]] = []

    def record(*args: Any, **named: Any) -> Callable[[bytes], object]:
        calls.append((args, named))
        return print

    def app(environ: WSGIEnvironment, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        start_response("200 OK", PLAIN, None)
        start_response("200 OK", headers=PLAIN, exc_info=None)
        return []

    wrap(app)(environ_of(agent), record)
    assert calls == [
        (("200 OK", PLAIN), {}),
        (("200 OK", PLAIN, None), {}),
        (("200 OK",), {"headers": PLAIN, "exc_info": None}),
    ]


def test_an_application_may_be_a_generator_function(wrap: Wrap, agent: Agent) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        yield b"late "
        yield b"start"

    assert call_wsgi(wrap(app), environ_of(agent)).body == b"late start"
    assert agent.event()["response_body"] == "late start"


def test_a_file_wrapper_is_returned_as_the_very_same_object(wrap: Wrap, agent: Agent) -> None:
    made: list[FileWrapper] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [*PLAIN, ("Content-Length", "7")])
        made.append(environ["wsgi.file_wrapper"](io.BytesIO(b"a file\n"), 3))
        return made[0]

    response = wrap(app)(environ_of(agent, {"wsgi.file_wrapper": FileWrapper}), ignore)
    assert response is made[0]
    made[0].close()
    assert made[0].filelike.closed
    event = agent.event()
    assert (event["response_size_bytes"], event["response_body"]) == (7, "")
    assert "aborted" not in event["metadata"]


def test_a_file_wrapper_may_be_a_function_whose_result_the_server_knows_again(wrap: Wrap, agent: Agent) -> None:
    file = io.BytesIO(b"a file\n")

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [*PLAIN, ("Content-Length", "7")])
        result: Iterable[bytes] = environ["wsgi.file_wrapper"](file, 4096)
        return result

    def give_back(filelike: Any, _size: int) -> Any:
        return filelike

    sendfile = {"wsgi.file_wrapper": give_back}
    assert wrap(app)(environ_of(agent, sendfile), ignore) is file
    file.close()
    assert agent.event()["response_size_bytes"] == 7


def test_bytes_instead_of_a_list_of_them_are_handed_on_as_they_are(wrap: Wrap, agent: Agent) -> None:
    body: Any = b"hello"
    assert wrap(answering(body))(environ_of(agent), ignore) is body
    assert agent.event()["response_body"] == "hello"


@pytest.mark.parametrize("result", [None, 5])
def test_what_cannot_be_iterated_fails_in_the_server_as_without_us(result: Any, wrap: Wrap, agent: Agent) -> None:
    bare = call_wsgi(answering(result), environ_of(agent))
    assert bare.raised is not None
    assert call_wsgi(wrap(answering(result)), environ_of(agent)) == bare
    agent.event()


def reading(read: Callable[[Any], Any], into: list[Any]) -> WSGIApplication:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        into.append(read(environ["wsgi.input"]))
        start_response("200 OK", PLAIN)
        return [b"done"]

    return app


def fill(stream: Any) -> bytes:
    buffer = bytearray(6)
    count = stream.readinto(buffer)
    return bytes(buffer[:count])


READS: list[tuple[Callable[[Any], Any], str]] = [
    (lambda stream: stream.read(), "one\ntwo\nthree"),
    (lambda stream: stream.read(5), "one\nt"),
    (lambda stream: [stream.read(4), stream.read(4), stream.read(100)], "one\ntwo\nthree"),
    (lambda stream: stream.readline(), "one\n"),
    (lambda stream: stream.readline(2), "on"),
    (lambda stream: stream.readlines(), "one\ntwo\nthree"),
    (lambda stream: stream.readlines(1), "one\n"),
    (list, "one\ntwo\nthree"),
    (lambda stream: next(iter(stream)), "one\n"),
    (next, "one\n"),
    (lambda stream: stream.read1(3), "one"),
    (fill, "one\ntw"),
    (lambda stream: io.BufferedReader(stream).read(), "one\ntwo\nthree"),
    (lambda stream: stream.readable(), ""),
    (lambda stream: None, ""),
]


@pytest.mark.parametrize(("read", "seen"), READS, ids=range(len(READS)))
def test_every_way_to_read_the_input_reads_what_is_there_and_is_noted(
    read: Callable[[Any], Any], seen: str, wrap: Wrap, agent: Agent
) -> None:
    bare: list[Any] = []
    wrapped: list[Any] = []
    for app, values in ((reading(read, bare), bare), (wrap(reading(read, wrapped)), wrapped)):
        environ = environ_of(agent, {"CONTENT_LENGTH": "13", "CONTENT_TYPE": "text/plain"}, method="POST")
        environ["wsgi.input"] = io.BytesIO(b"one\ntwo\nthree")
        call_wsgi(app, environ)
        assert len(values) == 1
    assert wrapped == bare
    event = agent.event()
    assert (event["request_body"], event["request_size_bytes"]) == (seen, len(seen))


class Minimal:
    """The least that a server may give."""

    def read(self, size: int = -1) -> bytes:
        return b"body"[: size if size >= 0 else None]


class Validated:
    """As a linter's wrapper, with attributes of its own."""

    def __init__(self) -> None:
        self.input = io.BytesIO(b"body")

    def read(self, *args: int) -> bytes:
        return self.input.read(*args)


class Delegating:
    """A stream whose methods are those of another."""

    def __init__(self) -> None:
        self._inner = io.BytesIO(b"body")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


STREAMS: list[Callable[[], Any]] = [
    lambda: io.BytesIO(b"body"),
    lambda: io.BufferedReader(io.BytesIO(b"body")),  # as sockets' files
    lambda: SpooledTemporaryFile(max_size=9),  # noqa: SIM115  # the test's
    Minimal,
    Validated,
    Delegating,
]


@pytest.mark.parametrize("make", STREAMS)
def test_the_input_offers_what_the_servers_object_offers_and_nothing_else(
    make: Callable[[], Any], wrap: Wrap, agent: Agent
) -> None:
    stream = make()
    seen: list[Any] = []
    call_wsgi(wrap(reading(seen.append, [])), environ_of(agent, {"wsgi.input": stream}))
    [tap] = seen
    assert isinstance(tap, type(stream))
    assert dir(tap) == dir(stream)
    for name in {*dir(io.BytesIO), *dir(io.BufferedReader), "input", "rollover", "no_such"}:
        if not name.startswith("__") or name in {"__iter__", "__next__", "__enter__", "__exit__"}:
            assert hasattr(tap, name) == hasattr(stream, name), name
    tap.added = 1
    assert stream.added == 1
    del tap.added
    assert not hasattr(stream, "added")
    assert repr(tap) == repr(stream)


def test_the_input_is_copied_and_pickled_as_the_servers_object(wrap: Wrap, agent: Agent) -> None:
    seen: list[Any] = []
    call_wsgi(wrap(reading(seen.append, [])), environ_of(agent, {"wsgi.input": io.BytesIO(b"body")}))
    tap = seen[0]
    for twin in (copy.copy(tap), copy.deepcopy(tap), pickle.loads(pickle.dumps(tap))):
        assert type(twin) is io.BytesIO
        assert twin.getvalue() == b"body"


def test_what_is_read_again_after_seek_is_noted_once(wrap: Wrap, agent: Agent) -> None:
    def read(stream: Any) -> list[bytes]:
        parts = [stream.read(3)]
        stream.seek(1)
        parts.append(stream.read(3))
        stream.seek(0, io.SEEK_END)
        stream.seek(0)
        with stream as same:
            parts.append(same.read())
        return parts

    seen: list[Any] = []
    environ = environ_of(agent, {"wsgi.input": io.BytesIO(b"0123456789"), "CONTENT_TYPE": "text/plain"}, method="POST")
    call_wsgi(wrap(reading(read, seen)), environ)
    assert seen == [[b"012", b"123", b"0123456789"]]
    event = agent.event()
    assert (event["request_body"], event["request_size_bytes"]) == ("0123456789", 10)


def test_what_lies_in_the_environ_is_copied_pickled_and_dumped_as_a_text(wrap: Wrap, agent: Agent) -> None:
    seen: list[WSGIEnvironment] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        ours = {name: value for name, value in environ.items() if name not in bare}
        assert all(type(value) is str for value in ours.values())
        seen.extend([copy.deepcopy(ours), json.loads(json.dumps(ours)), pickle.loads(pickle.dumps(ours))])
        assert seen == [ours] * 3
        start_response("200 OK", PLAIN)
        return []

    environ = environ_of(agent)
    bare = set(environ)
    call_wsgi(wrap(app), environ)
    assert seen
    agent.event()


def test_a_file_wrapper_that_is_a_function_is_copied_and_pickled_as_one(wrap: Wrap, agent: Agent) -> None:
    seen: list[Any] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        seen.append(environ["wsgi.file_wrapper"])
        start_response("200 OK", PLAIN)
        return []

    call_wsgi(wrap(app), environ_of(agent, {"wsgi.file_wrapper": print}))
    assert copy.deepcopy(seen[0]) is seen[0]
    assert callable(pickle.loads(pickle.dumps(seen[0])))
    agent.event()


@pytest.mark.parametrize(
    "missing",
    ["SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "REQUEST_METHOD", "REMOTE_ADDR", "SERVER_PROTOCOL", "wsgi.input"],
)
def test_an_environ_may_lack_a_key(missing: str, wrap: Wrap, agent: Agent) -> None:
    environ = environ_of(agent, {"PATH_INFO": "/odd"})
    del environ[missing]
    assert call_wsgi(wrap(answering([b"hello"])), environ).body == b"hello"
    assert agent.event()["path"] == ("/" if missing == "PATH_INFO" else "/odd")


@pytest.mark.parametrize(
    ("keys", "headers"),
    [
        ({}, {}),
        ({"HTTP_X_ONE": "1"}, {"x-one": "1"}),
        ({"CONTENT_TYPE": "", "CONTENT_LENGTH": "", "HTTP_X_EMPTY": ""}, {"x-empty": ""}),
        ({"CONTENT_TYPE": "text/plain", "CONTENT_LENGTH": "0"}, {"content-type": "text/plain", "content-length": "0"}),
    ],
)
def test_the_headers_are_those_in_the_environ_and_none_that_it_only_mentions(
    keys: dict[str, str], headers: dict[str, str], wrap: Wrap, agent: Agent
) -> None:
    environ = environ_of(agent)
    for key in [key for key in environ if key.startswith(("HTTP_", "CONTENT_")) and "SESSION_TOKEN" not in key]:
        del environ[key]
    call_wsgi(wrap(answering([b"hello"])), {**environ, **keys})
    seen = json.loads(agent.event()["request_headers"] or "")
    assert seen == {"x-otas-agent-session-token": "[REDACTED]", **headers}


@pytest.mark.parametrize(
    ("script_name", "path_info", "expected"),
    [
        ("/api", "/items", "/api/items"),
        ("/api", "", "/api"),
        ("", "/items", "/items"),
        ("", "", "/"),
        ("", "/gr\u00c3\u00bc\u00c3\u009fe", "/grüße"),  # the bytes of UTF-8, spelled as Latin-1
        ("", "/\u00ff\u00fe", "/\ufffd\ufffd"),  # bytes that are no UTF-8
        ("", "/日本", "/日本"),  # a server that decoded the path already
    ],
)
def test_the_path_is_the_clients(script_name: str, path_info: str, expected: str, wrap: Wrap, agent: Agent) -> None:
    environ = environ_of(agent, {"SCRIPT_NAME": script_name, "PATH_INFO": path_info})
    call_wsgi(wrap(answering([b"hello"])), environ)
    assert agent.event()["path"] == expected


@pytest.mark.parametrize("where", ["call", "body"])
def test_an_exception_leaves_as_the_very_same_object(where: str, wrap: Wrap, agent: Agent) -> None:
    error = ValueError("wrong")

    def body() -> Iterator[bytes]:
        yield b"one"
        raise error

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if where == "call":
            raise error
        start_response("200 OK", PLAIN)
        return body()

    with pytest.raises(ValueError, match="wrong") as caught:
        list(wrap(app)(environ_of(agent), ignore))
    assert caught.value is error
    assert (error.__context__, error.__cause__) == (None, None)
    del caught
    gc.collect()
    assert agent.event()["error"] == "ValueError: wrong"


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit()])
def test_a_request_that_is_ended_from_outside_says_by_what_and_not_that_the_client_left(
    error: BaseException, wrap: Wrap, agent: Agent
) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        raise error

    exchange = call_wsgi(wrap(app), environ_of(agent))
    assert exchange.raised == (type(error), str(error))
    event = agent.event()
    assert event["status_code"] == 500
    assert event["error"] == ": ".join(filter(None, (type(error).__name__, str(error))))
    assert "aborted" not in event["metadata"]


def test_installed_twice_it_records_once(wrap: Wrap, agent: Agent) -> None:
    exchange = call_wsgi(wrap(wrap(answering([b"hello"]))), environ_of(agent))
    assert exchange.body == b"hello"
    agent.event()


def test_the_servers_environ_is_the_applications(wrap: Wrap, agent: Agent) -> None:
    seen: list[Any] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        seen.append(environ)
        environ["left.for.the.server"] = 1
        start_response("200 OK", PLAIN)
        return []

    environ = environ_of(agent)
    call_wsgi(wrap(app), environ)
    assert seen[0] is environ
    assert environ["left.for.the.server"] == 1


def test_under_lint_the_whole_of_pep_3333_is_kept(wrap: Wrap, agent: Agent) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["wsgi.input"].read(3)
        list(environ["wsgi.input"])
        write = start_response("200 OK", PLAIN)
        write(b"one")
        try:
            lose_something()
        except KeyError:
            with pytest.raises(KeyError):
                start_response("500 Oops", PLAIN, sys.exc_info())
        return iter([b"two"])

    environ = environ_of(agent, {"CONTENT_LENGTH": "9"}, method="POST")
    environ["wsgi.input"] = io.BytesIO(b"one\ntwo\n!")
    exchange = call_wsgi(validator(wrap(validator(app))), environ)
    assert exchange.raised is None
    assert exchange.body == b"onetwo"
    assert agent.event()["request_size_bytes"] == 9


@pytest.mark.parametrize("signal", [StopIteration, ConnectionError, None])
def test_a_connection_that_a_websocket_had_is_no_failed_request(
    signal: type[Exception] | None, wrap: Wrap, agent: Agent
) -> None:
    """As simple-websocket tells gunicorn, Engine.IO the server of Werkzeug, and gevent-websocket its own."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if signal is not None:
            raise signal
        return []

    def call(more: dict[str, Any]) -> None:
        with nullcontext() if signal is None else pytest.raises(signal):
            wrap(app)(environ_of(agent, more), ignore)

    call({"HTTP_UPGRADE": "websocket"})
    assert agent.events() == []
    call({})
    assert (agent.event()["status_code"], agent.event()["error"]) == (
        500,
        "500 Internal Server Error" if signal is None else signal.__name__,
    )


def test_a_failed_upgrade_is_a_failed_request(wrap: Wrap, agent: Agent) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        raise RuntimeError("no server for WebSockets")

    with pytest.raises(RuntimeError):
        wrap(app)(environ_of(agent, {"HTTP_UPGRADE": "websocket"}), ignore)
    assert agent.event()["error"] == "RuntimeError: no server for WebSockets"


def test_an_asgi_application_is_refused_with_the_right_import() -> None:
    async def function(scope: object, receive: object, send: object) -> None: ...

    for application in (Starlette(), function):
        with pytest.raises(
            ConfigurationError, match=r"ASGI application; import OtasMiddleware from otas_middleware\.asgi"
        ):
            OtasMiddleware(application)  # type: ignore[arg-type]
