"""The fixture `otas_events` records the agent's side too: sessions without UASAM, calls and tools without Brain."""

from __future__ import annotations

import json
import socket
import threading
from functools import partial
from typing import TYPE_CHECKING

import anyio
import httpx2
import pytest
import requests
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from agent.callers import TLS
from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware.agent import AgentSession, LoggedEvent
from otas_middleware.asgi import OtasMiddleware
from otas_middleware.testing import RecordedEvents, record_events

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

    from otas_middleware import BackendEvent

SHOP = "https://api.shop.example"
ASKED = {"model": "m-1", "messages": [{"role": "user", "content": "hi"}]}
ANSWERED = {"model": "m-1-large", "usage": {"input_tokens": 3, "output_tokens": 4}}


def model(request: httpx2.Request) -> httpx2.Response:
    """A language model, in memory."""
    assert TOKEN_HEADER not in request.headers
    return httpx2.Response(200, json=ANSWERED)


def client_of(session: AgentSession) -> httpx2.Client:
    return session.client(transport=httpx2.MockTransport(model))


def test_a_call_outside_is_an_event_without_a_key_and_a_network(
    otas_events: RecordedEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a socket was connected")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    threads = set(threading.enumerate())

    with AgentSession(SHOP) as session, client_of(session) as http:
        assert http.post("https://api.model.example/v1/chat?key=1", json=ASKED).json() == ANSWERED

    event = otas_events.one(source="agent", path="/v1/chat", status_code=200, request_body=ASKED)
    assert event.custom_properties == {
        "host": "api.model.example",
        "model": "m-1-large",
        "usage": {"input": 3, "output": 4, "total": 7},
    }
    assert otas_events.summaries == ["POST https://api.model.example/v1/chat 200"]
    assert threads.issuperset(threading.enumerate())  # those of other tests may end meanwhile


def test_the_session_is_the_recordings_own(otas_events: RecordedEvents) -> None:
    with AgentSession(SHOP, meta={"task": "refund 42"}) as session:
        assert (session.session_id, session.agent_id) == (otas_events.session_id, otas_events.agent_id)
        session.log("SEND", "smtp://mail.example.com/", status_code=250, latency_ms=1.0)
    otas_events.one(session_id=otas_events.session_id, agent_id=otas_events.agent_id, method="SEND")


def test_both_halves_of_a_session_can_be_seen_in_one_test(otas_events: RecordedEvents) -> None:
    async def order(_: Request) -> JSONResponse:
        return JSONResponse({"id": 42})

    shop = OtasMiddleware(Starlette(routes=[Route("/orders/{order_id}", order)]))
    with AgentSession(SHOP) as session, client_of(session) as models:
        api = session.instrument(TestClient(shop, base_url=SHOP))
        assert api.get("/orders/42").json() == {"id": 42}
        models.post("https://api.model.example/v1/chat", json=ASKED)

    assert otas_events.summaries == ["GET /orders/42 200", "POST https://api.model.example/v1/chat 200"]
    assert otas_events.one(source="backend").metadata["route"] == "/orders/{order_id}"
    assert len(otas_events.matching(session_id=otas_events.session_id)) == 2


def test_tools_are_events_that_their_calls_point_at(otas_events: RecordedEvents) -> None:
    with AgentSession(SHOP) as session, client_of(session) as http:

        @session.tool()
        def search(query: str) -> str:
            return str(http.post("https://api.model.example/v1/chat", json={"query": query}).status_code)

        assert search("shoes") == "200"

    tool = otas_events.one(method="TOOL", request_body={"query": "shoes"}, response_body=json.dumps("200"))
    call = otas_events.one(method="POST")
    assert call.metadata["parent_id"] == tool.metadata["event_id"]


def ids(*sessions: AgentSession) -> list[str | None]:
    return [session.session_id for session in sessions]


def test_a_session_that_was_made_before_records_too_and_asks_uasam_again_afterwards() -> None:
    session = AgentSession(SHOP, uasam_url="http://127.0.0.1:1", agent_key="agent_abcdefghijk_0123")
    without_key = AgentSession(SHOP)
    with record_events() as events:
        for each in (session, without_key):
            each.log("GET", "/x", status_code=200, latency_ms=1.0)
        assert events.summaries == ["GET /x 200"] * 2
        assert ids(session, without_key) == [events.session_id] * 2
    assert ids(session, without_key) == [None, None]
    assert session.headers_for(SHOP) == {}


def test_a_session_that_was_made_during_a_recording_is_an_ordinary_one_afterwards() -> None:
    with record_events():
        session = AgentSession(SHOP)
        assert ids(session) != [None]
    assert ids(session) == [None]
    session.log("GET", "/x", status_code=200, latency_ms=1.0)
    assert session.stats().get("captured", 0) == 0  # it has no key


def test_recordings_inside_of_each_other_keep_apart() -> None:
    with record_events() as outer:
        first = AgentSession(SHOP)
        first.log("GET", "/1", status_code=200, latency_ms=1.0)
        with record_events() as inner:
            second = AgentSession(SHOP)
            for each in (first, second):
                each.log("GET", "/2", status_code=200, latency_ms=1.0)
        for each in (first, second):
            each.log("GET", "/3", status_code=200, latency_ms=1.0)
    assert inner.summaries == ["GET /2 200"] * 2
    assert outer.summaries == ["GET /1 200"] + ["GET /3 200"] * 2


def test_on_logged_is_told_when_the_session_ends(otas_events: RecordedEvents) -> None:
    logged: list[tuple[str, str]] = []
    sessions = {name: AgentSession(SHOP) for name in ("one", "two")}

    def note(name: str, entry: LoggedEvent) -> None:
        logged.append((name, entry.event.path))
        sessions[name].log("GET", "/never", status_code=200, latency_ms=1.0)  # as in production
        assert len(otas_events) >= 1

    for name, session in sessions.items():
        session.on_logged = partial(note, name)
        with session:
            session.log("GET", f"/{name}", status_code=200, latency_ms=1.0)
    assert logged == [("one", "/one"), ("two", "/two")]


def test_flush_and_counters_say_that_everything_is_delivered(otas_events: RecordedEvents) -> None:
    session = AgentSession(SHOP)
    before = session.stats()["delivered"]
    session.log("GET", "/x", status_code=200, latency_ms=1.0)
    assert session.flush(0.0)
    assert session.stats()["delivered"] == before + 1


def test_asynchronous_agents_and_requests_are_recorded_alike(otas_events: RecordedEvents) -> None:
    async def answer(request: httpx2.Request) -> httpx2.Response:
        return model(request)

    async def agent() -> None:
        async with (
            AgentSession(SHOP) as session,
            session.async_client(transport=httpx2.MockTransport(answer)) as http,
        ):
            await http.post("https://api.model.example/v1/async", json=ASKED)

    for loop in ("asyncio", "trio"):
        anyio.run(agent, backend=loop)
    refused = pytest.raises(requests.ConnectionError)
    with AgentSession(SHOP) as session, session.requests_session() as requester, refused:
        requester.get("http://127.0.0.1:1/refused")
    assert len(otas_events.matching(path="/v1/async", status_code=200)) == 2
    assert "refused" in otas_events.one(path="/refused", status_code=0).error.lower()


def test_secrets_are_redacted_as_they_would_be_sent(otas_events: RecordedEvents) -> None:
    with AgentSession(SHOP, agent_key="agent_abcdefghijk_0123456789") as session, client_of(session) as http:
        http.post(
            "https://api.model.example/v1/chat",
            headers={"Authorization": "Bearer sk-0123456789abcdef"},
            json={"password": "hunter2 is the password"},
        )
        token = session.headers_for(SHOP)[TOKEN_HEADER]
    otas_events.assert_no_trace_of("sk-0123456789abcdef", "hunter2 is the password", "0123456789", token)


def test_before_send_has_its_word(otas_events: RecordedEvents) -> None:
    def only_models(event: BackendEvent) -> BackendEvent | None:
        return event if event.path.startswith("/v1/") else None

    with AgentSession(SHOP, before_send=only_models) as session, client_of(session) as http:
        http.get("https://api.model.example/health")
        http.get("https://api.model.example/v1/models")
    assert otas_events.one().path == "/v1/models"


def test_a_failing_before_send_fails_the_test() -> None:
    def fails(_: BackendEvent) -> BackendEvent | None:
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"), record_events():
        AgentSession(SHOP, before_send=fails).log("GET", "/x", status_code=200, latency_ms=1.0)


def test_a_stream_that_was_not_read_is_named_as_the_reason(otas_events: RecordedEvents) -> None:
    class Endless(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield b"data: 1\n\n"

    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, stream=Endless()))
    with (
        AgentSession(SHOP) as session,
        session.client(transport=transport) as http,
        http.stream("GET", "https://api.model.example/v1/chat"),
        pytest.raises(AssertionError, match="has not been read to its end"),
    ):
        otas_events.one()
    assert otas_events.one().metadata["aborted"] is True


def test_an_agent_that_called_nobody_outside_is_named_as_the_reason(otas_events: RecordedEvents) -> None:
    with AgentSession(SHOP) as session, session.client(transport=httpx2.MockTransport(_inside)) as http:
        http.get(SHOP + "/orders")
    with pytest.raises(AssertionError, match="no call to a host outside of project_domain"):
        otas_events.one()


def _inside(request: httpx2.Request) -> httpx2.Response:
    assert request.headers[TOKEN_HEADER]
    return httpx2.Response(200)


def test_the_kill_switch_is_obeyed(otas_events: RecordedEvents) -> None:
    with AgentSession(SHOP, enabled=False) as session, client_of(session) as http:
        http.get("https://api.model.example/v1/models")
        assert session.session_id is None
    otas_events.assert_none()


def test_an_http_client_of_ones_own_is_instrumented_as_in_production(otas_events: RecordedEvents) -> None:
    mine = httpx2.Client(transport=httpx2.MockTransport(model), verify=TLS)
    with AgentSession(SHOP) as session, session.instrument(mine) as http:
        http.get("https://api.model.example/v1/models")
    otas_events.one(source="agent")
