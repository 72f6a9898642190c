"""With a relay everything is as before: what is built, masked, withheld, and where it goes."""

from __future__ import annotations

import logging
import signal
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import pytest

from otas_middleware import BackendEvent, OtasSettings
from otas_middleware._delivery import Pipeline, open_delivery
from otas_middleware._delivery.relay import trust
from otas_middleware._runtime import runtime
from otas_middleware.agent import AgentSession
from otas_middleware.operations import Exchange, Operation
from relay.host import host, paths
from support.delivery import RawServer, answer, created, eventually
from support.relay import RelayProcess, RelayThread, balance

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from otas_middleware.agent import LoggedEvent
    from otas_middleware.localbrain import LocalBrain
    from support.agent import Agent
    from support.delivery import Received


def test_before_send_has_the_last_word_in_the_host(brain: LocalBrain, agent: Agent) -> None:
    def before_send(event: BackendEvent) -> BackendEvent | None:
        return None if event.path == "/secret" else event.model_copy(update={"error": "marked"})

    with RelayThread() as relay, host(brain, agent, relay.path, before_send=before_send) as app:
        app.call("/secret")
        app.call("/open")
        assert app.delivery.flush(20)
        stats = app.stats()
    [event] = brain.events(agent.session_id)
    assert (event["path"], event["error"]) == ("/open", "marked")
    assert (stats["acknowledged"], stats["dropped"]) == (1, {"filtered": 1})
    assert balance(stats) == 0


def test_before_send_that_raises_withholds_and_the_event_is_counted_once(
    brain: LocalBrain, agent: Agent, as_in_production: None
) -> None:
    def before_send(event: BackendEvent) -> BackendEvent | None:
        raise ValueError("on purpose")

    with RelayThread() as relay, host(brain, agent, relay.path, before_send=before_send) as app:
        app.call()
        assert app.delivery.flush(20)
        stats = app.stats()
    assert stats["captured"] == 1
    assert balance(stats) == 0
    assert paths(brain, agent) == []


def test_secrets_are_masked_and_settings_hold_on_the_other_side(brain: LocalBrain, agent: Agent) -> None:
    with (
        RelayThread() as relay,
        host(brain, agent, relay.path, sensitive_fields=("badge",), ignore_paths=("/*/internal",)) as app,
    ):
        app.call("/login", b"badge=4711&name=ada&password=hunter2")
        app.call("/orders/internal")
        assert app.delivery.flush(20)
        stats = app.stats()
    [event] = brain.events(agent.session_id)
    assert "4711" not in str(event)
    assert "hunter2" not in str(event)
    assert "ada" in str(event["request_body"])
    assert stats["captured"] == stats["acknowledged"] + sum(stats["dropped"].values())


def read_greeting(exchange: Exchange) -> Operation | None:
    return Operation("greeting", exchange.request_text, outcome="ok")


def test_protocols_of_the_users_own_are_read_in_the_host(brain: LocalBrain, agent: Agent) -> None:
    with RelayThread() as relay, host(brain, agent, relay.path, operation_protocols=(read_greeting,)) as app:
        app.call("/greet", b"hello")
        assert app.delivery.flush(20)
    [event] = brain.events(agent.session_id)
    assert event["metadata"]["operation"]["name"] == "hello"


def test_operations_are_read_on_the_other_side_by_the_end_of_a_long_answer_too(brain: LocalBrain, agent: Agent) -> None:
    padding = b'"padding": "' + b"x" * 9_000 + b'"'
    call = b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "refund", ' + padding + b"}}"
    with RelayThread() as relay, host(brain, agent, relay.path, max_body_bytes=2_000) as app:
        app.call("/mcp", call)
        assert app.delivery.flush(20)
    [event] = brain.events(agent.session_id)
    assert event["metadata"]["operation"]["name"] == "tools/call refund"
    assert event["metadata"]["operation"]["outcome"] == "unknown"


def test_a_second_destination_gets_the_same_event(brain: LocalBrain, agent: Agent) -> None:
    bodies: list[bytes] = []

    def take(connection: socket.socket, request: Received) -> None:
        bodies.append(request.body)
        if b"/capture-" in request.data.partition(b"\r\n")[0]:
            connection.sendall(answer("200 OK", b'{"session_id": "s", "event_id": "e"}'))
        else:
            connection.sendall(created())

    organisation = UUID("6a1b1f0e-5d0c-4a43-9a0b-6d4f3c2b1a00")
    with (
        RawServer(take) as server,
        RelayThread() as relay,
        host(brain, agent, relay.path, brain_url=server.url, agnost_org_id=organisation, agnost_url=server.url) as app,
    ):
        app.call()
        assert app.delivery.flush(20)
        assert app.stats()["acknowledged"] == 1
    assert len(bodies) == 3  # Brain's event, Agnost's session and event


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("away", ["brain", "agnost"])
def test_what_an_ended_relay_has_not_delivered_everywhere_goes_to_the_destination_that_lacks_it_and_no_other(
    brain: LocalBrain, agent: Agent, tmp_path: Path, away: Literal["brain", "agnost"], number: signal.Signals
) -> None:
    earlier = len(brain.agnost_events())

    def stored() -> dict[str, int]:
        return {"brain": len(paths(brain, agent)), "agnost": len(brain.agnost_events()) - earlier}

    destinations = {"brain_url": brain.url, "agnost_url": brain.url, "agnost_org_id": UUID(brain.agnost_org_id)}
    with (
        RelayProcess(tmp_path) as relay,
        host(brain, agent, relay.path, shutdown_timeout=0.3, **destinations) as app,
        brain.faults.inject("busy", away),
    ):
        app.call(count=3)
        eventually(lambda: stored() == {"brain": 3, "agnost": 3, away: 0})

        def heard() -> int:
            assert not app.delivery.flush(0.02)
            return sum(len(link._partly) for link in app.delivery._state.client._links)

        eventually(lambda: heard() == 3)  # what a killed relay has not said yet, its host sends once more
        relay.stop(number)
        app.delivery.flush(0.0)
        assert app.stats()["relay"]["state"] == "absent"
        assert balance(app.stats()) == 0
        brain.faults.clear()
        assert app.delivery.flush(20)
        stats = app.stats()
    assert stored() == {"brain": 3, "agnost": 3}
    assert balance(stats) == 0
    assert (stats["acknowledged"], stats["delivered"]) == ((0, 3) if away == "brain" else (3, 0))


