"""The ASGI adapter among servers and applications that use the protocol in full."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, cast

import pytest
from starlette.requests import ClientDisconnect

import otas_middleware as otas
from otas_middleware.asgi import OtasMiddleware
from otas_middleware.localbrain import Mode
from support.agent import PATIENCE
from support.asgi_gateway import call_asgi
from support.asgi_lint import AsgiLint
from support.request import Request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator
    from pathlib import Path

    from otas_middleware import OtasSettings
    from otas_middleware._capture.asgi_scope import ASGIApp, Message, Receive, Scope, Send
    from otas_middleware.localbrain import LocalBrain
    from support.agent import Agent

    Wrap = Callable[[ASGIApp], ASGIApp]

START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}


def chunk(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


class ServerSide:
    """Receive and send as a test's server has them: the messages to hand out, those that came, what `send` raises."""

    def __init__(self, *incoming: dict[str, Any], fails_at: int | None = None) -> None:
        self.incoming = list(incoming) or [{"type": "http.request", "body": b"", "more_body": False}]
        self.outgoing: list[Message] = []
        self._fails_at = fails_at

    async def receive(self) -> Message:
        if self.incoming:
            return self.incoming.pop(0)
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if len(self.outgoing) == self._fails_at:
            raise ConnectionResetError("the client has gone")
        self.outgoing.append(message)


def drive(conversation: Awaitable[None]) -> None:
    """Run a coroutine without any event loop; it must never have to wait."""
    try:
        cast("Coroutine[Any, Any, None]", conversation).send(None)
    except StopIteration:
        return
    raise AssertionError("it waited for something")


@pytest.fixture
def wrap(settings: OtasSettings) -> Callable[[ASGIApp], ASGIApp]:
    """Put an application behind the middleware, and linters on both sides of it."""

    def wrap(app: ASGIApp) -> ASGIApp:
        return AsgiLint(OtasMiddleware(AsgiLint(app), settings=settings))

    return wrap


def test_no_event_loop_is_needed(wrap: Wrap, agent: Agent) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(START)
        await send(chunk(b"hello"))

    server = ServerSide()
    drive(wrap(app)(Request(headers=(agent.header,)).scope(), server.receive, server.send))
    assert agent.event()["response_body"] == "hello"


def test_every_message_is_passed_on_as_the_very_same_object(settings: OtasSettings, agent: Agent) -> None:
    incoming: list[dict[str, Any]] = [
        {"type": "http.request", "body": b"a" * 9, "more_body": True},
        {"type": "http.request", "body": b"b"},
    ]
    received: list[Message] = []
    sent = [START, chunk(b"x" * 99, more=True), chunk(b"y", more=True), chunk(b"z", more=True), chunk(b"")]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        received.extend([await receive(), await receive()])
        for message in sent:
            await send(message)

    server = ServerSide(*incoming)
    scope = Request(headers=(agent.header,)).scope()
    drive(OtasMiddleware(app, settings=settings)(scope, server.receive, server.send))
    assert all(one is other for one, other in zip(received, incoming, strict=True))
    assert all(one is other for one, other in zip(server.outgoing, sent, strict=True))


