"""The agent's side with everything around it: a recorded backend, Agnost, proxies, retries, a spool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import requests
from requests.adapters import HTTPAdapter
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from urllib3.util import Retry

import otas_middleware as otas
from agent.callers import TLS
from agent.host import closed_port, response
from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware.agent import AgentSession, LoggedEvent
from otas_middleware.asgi import OtasMiddleware
from otas_middleware.localbrain import LocalBrain
from support.agent import PATIENCE
from support.loopback import Uvicorn

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from starlette.requests import Request

    from agent.host import Host, Received
    from agent.record import Record
    from otas_middleware import OtasSettings


def test_checkpoints_and_parents_reach_both_destinations_with_one_session(outside: Host) -> None:
    async def order(_: Request) -> JSONResponse:
        otas.checkpoint("looked_up", rows=1)
        return JSONResponse({"id": 42})

    with LocalBrain() as brain:
        agnost: dict[str, Any] = {"agnost_org_id": brain.agnost_org_id, "agnost_url": brain.url}
        app = OtasMiddleware(
            Starlette(routes=[Route("/orders/{order_id}", order)]),
            sdk_key=brain.sdk_key,
            brain_url=brain.url,
            **agnost,
        )
        with Uvicorn(app) as backend:
            url = f"http://127.0.0.1:{backend.port}"
            with (
                AgentSession(
                    url, agent_key=brain.agent_key, brain_url=brain.url, uasam_url=brain.url, **agnost
                ) as session,
                session.client(verify=TLS) as http,
                session.tool("refund"),
            ):
                http.get(f"{url}/orders/42")
                http.get(outside.url + "/v1/mail")
            assert otas.flush(PATIENCE)
        stored = {event["metadata"]["event_id"]: event["metadata"] for event in brain.events()}
        sent = {event["event_id"]: event["body"] for event in brain.agnost_events()}
        assert len(stored) == 3
        assert sent.keys() == stored.keys()
        checkpoints = [body["checkpoints"] for body in sent.values() if body.get("checkpoints")]
        assert [[each["name"] for each in one] for one in checkpoints] == [["looked_up"]]
        assert checkpoints[0][0]["metadata"] == {"rows": "1"}
        for event_id, metadata in stored.items():
            assert sent[event_id].get("parent_id") == metadata.get("parent_id")
        assert sum("parent_id" in metadata for metadata in stored.values()) == 1
        assert {event["body"]["session_id"] for event in brain.agnost_sessions()} == {session.session_id}


def test_both_halves_of_a_session_meet_in_brain(settings: OtasSettings, brain: LocalBrain, outside: Host) -> None:
    async def order(request: Request) -> JSONResponse:
        otas.checkpoint("looked_up", rows=1)
        return JSONResponse({"id": request.path_params["order_id"]})

    app = OtasMiddleware(Starlette(routes=[Route("/orders/{order_id}", order)]), settings=settings)
    with Uvicorn(app) as backend:
        url = f"http://127.0.0.1:{backend.port}"
        with (
            AgentSession(url, agent_key=brain.agent_key, brain_url=brain.url, uasam_url=brain.url) as session,
            session.client(verify=TLS) as http,
            session.tool("refund") as refund,
        ):
            assert http.get(f"{url}/orders/42").json() == {"id": "42"}
            http.post(outside.url + "/v1/mail", json={"to": "ada"})
        assert session.session_id is not None
        otas.flush(PATIENCE)
        events = brain.wait_for_events(3, session_id=session.session_id, timeout=PATIENCE)
    found = {(event["source"], event["method"], event["path"]): event for event in events}
    assert found.keys() == {
        ("backend", "GET", "/orders/42"),
        ("agent", "POST", "/v1/mail"),
        ("agent", "TOOL", "/tools/refund"),
    }
    assert found["backend", "GET", "/orders/42"]["metadata"]["checkpoints"][0]["name"] == "looked_up"
    assert found["agent", "POST", "/v1/mail"]["metadata"]["parent_id"] == refund.event_id
    assert {event["agent_id"] for event in events} == {brain.agent_id}


def test_agnost_gets_the_same_events_with_their_parents(outside: Host) -> None:
    with (
        LocalBrain() as brain,
        AgentSession(
            agent_key=brain.agent_key,
            brain_url=brain.url,
            uasam_url=brain.url,
            agnost_org_id=brain.agnost_org_id,
            agnost_url=brain.url,
        ) as session,
    ):
        logged: list[LoggedEvent] = []
        session.on_logged = logged.append
        with session.client(verify=TLS) as http, session.tool("search", query="shoes") as search:
            http.get(outside.url + "/v1/find?q=shoes")
        assert session.flush(PATIENCE)
        bodies = {event["body"]["primitive_name"]: event["body"] for event in brain.agnost_events()}
        assert bodies.keys() == {"TOOL /tools/search", "GET /v1/find"}
        assert bodies["TOOL /tools/search"]["event_id"] == search.event_id
        assert bodies["GET /v1/find"]["parent_id"] == search.event_id
        assert len(brain.agnost_sessions()) == 1
        assert {event.event_id for event in logged} == {event["event_id"] for event in brain.events()}


def test_a_proxy_of_a_client_is_used_and_what_goes_through_it_is_recorded(
    session: AgentSession, inside: Host, outside: Host, record: Record
) -> None:
    with session.client(proxy=outside.url, verify=TLS) as http:
        http.get("http://somewhere.example/x")
        http.get(inside.url + "/orders")
    assert outside.paths() == ["http://somewhere.example/x", inside.url + "/orders"]
    assert [bool(request.header(TOKEN_HEADER)) for request in outside.requests] == [False, True]
    event = record.one()
    assert (event["path"], event["custom_properties"]["host"]) == ("/x", "somewhere.example")


def test_proxies_of_the_environment_are_used_as_without_us(
    session: AgentSession, outside: Host, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", outside.url)
    with session.client(verify=TLS) as http:
        http.get("http://somewhere.example/x")
    assert outside.paths() == ["http://somewhere.example/x"]
    assert record.one()["custom_properties"]["host"] == "somewhere.example"


def test_retries_below_a_transport_are_one_event(session: AgentSession, record: Record) -> None:
    client = httpx2.Client(transport=httpx2.HTTPTransport(retries=1, verify=TLS))
    with session.instrument(client) as http, pytest.raises(httpx2.ConnectError):
        http.get(closed_port() + "/away")
    assert record.one()["error"].startswith("ConnectError")  # type: ignore[union-attr]  # it is a text


def test_each_retry_below_an_adapter_is_an_event_of_its_own(
    session: AgentSession, outside: Host, record: Record
) -> None:
    answers = [response(b"busy", "503 Service Unavailable"), response(b"done")]

    def answer(_: Received) -> Iterable[bytes]:
        return [answers.pop(0)]

    outside.on("/flaky", answer)
    with requests.Session() as client:
        client.mount("http://", HTTPAdapter(max_retries=Retry(1, status_forcelist=[503], backoff_factor=0)))
        assert session.instrument(client).get(outside.url + "/flaky").text == "done"
    assert len(outside.requests) == 2
    assert [(event["status_code"], event["response_body"]) for event in record.events()] == [(503, ""), (200, "done")]


@pytest.mark.parametrize("mode", ["busy", "capture-failed", "reset", "outage"])
def test_what_brain_fails_on_is_sent_again_and_stored_once(outside: Host, mode: str) -> None:
    with (
        LocalBrain() as brain,
        AgentSession(agent_key=brain.agent_key, brain_url=brain.url, uasam_url=brain.url, max_retry_delay=0.2) as agent,
    ):
        brain.faults.inject(mode, times=1)
        with agent.client(verify=TLS) as http:
            http.get(outside.url + "/once")
        assert agent.flush(PATIENCE)
        assert [event["path"] for event in brain.events()] == ["/once"]
        assert agent.stats()["delivered"] == 1


def test_what_brain_cannot_take_now_waits_in_the_spool(outside: Host, tmp_path: Path) -> None:
    def session(brain: LocalBrain) -> AgentSession:
        return AgentSession(
            agent_key=brain.agent_key, brain_url=brain.url, uasam_url=brain.url, spool_dir=tmp_path / "spool"
        )

    with LocalBrain() as brain:
        with session(brain) as first, brain.faults.inject("busy"):
            with first.client(verify=TLS) as http:
                http.get(outside.url + "/later")
            first.flush(PATIENCE)
            assert brain.events() == []
            assert first.stats()["spooled"] == 1
        stored = brain.wait_for_events(1, timeout=PATIENCE)
        assert [(event["path"], event["source"]) for event in stored] == [("/later", "agent")]
        assert stored[0]["agent_session_id"] == first.session_id
        files = b"".join(path.read_bytes() for path in (tmp_path / "spool").iterdir())
        assert brain.agent_key.encode() not in files
