"""Random but legal ASGI conversations with a bare and with a wrapped application: the same outcome, and one event.

An application and a server are drawn as plans: what each does, in which order, where it waits, fails or goes away. No
event loop takes part: a scheduler steps both, so that the same plan always runs in the same way.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otas_middleware.asgi import OtasMiddleware
from support.asgi_lint import AsgiLint
from support.fuzzing import fuzzing
from support.request import Request
from support.sink import TOKEN, Sink

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

    from otas_middleware._capture import Capture
    from otas_middleware._capture.asgi_scope import ASGIApp, Message, Receive, Scope, Send

LIMIT = 64
"""Bytes that are kept: less than many bodies have."""

EXTENSIONS = ["http.response.early_hint", "http.response.push", "http.response.debug"]

Step = tuple[Any, ...]


class OwnError(Exception):
    """What a drawn application raises."""


ERRORS: dict[str, type[BaseException]] = {
    "own": OwnError,
    "os": FileNotFoundError,
    "cancelled": asyncio.CancelledError,
    "exit": SystemExit,
}


@dataclass
class Plan:
    """One conversation.

    Attributes:
        talk: What the application does, in order.
        listen: How many messages a second task of the application receives meanwhile; None without such a task.
        tolerant: The application ignores what `send` raises.
        incoming: The request body's chunks.
        gone_after: The client disconnects after so many of them.
        broken_at: `send` raises from this message on.
        breaks_with: What it raises.
        pauses: Whether the server waits, message by message, over and over.
        cancelled_at: The step at which the server cancels the application, which has begun by then.
        scope: Odd values in the scope; None removes a key.
    """

    talk: list[Step]
    listen: int | None
    tolerant: bool
    incoming: list[bytes]
    gone_after: int | None
    broken_at: int | None
    breaks_with: Literal["os", "own"]
    pauses: list[bool]
    cancelled_at: int | None
    scope: dict[str, Any]


BODIES = st.binary(max_size=40)
WAITING = st.lists(st.sampled_from([("pause",), ("receive",)]), max_size=2)
HEADERS = st.lists(
    st.tuples(st.sampled_from([b"content-type", b"x-one", b"set-cookie"]), st.sampled_from([b"a", b"text/plain", b""])),
    max_size=3,
)
ODD_SCOPE = st.fixed_dictionaries(
    {},
    optional={
        "client": st.sampled_from([None, ("::1", 0), ["127.0.0.1", 9]]),
        "server": st.sampled_from([None, ("/run/app.sock", None)]),
        "root_path": st.sampled_from(["", "/api", "/api/"]),
        "raw_path": st.none(),
        "http_version": st.sampled_from(["1.0", "2", "3"]),
        "scheme": st.sampled_from(["https", ""]),
        "state": st.just({"pool": 1}),
        "x-unknown": st.just(object),
    },
)


@st.composite
def talks(draw: st.DrawFn) -> list[Step]:
    """Draw what a legal application does: it may stop or raise at any point, but keeps the order of messages."""
    steps: list[Step] = list(draw(WAITING))
    if draw(st.booleans()):
        steps += [("extension", draw(st.sampled_from(EXTENSIONS)))]
    if draw(st.integers(0, 9)):
        steps += [("start", draw(st.sampled_from([200, 204, 304, 404, 500])), draw(HEADERS)), *draw(WAITING)]
        for body in draw(st.lists(BODIES, max_size=6)):
            steps += [("body", draw(st.sampled_from([bytes, bytearray, memoryview]))(body), True), *draw(WAITING)]
        if draw(st.integers(0, 4)):
            ending = draw(st.sampled_from(["body", "empty", "pathsend"]))
            if ending == "pathsend" and any(step[0] == "body" for step in steps):
                ending = "empty"  # a file is sent instead of a body
            steps += [("body", draw(BODIES), False) if ending == "body" else (ending,), *draw(WAITING)]
    if not draw(st.integers(0, 3)):
        at = draw(st.integers(0, len(steps)))
        steps[at:] = [("raise", draw(st.sampled_from(sorted(ERRORS))))]
    return steps


PLANS = st.builds(
    Plan,
    talk=talks(),
    listen=st.none() | st.integers(0, 4),
    tolerant=st.booleans(),
    incoming=st.lists(BODIES, min_size=1, max_size=4),
    gone_after=st.none() | st.integers(0, 3),
    broken_at=st.none() | st.none() | st.integers(0, 6),
    breaks_with=st.sampled_from(["os", "own"]),
    pauses=st.lists(st.booleans(), min_size=1, max_size=5),
    cancelled_at=st.none() | st.none() | st.integers(2, 8),
    scope=ODD_SCOPE,
)


class Pause:
    """Suspends once, as waiting for the network does."""

    def __await__(self) -> Generator[None]:
        yield


class Both:
    """Runs two coroutines in turns, each to its end, as two tasks of an event loop."""

    def __init__(self, first: Coroutine[Any, Any, None], second: Coroutine[Any, Any, None]) -> None:
        self._running = [first, second]

    def __await__(self) -> Generator[None]:
        try:
            while self._running:
                for task in list(self._running):
                    try:
                        task.send(None)
                    except StopIteration:
                        self._running.remove(task)
                if self._running:
                    yield
        finally:
            for task in self._running:
                task.close()


@dataclass
class Server:
    """The server's side of a plan; keeps all that passes."""

    plan: Plan
    received: list[Message] = field(default_factory=list["Message"])
    offered: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """What `send` was called with, also if it was cancelled or broke before it was done."""
    heard: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """The same, up to the moment at which the application was told that the client has gone."""
    sent: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    broken: bool = False
    _turns: int = 0

    async def _wait(self) -> None:
        self._turns += 1
        if self.plan.pauses[self._turns % len(self.plan.pauses)]:
            await Pause()

    async def receive(self) -> Message:
        await self._wait()
        count, incoming = len(self.received), self.plan.incoming
        gone = count == self.plan.gone_after or count >= len(incoming)
        if gone or (self.received and self.received[-1]["type"] == "http.disconnect"):
            message: Message = {"type": "http.disconnect"}
        else:
            message = {"type": "http.request", "body": incoming[count], "more_body": count + 1 < len(incoming)}
        self.received.append(message)
        return message

    async def send(self, message: Message) -> None:
        self.offered.append(dict(message))
        if not (self.received and self.received[-1]["type"] == "http.disconnect"):
            self.heard.append(dict(message))
        await self._wait()
        if self.plan.broken_at is not None and len(self.sent) >= self.plan.broken_at:
            self.broken = True
            raise (ConnectionResetError if self.plan.breaks_with == "os" else OwnError)("gone")
        self.sent.append(dict(message))