def test_an_application_that_asks_for_the_disconnect_gets_it_and_nothing_is_received_for_it(
    wrap: Wrap, agent: Agent
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        kinds = [(await receive())["type"] for _ in range(3)]
        await send(START)
        await send(chunk(",".join(kinds).encode()))

    request = Request("POST", headers=(agent.header,), body=(b"one", b"two"))
    server = ServerSide(
        {"type": "http.request", "body": b"one", "more_body": True}, {"type": "http.request", "body": b"two"}
    )
    drive(wrap(app)(request.scope(), server.receive, server.send))
    assert server.outgoing[1]["body"] == b"http.request,http.request,http.disconnect"
    assert server.incoming == []


def test_an_application_that_reads_nothing_has_nothing_read_for_it(wrap: Wrap, agent: Agent) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(chunk(b"hello"))

    server = ServerSide({"type": "http.request", "body": b"unread"})
    drive(wrap(app)(Request(headers=(agent.header,)).scope(), server.receive, server.send))
    assert len(server.incoming) == 1
    assert agent.event()["request_size_bytes"] == 0


# Of a running stream, the chunk at which the connection breaks counts: it was handed to the server.
@pytest.mark.parametrize(("fails_at", "size"), [(0, 0), (1, 0), (2, 10), (3, 15), (4, 15)])
def test_a_client_that_is_gone_when_something_is_sent_leaves_an_aborted_event(
    fails_at: int, size: int, wrap: Wrap, agent: Agent
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        for _ in range(3):
            await send(chunk(b"12345", more=True))
        await send(chunk(b""))

    server = ServerSide(fails_at=fails_at)
    with pytest.raises(ConnectionResetError, match="the client has gone"):
        drive(wrap(app)(Request(headers=(agent.header,)).scope(), server.receive, server.send))
    event = agent.event()
    assert event["metadata"]["aborted"] is True
    assert "exception" not in event["metadata"]
    assert event["status_code"] == 200
    assert event["response_size_bytes"] == size


@pytest.mark.parametrize(
    ("left", "error"),
    [
        (OSError("gone"), ""),
        (ClientDisconnect(), ""),
        (ExceptionGroup("tasks", [OSError("gone"), ClientDisconnect()]), ""),
        (BaseExceptionGroup("tasks", [asyncio.CancelledError(), OSError("gone")]), ""),
        (ExceptionGroup("tasks", [OSError("gone"), ValueError("wrong")]), "ExceptionGroup: tasks (2 sub-exceptions)"),
        (ValueError("wrong"), "ValueError: wrong"),
    ],
    ids=repr,
)
def test_what_a_lost_client_makes_an_application_raise_is_no_error_and_everything_else_is(
    left: BaseException, error: str, wrap: Wrap, agent: Agent
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await receive()
        assert (await receive())["type"] == "http.disconnect"
        raise left

    server = ServerSide()
    with pytest.raises(type(left)):
        drive(wrap(app)(Request(headers=(agent.header,)).scope(), server.receive, server.send))
    event = agent.event()
    assert (event["status_code"], event["error"], event["metadata"]["aborted"]) == (200, error, True)


@pytest.mark.parametrize(("length", "aborted"), [("5", False), ("6", True), ("4", False)])
def test_a_body_shorter_than_its_length_is_aborted(length: str, aborted: bool, wrap: Wrap, agent: Agent) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({**START, "headers": [(b"content-length", length.encode())]})
        await send(chunk(b"hel", more=True))
        await send(chunk(b"lo"))

    server = ServerSide()
    drive(wrap(app)(Request(headers=(agent.header,)).scope(), server.receive, server.send))
    assert agent.event()["metadata"].get("aborted", False) is aborted


def test_an_os_error_of_the_application_itself_is_its_error(wrap: Wrap, agent: Agent) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(chunk(b"12345", more=True))
        await send(chunk(b"12345", more=True))
        raise FileNotFoundError("no such export")

    server = ServerSide()
    with pytest.raises(FileNotFoundError):
        drive(wrap(app)(Request(headers=(agent.header,)).scope(), server.receive, server.send))
    assert agent.event()["error"] == "FileNotFoundError: no such export"


def test_a_client_that_disconnects_in_the_middle_of_a_stream_leaves_an_aborted_event_with_what_was_sent(
    wrap: Wrap, agent: Agent
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(START)
        await send(chunk(b"one", more=True))
        await send(chunk(b"two", more=True))
        assert (await receive())["type"] == "http.disconnect"
        await send(chunk(b"nobody gets this", more=True))  # servers ignore it
        await send(chunk(b""))

    server = ServerSide()
    drive(wrap(app)(Request(headers=(agent.header,)).scope(), server.receive, server.send))
    event = agent.event()
    assert event["metadata"]["aborted"] is True
    assert (event["status_code"], event["response_size_bytes"], event["response_body"]) == (200, 6, "onetwo")
    assert event["error"] == ""


def test_what_an_application_sends_to_a_client_that_has_gone_is_not_what_it_got(wrap: Wrap, agent: Agent) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        for _ in range(6):
            with suppress(OSError):
                await send(chunk(b"12345", more=True))

    server = ServerSide(fails_at=4)
    drive(wrap(app)(Request(headers=(agent.header,)).scope(), server.receive, server.send))
    event = agent.event()
    assert event["metadata"]["aborted"] is True
    assert (event["response_size_bytes"], event["response_body"]) == (20, "12345" * 4)


def test_what_an_application_sends_after_the_end_is_not_what_the_client_got(
    settings: OtasSettings, agent: Agent
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(chunk(b"one", more=True))
        await send(chunk(b"two"))
        await send(chunk(b"three", more=True))
        await send(chunk(b"four", more=True))

    server = ServerSide()
    drive(OtasMiddleware(app, settings=settings)(Request(headers=(agent.header,)).scope(), server.receive, server.send))
    event = agent.event()
    assert (event["response_size_bytes"], event["response_body"]) == (6, "onetwo")


def test_the_disconnect_after_the_response_is_no_abortion(wrap: Wrap, agent: Agent) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(START)
        await send(chunk(b"done"))
        assert (await receive())["type"] == "http.disconnect"

    server = ServerSide()
    drive(wrap(app)(Request(headers=(agent.header,)).scope(), server.receive, server.send))
    assert "aborted" not in agent.event()["metadata"]


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("started", [False, True])
def test_a_cancelled_request_was_left_by_its_client_only_if_that_is_known(
    *, started: bool, known: bool, wrap: Wrap, agent: Agent
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if started:
            await send(START)
            await send(chunk(b"partial", more=True))
        if known:
            await receive()
            assert (await receive())["type"] == "http.disconnect"
        waits.set()
        await asyncio.sleep(PATIENCE)

    async def cancel() -> None:
        server = ServerSide()
        task = asyncio.ensure_future(wrap(app)(Request(headers=(agent.header,)).scope(), server.receive, server.send))
        await waits.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    waits = asyncio.Event()
    asyncio.run(cancel())
    event = agent.event()
    status = 200 if started else 499 if known else 500
    error = "" if known and started else "499 Client Closed Request" if known else "CancelledError"
    assert (event["status_code"], event["error"]) == (status, error)
    assert event["metadata"].get("aborted", False) is known
    assert ("exception" in event["metadata"]) is not known
    assert event["response_size_bytes"] == (len(b"partial") if started else 0)


def test_a_second_start_is_not_what_the_client_got(settings: OtasSettings, agent: Agent) -> None:
    """Servers refuse it; uvicorn and hypercorn have sent the first one by then."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send({"type": "http.response.start", "status": 500, "headers": [(b"x-second", b"1")]})

    class Strict(ServerSide):
        async def send(self, message: Message) -> None:
            if self.outgoing and message["type"] == "http.response.start":
                raise RuntimeError("Expected ASGI message 'http.response.body'")
            await super().send(message)

    server = Strict()
    with pytest.raises(RuntimeError):
        drive(
            OtasMiddleware(app, settings=settings)(
                Request(headers=(agent.header,)).scope(), server.receive, server.send
            )
        )
    event = agent.event()
    assert event["status_code"] == 200
    assert event["error"] == "RuntimeError: Expected ASGI message 'http.response.body'"
    assert event["response_headers"] == '{"content-type":"text/plain"}'


def test_an_answer_to_a_client_that_left_in_its_upload_is_a_499(wrap: Wrap, agent: Agent) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        await send(START)  # to nobody
        await send(chunk(b"thank you"))

    server = ServerSide({"type": "http.request", "body": b"half", "more_body": True})
    drive(wrap(app)(Request("POST", headers=(agent.header,)).scope(), server.receive, server.send))
    event = agent.event()
    assert (event["status_code"], event["error"]) == (499, "499 Client Closed Request")
    assert (event["request_body"], event["response_headers"], event["response_body"] or "") == ("half", "{}", "")
    assert event["metadata"]["aborted"] is True


@pytest.mark.parametrize("sent", [0, 1, 2, 3])
def test_an_exception_leaves_as_the_very_same_object(sent: int, wrap: Wrap, agent: Agent) -> None:
    error = ValueError("wrong")
    messages = [START, chunk(b"one", more=True), chunk(b"two", more=True)]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages[:sent]:
            await send(message)
        raise error

    server = ServerSide()
    with pytest.raises(ValueError, match="wrong") as caught:
        drive(wrap(app)(Request(headers=(agent.header,)).scope(), server.receive, server.send))
    assert caught.value is error
    assert (error.__context__, error.__cause__) == (None, None)
    event = agent.event()
    assert event["error"] == "ValueError: wrong"
    assert event["status_code"] == (200 if sent else 500)


def test_an_exception_after_the_response_is_not_the_requests(wrap: Wrap, agent: Agent) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(chunk(b"done"))
        raise RuntimeError("in a background task")

    server = ServerSide()
    with pytest.raises(RuntimeError):
        drive(wrap(app)(Request(headers=(agent.header,)).scope(), server.receive, server.send))
    event = agent.event()
    assert event["error"] == ""
    assert event["status_code"] == 200


def test_an_application_that_sends_nothing_is_a_server_error(wrap: Wrap, agent: Agent) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

    server = ServerSide()
    drive(wrap(app)(Request(headers=(agent.header,)).scope(), server.receive, server.send))
    event = agent.event()
    assert (event["status_code"], event["error"]) == (500, "500 Internal Server Error")
    assert "aborted" not in event["metadata"]


def test_an_exception_that_the_caller_is_handling_is_not_the_requests(wrap: Wrap, agent: Agent) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({**START, "status": 503})
        await send(chunk(b"busy"))

    server = ServerSide()
    try:
        int("something else")
    except ValueError:
        drive(wrap(app)(Request(headers=(agent.header,)).scope(), server.receive, server.send))
    assert agent.event()["error"] == "503 Service Unavailable"


EXTENSIONS: dict[str, list[dict[str, Any]]] = {
    "http.response.early_hint": [
        {"type": "http.response.early_hint", "links": [b"</style.css>; rel=preload"]},
        START,
        chunk(b"hello"),
    ],
    "http.response.push": [{"type": "http.response.push", "path": "/style.css", "headers": []}, START, chunk(b"hello")],
    "http.response.debug": [{"type": "http.response.debug", "info": {"template": "a"}}, START, chunk(b"hello")],
    "http.response.trailers": [
        {**START, "trailers": True},
        chunk(b"hello"),
        {"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")], "more_trailers": False},
    ],
}


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_extensions_pass(extension: str, wrap: Wrap, agent: Agent) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert extension in scope["extensions"]
        for message in EXTENSIONS[extension]:
            await send(message)

    server = ServerSide()
    scope = Request(headers=(agent.header,)).scope(extensions={extension: {}})
    drive(wrap(app)(scope, server.receive, server.send))
    assert server.outgoing == EXTENSIONS[extension]
    event = agent.event()
    assert (event["status_code"], event["response_body"], event["error"]) == (200, "hello", "")


def test_trailers_stand_with_the_headers(settings: OtasSettings, agent: Agent) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({**START, "trailers": True})
        await send(chunk(b"hello"))
        fields = iter([(b"grpc-status", b"5")])
        await send({"type": "http.response.trailers", "headers": fields, "more_trailers": True})
        await send({"type": "http.response.trailers", "headers": [(b"grpc-message", b"gone")]})

    server = ServerSide()
    scope = Request(headers=(agent.header,)).scope(extensions={"http.response.trailers": {}})
    drive(OtasMiddleware(app, settings=settings)(scope, server.receive, server.send))
    assert [list(message["headers"]) for message in server.outgoing[2:]] == [
        [(b"grpc-status", b"5")],
        [(b"grpc-message", b"gone")],
    ]
    event = agent.event()
    headers = json.loads(event["response_headers"] or "")
    assert headers == {"content-type": "text/plain", "grpc-status": "5", "grpc-message": "gone"}
    assert "aborted" not in event["metadata"]


def test_a_response_that_ends_before_its_trailers_is_not_complete(wrap: Wrap, agent: Agent) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({**START, "trailers": True})
        await send(chunk(b"hello"))
        raise ValueError("no status")

    server = ServerSide()
    scope = Request(headers=(agent.header,)).scope(extensions={"http.response.trailers": {}})
    with pytest.raises(ValueError, match="no status"):
        drive(wrap(app)(scope, server.receive, server.send))
    assert agent.event()["error"] == "ValueError: no status"


@pytest.mark.parametrize("kind", ["http.response.pathsend", "http.response.zerocopysend"])
def test_a_file_that_the_server_sends_itself_has_the_size_that_its_headers_say(
    kind: str, wrap: Wrap, agent: Agent
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({**START, "headers": [(b"Content-Length", b"1234567")]})
        await send({"type": kind, "path": "/srv/export.csv", "file": 7})

    server = ServerSide()
    drive(wrap(app)(Request(headers=(agent.header,)).scope(extensions={kind: {}}), server.receive, server.send))
    assert server.outgoing[1] == {"type": kind, "path": "/srv/export.csv", "file": 7}
    event = agent.event()
    assert event["response_size_bytes"] == 1_234_567
    assert event["response_body"] == ""
    assert "aborted" not in event["metadata"]


def test_messages_of_unknown_types_pass(settings: OtasSettings, agent: Agent) -> None:
    unknown = {"type": "http.response.from_the_future", "more_body": True, "value": object()}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.from_the_future"
        for message in (unknown, START, chunk(b"one", more=True), unknown, chunk(b"two")):
            await send(message)

    server = ServerSide({"type": "http.from_the_future"})
    scope = Request(headers=(agent.header,)).scope()
    drive(OtasMiddleware(app, settings=settings)(scope, server.receive, server.send))
    assert server.outgoing[0] is server.outgoing[3] is unknown
    assert agent.event()["response_body"] == "onetwo"


def test_bodies_may_be_any_bytes_like_object(wrap: Wrap, agent: Agent) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(START)
        for body in (bytearray(b"one "), memoryview(b"two "), b"three"):
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body"})

    server = ServerSide({"type": "http.request", "body": memoryview(b"asked")})
    drive(wrap(app)(Request(headers=(agent.header,)).scope(), server.receive, server.send))
    event = agent.event()
    assert (event["request_body"], event["response_body"]) == ("asked", "one two three")


@pytest.mark.parametrize("kind", ["websocket", "something.new"])
def test_what_is_not_http_is_passed_on_untouched(kind: str, settings: OtasSettings, agent: Agent) -> None:
    passed: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        passed.extend([scope, receive, send])

    scope = {**Request(headers=(agent.header,)).scope(), "type": kind}
    before = dict(scope)
    server = ServerSide()
    receive, send = server.receive, server.send
    drive(OtasMiddleware(app, settings=settings)(scope, receive, send))
    assert passed[0] is scope
    assert scope == before
    assert passed[1] is receive
    assert passed[2] is send
    assert agent.events() == []


def test_the_lifespan_passes_and_its_end_delivers_what_is_waiting(settings: OtasSettings, agent: Agent) -> None:
    passed: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            passed.extend([scope, receive])
            for expected in ("startup", "shutdown"):
                assert (await receive())["type"] == f"lifespan.{expected}"
                await send({"type": f"lifespan.{expected}.complete"})
        else:
            await send(START)
            await send(chunk(b"hello"))

    wrapped = OtasMiddleware(app, settings=settings)
    server = ServerSide()
    drive(wrapped(Request(headers=(agent.header,)).scope(), server.receive, server.send))
    scope: Scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    lifespan = ServerSide({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    receive = lifespan.receive
    drive(wrapped(scope, receive, lifespan.send))
    assert passed[0] is scope
    assert passed[1] is receive
    assert lifespan.outgoing == [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}]
    assert otas.stats()["queued"] == 0


def test_at_the_end_of_the_lifespan_what_cannot_be_delivered_is_spooled_since_servers_may_end_by_their_signal(
    settings: OtasSettings, agent: Agent, brain: LocalBrain, tmp_path: Path
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await send({"type": "lifespan.shutdown.complete"})
        else:
            await send(START)
            await send(chunk(b"hello"))

    wrapped = OtasMiddleware(app, settings=settings, spool_dir=tmp_path / "spool", shutdown_timeout=0.5)
    server = ServerSide()
    with brain.faults.inject(Mode.HANG):
        drive(wrapped(Request(headers=(agent.header,)).scope(), server.receive, server.send))
        drive(wrapped({"type": "lifespan"}, server.receive, server.send))
    assert server.outgoing[-1] == {"type": "lifespan.shutdown.complete"}
    with closing(sqlite3.connect(next((tmp_path / "spool").glob("*.sqlite3")))) as spool:
        assert spool.execute("SELECT count(*) FROM event").fetchone() == (1,)


@pytest.mark.parametrize(
    ("path", "root_path", "expected"),
    [
        ("/api/items", "/api", "/api/items"),  # as the specification says
        ("/items", "/api", "/api/items"),  # as older servers send it
        ("/api", "/api", "/api"),
        ("/apiary/items", "/api", "/api/apiary/items"),
        ("/items", "", "/items"),
        ("/items", None, "/items"),
        ("/items", "/api/", "/api/items"),
        ("", "", ""),
    ],
)
def test_the_path_is_the_clients(path: str, root_path: str | None, expected: str, wrap: Wrap, agent: Agent) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(chunk(b"hello"))

    scope = Request(headers=(agent.header,)).scope(path=path, root_path=root_path or "")
    if root_path is None:
        del scope["root_path"]
    server = ServerSide()
    drive(wrap(app)(scope, server.receive, server.send))
    assert agent.event()["path"] == expected


@pytest.mark.parametrize(
    "missing", ["client", "server", "scheme", "root_path", "raw_path", "http_version", "asgi", "query_string", "method"]
)
def test_a_scope_may_lack_a_key_or_have_none_in_it(missing: str, settings: OtasSettings, agent: Agent) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(chunk(b"hello"))

    wrapped = OtasMiddleware(app, settings=settings)
    without = Request(path="/odd", headers=(agent.header,)).scope()
    del without[missing]
    server = ServerSide()
    drive(wrapped(without, server.receive, server.send))
    events = 1
    if missing not in {"query_string", "method"}:  # never None by the specification
        empty = Request(path="/odd", headers=(agent.header,)).scope(**{missing: None})
        drive(wrapped(empty, ServerSide().receive, server.send))
        events = 2
    assert [event["path"] for event in agent.events()] == ["/odd"] * events


class _Unreadable:
    def __iter__(self) -> Iterator[object]:
        raise RuntimeError("not to be read")


@pytest.mark.parametrize(
    "headers",
    [None, 5, [None], [(b"a",)], [(b"a", b"b", b"c")], {b"a": b"b"}, _Unreadable()],
    ids=["none", "number", "none-in-list", "one", "three", "dictionary", "unreadable"],
)
def test_headers_against_the_specification_reach_the_application_that_does_not_mind_them(
    headers: object, settings: OtasSettings, as_in_production: None
) -> None:
    seen: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["headers"])
        await send(START)
        await send(chunk(b"hello"))

    server = ServerSide()
    drive(OtasMiddleware(app, settings=settings)(Request().scope(headers=headers), server.receive, server.send))
    assert seen == [headers]
    assert len(server.outgoing) == 2


def test_headers_may_be_an_iterable_that_can_be_read_once(settings: OtasSettings, agent: Agent) -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend(scope["headers"])
        await send({**START, "headers": iter([[b"x-one", b"1"], (b"x-two", b"2")])})
        await send(chunk(b"hello"))

    scope = Request(headers=(("X-Custom", "yes"), agent.header)).scope()
    pairs = scope["headers"]
    scope["headers"] = iter(pairs)
    server = ServerSide()
    drive(OtasMiddleware(app, settings=settings)(scope, server.receive, server.send))
    assert seen == pairs
    assert list(server.outgoing[0]["headers"]) == [[b"x-one", b"1"], (b"x-two", b"2")]
    event = agent.event()
    assert '"x-custom":"yes"' in (event["request_headers"] or "").replace(" ", "")
    assert '"x-two":"2"' in (event["response_headers"] or "").replace(" ", "")


def test_what_lies_in_the_scope_is_copied_pickled_and_dumped_as_a_text(settings: OtasSettings, agent: Agent) -> None:
    """As hypercorn's `ProxyFixMiddleware` copies it; the copy is still known to be recorded."""
    seen: list[Any] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(chunk(b"hello"))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        ours = {name: value for name, value in scope.items() if name not in bare}
        assert all(type(value) is str for value in ours.values())
        seen.extend([copy.copy(ours), json.loads(json.dumps(ours)), pickle.loads(pickle.dumps(ours))])
        assert seen == [ours] * 3
        await OtasMiddleware(inner, settings=settings)(copy.deepcopy(scope), receive, send)

    scope = Request(headers=(agent.header,)).scope()
    bare = set(scope)
    server = ServerSide()
    drive(OtasMiddleware(app, settings=settings)(scope, server.receive, server.send))
    assert seen
    agent.event()


def test_installed_twice_it_records_once(wrap: Wrap, agent: Agent) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(chunk(b"hello"))

    assert call_asgi(wrap(wrap(app)), Request(headers=(agent.header,))).body == b"hello"
    assert len(agent.events()) == 1


def test_headers_that_an_inner_middleware_adds_are_not_the_clients(wrap: Wrap, agent: Agent) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["headers"].append((b"x-request-id", b"made-inside"))
        await send(START)
        await send(chunk(b"hello"))

    server = ServerSide()
    drive(wrap(app)(Request(headers=(agent.header,)).scope(), server.receive, server.send))
    assert "made-inside" not in (agent.event()["request_headers"] or "")


def test_headers_that_are_changed_afterwards_are_recorded_as_they_were_sent(wrap: Wrap, agent: Agent) -> None:
    headers = [(b"x-sent", b"yes")]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({**START, "headers": headers})
        headers.clear()
        await send(chunk(b"hello"))

    server = ServerSide()
    drive(wrap(app)(Request(headers=(agent.header,)).scope(), server.receive, server.send))
    assert "x-sent" in (agent.event()["response_headers"] or "")
