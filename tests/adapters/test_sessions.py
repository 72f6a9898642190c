"""The application sees the session that it serves, wherever its code runs, and never that of another request."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest

import otas_middleware as otas
from otas_middleware._capture.context import current
from support import served
from support.agent import PATIENCE, Agent
from support.asgi_gateway import call_asgi, converse
from support.harnesses import Harness, harnesses
from support.http1 import fetch, parse
from support.loopback import Gunicorn, Uvicorn
from support.observing import STEPS
from support.request import Request
from support.wsgi_gateway import call_wsgi

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otas_middleware import OtasSettings
    from otas_middleware._capture import Capture
    from otas_middleware._capture.asgi_scope import Receive, Scope, Send
    from otas_middleware.localbrain import LocalBrain, StoredEvent

every_framework = pytest.mark.parametrize("harness", harnesses(), ids=str)
every_wsgi_framework = pytest.mark.parametrize(
    "harness", [harness for harness in harnesses() if harness.protocol == "wsgi"], ids=str
)


@pytest.fixture
def other(brain: LocalBrain) -> Agent:
    """Another agent."""
    return Agent(brain)


def call(harness: Harness, app: Any, path: str, *agents: Agent) -> str:
    request = Request(path=path, headers=tuple(agent.header for agent in agents))
    exchange = call_asgi(app, request) if harness.protocol == "asgi" else call_wsgi(app, request.environ())
    assert exchange.status_code == 200
    return exchange.body.decode()


def ignore(*_: Any) -> Any:
    """Be a `start_response` of which nothing is expected."""
    return print


def places(event: StoredEvent) -> list[str]:
    """Return where the event's checkpoints were made, and check that they follow each other."""
    checkpoints = event["metadata"]["checkpoints"]
    times = [checkpoint["ms"] for checkpoint in checkpoints]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= event["latency_ms"] + 0.001
    return [checkpoint["name"] for checkpoint in checkpoints]


@every_framework
def test_a_view_sees_its_session_and_adds_to_its_event(harness: Harness, settings: OtasSettings, agent: Agent) -> None:
    assert call(harness, harness.application(settings), "/whoami", agent) == agent.session_id
    event = agent.event()
    assert event["custom_properties"] == {"view": True}
    assert places(event) == ["view"]
    assert event["metadata"]["checkpoints"][0]["attributes"] == {"seen": "view"}


@every_framework
def test_a_streaming_body_sees_its_session_from_the_first_chunk_to_the_last(
    harness: Harness, settings: OtasSettings, agent: Agent
) -> None:
    body = call(harness, harness.application(settings), "/whoami-stream", agent)
    assert body == f"{agent.session_id}\n" * STEPS
    steps = [f"step {step}" for step in range(STEPS)]
    event = agent.event()
    assert event["custom_properties"] == dict.fromkeys(steps, True)
    assert places(event) == steps


@every_framework
@pytest.mark.parametrize("path", ["/whoami", "/whoami-stream"])
def test_the_next_request_of_the_same_thread_sees_nothing_of_the_last(
    harness: Harness, path: str, settings: OtasSettings, agent: Agent, other: Agent
) -> None:
    app = harness.application(settings)
    assert agent.session_id in call(harness, app, path, agent)
    assert set(call(harness, app, path).split()) == {"none"}
    assert set(call(harness, app, path, other).split()) == {other.session_id}
    assert set(call(harness, app, path).split()) == {"none"}
    assert otas.current_session() is None
    agent.event()
    other.event()


@every_framework
def test_outside_of_agents_requests_everything_does_nothing(harness: Harness, settings: OtasSettings) -> None:
    assert call(harness, harness.application(settings), "/whoami") == "none"
    assert call(harness, harness.application(None), "/whoami-stream") == "none\n" * STEPS


@every_wsgi_framework
def test_a_response_that_is_read_bit_by_bit_stays_apart_from_requests_in_between(
    harness: Harness, settings: OtasSettings, agent: Agent, other: Agent
) -> None:
    app = harness.application(settings)
    environ = Request(path="/whoami-stream", headers=(agent.header,)).environ()
    response = app(environ, ignore)
    chunks = iter(response)
    assert next(chunks).decode().strip() == agent.session_id
    assert call(harness, app, "/whoami") == "none"
    assert next(chunks).decode().strip() == agent.session_id
    assert call(harness, app, "/whoami", other) == other.session_id
    assert [chunk.decode().strip() for chunk in chunks if chunk] == [agent.session_id] * (STEPS - 2)
    response.close()
    assert otas.current_session() is None
    assert places(agent.event()) == [f"step {step}" for step in range(STEPS)]
    assert places(other.event()) == ["view"]