def application(plan: Plan) -> ASGIApp:
    async def say(message: Message, send: Send) -> None:
        try:
            await send(message)
        except Exception:
            if not plan.tolerant:
                raise

    async def talk(receive: Receive, send: Send) -> None:
        for step in plan.talk:
            match step:
                case ("pause",):
                    await Pause()
                case ("receive",):
                    await receive()
                case ("extension", kind):
                    await say({"type": kind}, send)
                case ("start", status, headers):
                    await say({"type": "http.response.start", "status": status, "headers": headers}, send)
                case ("body", body, more):
                    await say({"type": "http.response.body", "body": body, "more_body": more}, send)
                case ("empty",):
                    await say({"type": "http.response.body"}, send)
                case ("pathsend",):
                    await say({"type": "http.response.pathsend", "path": "/srv/file"}, send)
                case ("raise", kind):
                    raise ERRORS[kind]("drawn")
                case _:
                    raise AssertionError(step)

    async def listen(receive: Receive) -> None:
        for _ in range(plan.listen or 0):
            await receive()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if plan.listen is None:
            await talk(receive, send)
        else:
            await Both(talk(receive, send), listen(receive))

    return app


@dataclass
class Outcome:
    """All that the server could tell apart."""

    received: list[Message]
    sent: list[dict[str, Any]]
    steps: int
    raised: tuple[type[BaseException], str] | None


def run(app: Any, plan: Plan) -> tuple[Outcome, Server]:
    server = Server(plan)
    extensions: dict[str, Any] = {name: {} for name in [*EXTENSIONS, "http.response.pathsend"]}
    scope = Request("POST", "/fuzz", headers=(TOKEN,)).scope(extensions=extensions, **plan.scope)
    conversation = app(scope, server.receive, server.send)
    raised: tuple[type[BaseException], str] | None = None
    steps = 0
    try:
        while steps < 1000:
            steps += 1
            if steps == plan.cancelled_at:
                conversation.throw(asyncio.CancelledError("by the server"))
            else:
                conversation.send(None)
    except StopIteration:
        pass
    except BaseException as error:  # all that a server would see
        raised = (type(error), str(error))
    assert steps < 1000, "the conversation does not end"
    return Outcome(server.received, server.sent, steps, raised), server


@pytest.fixture(scope="module")
def sink() -> Sink:
    return Sink(max_body_bytes=LIMIT)


@fuzzing
@given(plan=PLANS)
def test_a_wrapped_conversation_goes_as_the_bare_one_and_leaves_one_event(plan: Plan, sink: Sink) -> None:
    sink.captures.clear()
    app = application(plan)
    bare, _ = run(AsgiLint(app), plan)
    wrapped, server = run(AsgiLint(OtasMiddleware(AsgiLint(app), settings=sink.settings)), plan)
    assert wrapped == bare
    check(sink.take(), wrapped, server)


def body_of(messages: list[dict[str, Any]]) -> bytes:
    return b"".join(bytes(message.get("body", b"")) for message in messages if message["type"] == "http.response.body")


def check(capture: Capture, outcome: Outcome, server: Server) -> None:
    """Compare the record with what passed."""
    offered, broken = server.offered, server.broken
    started = [message for message in server.heard if message["type"] == "http.response.start"]
    complete = any(
        message["type"] in {"http.response.body", "http.response.pathsend"} and not message.get("more_body", False)
        for message in outcome.sent
    )
    asked = b"".join(message.get("body", b"") for message in outcome.received)
    if not complete:  # what is received after the response is not part of the record
        assert capture.request_size == len(asked)
        assert capture.request_body() == asked[:LIMIT]
    if started and not broken:
        assert capture.status_code == started[0]["status"]
        assert list(capture.response_headers) == started[0]["headers"]
    elif not broken:
        expected = 0 if capture.exception or capture.aborted else 500
        assert capture.status_code == expected
    if not broken and not capture.disconnected and capture.status_code not in {204, 304}:
        most = body_of(offered)
        assert len(body_of(outcome.sent)) <= capture.response.size <= len(most)
        assert capture.response_body() == most[: capture.response.size][:LIMIT]
    if complete and not broken and not capture.disconnected:
        assert (capture.complete, capture.aborted, capture.exception) == (True, False, None)
    elif not complete and outcome.raised is not None and not broken and issubclass(outcome.raised[0], OwnError):
        assert capture.exception is not None
    assert capture.latency >= (capture.ttfb or 0) >= 0
