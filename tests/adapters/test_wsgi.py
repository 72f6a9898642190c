"""The WSGI adapter among servers and applications that use PEP 3333 in full."""

from __future__ import annotations

import gc
import io
import json
import sys
from typing import TYPE_CHECKING, Any
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest

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


def test_a_sized_response_keeps_its_length_and_an_unsized_one_has_none(wrap: Wrap, agent: Agent) -> None:
    sized: Any = wrap(answering([b"only"]))(environ_of(agent), ignore)
    unsized: Any = wrap(answering(iter([b"only"])))(environ_of(agent), ignore)
    assert len(sized) == 1
    assert not hasattr(unsized, "__len__")
    sized.close()
    unsized.close()


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
    result = wrap(lambda environ, start_response: body)(environ_of(agent), ignore)
    list(result)
    result.close()  # type: ignore[attr-defined]
    event = agent.event()
    assert (event["status_code"], event["error"]) == (500, "500 Internal Server Error")


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

    wrap(app)(environ_of(agent), record).close()  # type: ignore[attr-defined]
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


def test_what_the_input_lacks_it_still_lacks(wrap: Wrap, agent: Agent) -> None:
    class Minimal:
        def read(self, size: int) -> bytes:
            return b""

    seen: list[bool] = []
    app = reading(lambda stream: seen.append(hasattr(stream, "seek")), [])
    call_wsgi(wrap(app), environ_of(agent, {"wsgi.input": Minimal()}))
    assert seen == [False]
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
def test_a_request_that_is_cut_off_is_aborted_and_no_server_error(
    error: BaseException, wrap: Wrap, agent: Agent
) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        raise error

    exchange = call_wsgi(wrap(app), environ_of(agent))
    assert exchange.raised == (type(error), str(error))
    event = agent.event()
    assert event["metadata"]["aborted"] is True
    assert "exception" not in event["metadata"]


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
