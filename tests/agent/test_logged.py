"""What an agent logs itself, what is told of it, and the last word of `before_send`."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import httpx2
import pytest

from otas_middleware import BackendEvent
from otas_middleware.agent import AgentSession, LoggedEvent

if TYPE_CHECKING:
    from agent.host import Host
    from agent.record import Record
    from otas_middleware.localbrain import LocalBrain


def test_a_logged_call_is_an_event_with_what_was_said(session: AgentSession, record: Record) -> None:
    event_id = session.log(
        "POST",
        "https://mail.example.com/send?draft=1",
        status_code=503,
        latency_ms=12.5,
        request_headers={"Authorization": "Bearer sk-0123456789abcdef", "X-SessionState": "yes"},
        request_body='{"to": "ada"}',
        response_body="busy",
        custom_properties={"provider": "mail"},
        metadata={"attempt": 2},
    )
    event = record.one()
    assert (event["source"], event["method"], event["path"]) == ("agent", "POST", "/send")
    assert (event["query_params"], event["status_code"], event["latency_ms"]) == ("draft=1", 503, 12.5)
    assert event["error"] == "503 Service Unavailable"
    assert event["custom_properties"] == {"host": "mail.example.com", "provider": "mail"}
    assert event["metadata"]["event_id"] == event_id
    assert event["metadata"]["attempt"] == 2
    assert event["request_size_bytes"] == len('{"to": "ada"}')
    headers = json.loads(event["request_headers"] or "")
    assert headers["X-SessionState"] == "yes"
    assert "0123456789abcdef" not in json.dumps(event)


@pytest.mark.parametrize(("status", "error"), [(399, ""), (499, "499 Client Closed Request"), (599, "599 Error")])
def test_a_status_without_an_error_is_worded_as_in_what_a_backend_records(
    status: int, error: str, session: AgentSession, record: Record
) -> None:
    session.log("GET", "https://api.example.org/", status_code=status, latency_ms=1.0)
    assert record.one()["error"] == error


@pytest.mark.parametrize("latency", [math.inf, math.nan, -5.0, 1e300])
def test_a_call_of_an_impossible_duration_is_an_event_all_the_same(
    latency: float, session: AgentSession, record: Record
) -> None:
    session.log("GET", "https://api.example.org/a%20b/caf%C3%A9?q=%20", status_code=200, latency_ms=latency)
    event = record.one()
    assert (event["path"], event["query_params"]) == ("/a b/café", "q=%20")
    assert 0 <= event["latency_ms"] <= 1e12
    assert event["metadata"]["captured_at"] > "1990"


def test_what_is_changed_after_it_was_logged_is_logged_as_it_was(session: AgentSession, record: Record) -> None:
    basket: list[int] = [1]
    session.log("SEND", "/mail", status_code=250, latency_ms=1.0, custom_properties={"basket": basket})
    basket.append(2)
    assert record.one()["custom_properties"] == {"basket": [1]}


def test_an_event_can_be_logged_as_it_is(session: AgentSession, record: Record) -> None:
    event = BackendEvent(path="/queue", method="PUBLISH", status_code=0, latency_ms=1.0, error="BrokerError")
    session.log_event(event)
    stored = record.one()
    assert (stored["path"], stored["method"], stored["error"]) == ("/queue", "PUBLISH", "BrokerError")
    assert event.metadata == {}


def test_on_logged_gets_brains_own_id_of_each_event(session: AgentSession, outside: Host, record: Record) -> None:
    logged: list[LoggedEvent] = []
    session.on_logged = logged.append
    with session.client() as http, session.tool("search"):
        http.get(outside.url + "/one")
    stored = {event["event_id"]: event["path"] for event in record.events()}
    assert {event.event_id: event.event.path for event in logged} == stored
    assert {event.session_id for event in logged} == {session.session_id}


@pytest.mark.parametrize("error", [RuntimeError, SystemExit, GeneratorExit])
def test_a_failing_on_logged_costs_no_event(
    session: AgentSession, record: Record, caplog: pytest.LogCaptureFixture, error: type[BaseException]
) -> None:
    def fails(_: LoggedEvent) -> None:
        raise error("on purpose")

    session.on_logged = fails
    for path in ("/x", "/y"):
        session.log("GET", path, status_code=200, latency_ms=1)
    assert {event["path"] for event in record.events()} == {"/x", "/y"}
    assert "on_logged raised" in caplog.text


def test_what_on_logged_does_is_not_logged_or_it_would_never_end(
    session: AgentSession, outside: Host, record: Record
) -> None:
    with session.client() as http:

        def reports(event: LoggedEvent) -> None:
            http.post(outside.url + "/reports", json={"id": event.event_id})
            session.log("SEND", "smtp://mail.example.com/", status_code=250, latency_ms=1)
            with session.tool("report"):
                pass

        session.on_logged = reports
        http.get(outside.url + "/asked")
        assert session.flush(10)
        assert record.one()["path"] == "/asked"
    assert outside.paths() == ["/asked", "/reports"]


def test_before_send_has_the_last_word_on_tools_and_calls(brain: LocalBrain, outside: Host) -> None:
    seen: list[str] = []

    def before_send(event: BackendEvent) -> BackendEvent | None:
        seen.append(event.path)
        return None if event.path == "/tools/secret" else event.model_copy(update={"error": "marked"})

    with AgentSession(
        agent_key=brain.agent_key, brain_url=brain.url, uasam_url=brain.url, before_send=before_send
    ) as session:
        with session.client() as http, session.tool("secret"):
            http.get(outside.url + "/call")
        session.flush(10)
        events = brain.events(session.session_id)
    assert sorted(seen) == ["/call", "/tools/secret"]
    assert [(event["path"], event["error"]) for event in events] == [("/call", "marked")]


def test_before_send_sees_a_call_as_it_will_be_sent_and_nothing_is_put_back(brain: LocalBrain, outside: Host) -> None:
    seen: list[tuple[int, str]] = []

    def before_send(event: BackendEvent) -> BackendEvent:
        seen.append((event.status_code, event.metadata.pop("origin")))
        event.status_code += 1
        return event

    with AgentSession(
        agent_key=brain.agent_key, brain_url=brain.url, uasam_url=brain.url, before_send=before_send
    ) as session:
        with session.client() as http:
            http.get(outside.url + "/call")
            with pytest.raises(httpx2.ConnectError):
                http.get("http://127.0.0.1:1/")
        session.flush(10)
        events = brain.events(session.session_id)
    assert sorted(seen) == [(0, "http://127.0.0.1:1"), (200, outside.url)]
    assert sorted(event["status_code"] for event in events) == [1, 201]
    assert not [event for event in events if "origin" in event["metadata"]]