@pytest.mark.parametrize("harness", [harness for harness in harnesses() if harness.protocol == "asgi"], ids=str)
def test_requests_of_one_event_loop_stay_apart(
    harness: Harness, settings: OtasSettings, agent: Agent, other: Agent
) -> None:
    app = harness.application(settings)
    requests = [
        Request(path="/whoami-stream", headers=(agent.header,)),
        Request(path="/whoami-stream"),
        Request(path="/whoami-stream", headers=(other.header,)),
    ]

    async def at_once() -> list[str]:
        exchanges = await asyncio.gather(*(converse(app, request.scope()) for request in requests))
        return [exchange.body.decode() for exchange in exchanges]

    sessions = [set(body.split()) for body in asyncio.run(at_once())]
    assert sessions == [{agent.session_id}, {"none"}, {other.session_id}]
    agent.event()
    other.event()


@pytest.fixture(scope="module")
def ports(settings: OtasSettings, brain: LocalBrain) -> Iterator[dict[str, int]]:
    with Uvicorn(served.asgi(settings)) as asgi, Gunicorn("support.served:wsgi_from_environment()", brain) as wsgi:
        yield {"asgi": asgi.port, "wsgi": wsgi.port}


@every_framework
def test_the_next_request_of_the_same_connection_sees_nothing_of_the_last(
    harness: Harness, ports: dict[str, int], agent: Agent, other: Agent
) -> None:
    name = (served.HEADER, f"{harness.name} wrapped")
    with socket.create_connection(("127.0.0.1", ports[harness.protocol]), PATIENCE) as connection:
        seen: list[str] = []
        for headers in ([agent.header], [], [other.header], []):
            wire = Request(path="/whoami", headers=(name, *headers)).wire()
            connection.sendall(wire.replace(b"Connection: close", b"Connection: keep-alive"))
            seen.append(read_answer(connection))
    assert seen == [agent.session_id, "none", other.session_id, "none"]
    agent.event_from_elsewhere()
    other.event_from_elsewhere()


def kept_alive(request: Request) -> bytes:
    """Return what a client sends that means to send another request."""
    return request.wire().replace(b"Connection: close", b"Connection: keep-alive")


@pytest.mark.parametrize("harness", [harness for harness in harnesses() if harness.protocol == "asgi"], ids=str)
def test_what_a_server_begins_within_a_request_does_not_belong_to_it(
    harness: Harness, settings: OtasSettings, agent: Agent, other: Agent
) -> None:
    app = harness.application(settings)
    found: list[Capture | None] = []

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        found.append(current.get())
        await app(scope, receive, send)

    plain = Request(path="/whoami")
    with Uvicorn(noting, loop="asyncio") as server:
        # It begins a request that is there already where the one before it ends.
        fetch(server.port, kept_alive(Request(path="/whoami-stream", headers=(agent.header,))) + plain.wire())
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
            # It reads no further while a large body is not taken, and goes on where the application takes it.
            large = Request("POST", "/binary", headers=(other.header,), body=(bytes(1_000_000),))
            connection.sendall(kept_alive(large))
            read_answer(connection)
            connection.sendall(kept_alive(plain))
            assert read_answer(connection) == "none"
    assert found == [None] * 4
    agent.event()
    other.event()


@every_wsgi_framework
def test_what_a_server_does_between_two_chunks_does_not_belong_to_the_request(
    harness: Harness, settings: OtasSettings, agent: Agent, other: Agent
) -> None:
    app = harness.application(settings)
    first = app(Request(path="/whoami-stream", headers=(agent.header,)).environ(), ignore)
    chunks = iter(first)
    next(chunks)
    assert current.get() is None
    second = app(Request(path="/whoami-stream", headers=(other.header,)).environ(), ignore)
    assert b"".join(second).decode().split() == [other.session_id] * STEPS
    second.close()
    next(chunks)
    first.close()
    assert current.get() is None
    assert agent.event()["metadata"]["aborted"]
    assert "parent_id" not in other.event()["metadata"]


def read_answer(connection: socket.socket) -> str:
    """Read one answer of a kept-alive connection; its body is either sized or chunked."""
    received = bytearray()
    while data := connection.recv(65536):
        received += data
        _, found, rest = bytes(received).partition(b"\r\n\r\n")
        if found:
            answer = parse(bytes(received))
            sizes = [int(value) for name, value in answer.headers if name.lower() == "content-length"]
            if len(rest) >= sizes[0] if sizes else rest.endswith(b"0\r\n\r\n"):
                return answer.body.decode()
    raise AssertionError("the server closed the connection")