def test_what_the_first_destination_refuses_is_lost_although_the_second_one_takes_it(
    brain: LocalBrain, agent: Agent
) -> None:
    losses: list[str] = []

    def take(connection: socket.socket, request: Received) -> None:
        if b"/capture-" in request.data.partition(b"\r\n")[0]:
            connection.sendall(answer("200 OK", b'{"session_id": "s", "event_id": "e"}'))
        else:
            body = b'{"status_description": "invalid_or_expired_token"}'
            connection.sendall(answer("401 Unauthorized", body))

    def lost(_: object, reason: str) -> None:
        losses.append(reason)

    organisation = UUID("6a1b1f0e-5d0c-4a43-9a0b-6d4f3c2b1a00")
    destinations: dict[str, Any] = {"agnost_org_id": organisation, "on_loss": lost}
    with (
        RawServer(take) as server,
        RelayThread() as relay,
        host(brain, agent, relay.path, brain_url=server.url, agnost_url=server.url, **destinations) as app,
    ):
        app.call()
        assert app.delivery.flush(20)
        stats = app.stats()
        eventually(lambda: losses == ["bad_token"])
    assert (stats["acknowledged"], stats["dropped"]) == (0, {"bad_token": 1})
    assert balance(stats) == 0


class Own:
    """A destination of the user's own."""

    name = "own"

    def __init__(self, _settings: OtasSettings) -> None:
        pass

    def request(self, envelope: Any) -> Any:
        raise NotImplementedError

    def outcome(self, response: Any) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize(
    "changes",
    [{"destinations": ("relay.test_as_before:Own",)}, {"transport": "relay.test_as_before:carry"}],
    ids=["destination", "transport"],
)
def test_code_of_the_users_own_stays_in_the_host_and_that_is_said(
    changes: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "otas_middleware")
    settings = OtasSettings(sdk_key="otas_a_b", relay="/nowhere/relay.sock", **changes)
    opened = open_delivery(settings, lambda _item, _settings: None, raw=True, on_token=print)
    assert isinstance(opened, Pipeline)
    assert "OTAS_RELAY has no effect" in caplog.text


@pytest.mark.parametrize(("durability", "level"), [("memory", "INFO"), ("relay", "WARNING")])
def test_that_there_can_be_no_relay_is_a_warning_where_a_promise_depends_on_it(
    durability: Literal["memory", "relay"],
    level: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trust, "SUPPORTED", False)
    monkeypatch.setattr(runtime, "logged", set[str]())
    caplog.set_level(logging.INFO, "otas_middleware")
    settings = OtasSettings(sdk_key="otas_a_b", relay="auto", durability=durability)
    open_delivery(settings, lambda _item, _settings: None, raw=True, on_token=print)
    assert [record.levelname for record in caplog.records if "needs Linux" in record.message] == [level]


def carry(_request: Any, _timeout: float) -> Any:
    raise NotImplementedError


@pytest.fixture
def agents_session(brain: LocalBrain) -> Any:
    with (
        RelayThread() as relay,
        AgentSession(
            "https://api.example.com",
            agent_key=brain.agent_key,
            brain_url=brain.url,
            uasam_url=brain.url,
            relay=relay.path,
        ) as session,
    ):
        yield session


def test_an_agents_events_go_by_way_of_the_relay_and_it_learns_their_ids(
    brain: LocalBrain, agents_session: AgentSession
) -> None:
    logged: list[LoggedEvent] = []
    agents_session.on_logged = logged.append
    with agents_session.tool("search") as run:
        run.result = {"found": 3}
    agents_session.log("GET", "/outside", status_code=200, latency_ms=1)
    assert agents_session.flush(20)
    eventually(lambda: len(logged) == 2)
    assert agents_session.session_id is not None
    events = brain.events(agents_session.session_id)
    assert {event["path"] for event in events} == {"/tools/search", "/outside"}
    assert {event.event_id for event in logged} == {event["event_id"] for event in events}
    assert agents_session.stats()["acknowledged"] >= 2


def test_what_on_logged_does_is_not_logged_or_it_would_never_end(
    brain: LocalBrain, agents_session: AgentSession
) -> None:
    told: list[LoggedEvent] = []

    def reports(event: LoggedEvent) -> None:
        told.append(event)
        agents_session.log("SEND", "/report", status_code=200, latency_ms=1)

    agents_session.on_logged = reports
    agents_session.log("GET", "/asked", status_code=200, latency_ms=1)
    assert agents_session.flush(20)
    eventually(lambda: told)
    assert agents_session.flush(20)
    assert agents_session.session_id is not None
    assert [event["path"] for event in brain.events(agents_session.session_id)] == ["/asked"]
    assert runtime.sources
