"""Agnost as a second destination: its forms, its sessions, and its independence of Brain."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otas_middleware._delivery import DELIVERED, Outcome, Pipeline, Request
from otas_middleware._delivery.destinations.agnost import AgnostDestination, event_body, session_body, session_uuid
from otas_middleware._event import BackendEvent, Envelope
from otas_middleware._runtime import runtime
from otas_middleware.localbrain import LocalBrain, Mode
from otas_middleware.localbrain.agnost import EVENT_FORMS, Session, problems
from support.delivery import Item, RawServer, answer, balance, build, eventually, pipeline, settings

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from otas_middleware._config.settings import OtasSettings
    from support.delivery import Received


def event(**values: Any) -> BackendEvent:
    fields: dict[str, Any] = {"path": "/orders/42", "method": "POST", "status_code": 200, "latency_ms": 12.6}
    return BackendEvent(**{**fields, **values})


def envelope(of: BackendEvent, session_id: str = "6b2c1d52-9f3e-4d5c-8a41-1c7d2b8e4f00") -> Envelope:
    return Envelope(of, "the.raw.token", session_id, "agent-7")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)

OPERATIONS = st.dictionaries(
    st.sampled_from(["protocol", "method", "target", "name", "user_agent"]),
    st.sampled_from(["mcp", "tools/call", "tools/list", "sse", ""]) | JSON_VALUES,
)


@given(
    session_id=st.text(min_size=1, max_size=40) | st.uuids().map(str),
    method=st.sampled_from(["GET", "POST"]),
    texts=st.lists(st.text(max_size=30), min_size=4, max_size=4),
    latency=st.floats(0, 1e12),
    metadata=st.dictionaries(
        st.text(max_size=8) | st.sampled_from(["operation", "agent"]), JSON_VALUES | OPERATIONS, max_size=4
    ),
    properties=st.dictionaries(st.text(max_size=8), JSON_VALUES, max_size=4),
)
def test_any_event_satisfies_both_published_forms(
    session_id: str,
    method: str,
    texts: list[str],
    latency: float,
    metadata: dict[str, Any],
    properties: dict[str, Any],
) -> None:
    about = {**metadata, "event_id": str(uuid4())}
    of = event(
        method=method,
        latency_ms=latency,
        query_params=texts[0],
        request_body=texts[1],
        response_body=texts[2],
        error=texts[3],
        metadata=about,
        custom_properties=properties,
    )
    body = json.loads(json.dumps(event_body(envelope(of, session_id))))
    for form in EVENT_FORMS.values():
        assert problems(body, form) == []
    assert body["event_id"] == about["event_id"]
    json.loads(body["args"])
    json.loads(body["result"])
    assert "the.raw.token" not in json.dumps(body)
    assert problems(json.loads(json.dumps(session_body(envelope(of, session_id)))), Session) == []


def test_an_event_is_mapped_as_the_contract_says() -> None:
    parent = str(uuid4())
    of = event(
        query_params="dry=1",
        request_body='{"qty": 2}',
        response_body="plain",
        error="404 Not Found",
        custom_properties={"order_id": 42, "kind": "web"},
        metadata={
            "event_id": "0d3c0b6e-51a4-4a3c-9d3c-0f9b1d6f3a11",
            "captured_at": "2026-01-01T00:00:00.123+00:00",
            "route": "/orders/{order_id}",
            "parent_id": parent,
            "framework": "flask",
            "checkpoints": [{"name": "cache", "ms": 3.6, "attributes": {"rows": 5}}],
        },
    )
    body = event_body(envelope(of))
    assert body["primitive_name"] == "POST /orders/{order_id}"
    assert (body["primitive_type"], body["success"], body["latency"]) == ("tool", False, 13)
    assert json.loads(str(body["args"])) == {"query": "dry=1", "body": {"qty": 2}}
    assert json.loads(str(body["result"])) == "plain"
    assert body["timestamp"] == 1767225600123
    assert body["checkpoints"] == [{"name": "cache", "timestamp": 4, "metadata": {"rows": "5"}}]
    assert body["parent_id"] == parent
    assert body["metadata"] == {
        "order_id": "42",
        "kind": "web",
        "framework": "flask",
        "path": "/orders/42",
        "status_code": "200",
        "agent_id": "agent-7",
        "source": "backend",
        "error": "404 Not Found",
    }


def test_a_session_id_that_is_no_uuid_becomes_the_same_one_each_time() -> None:
    assert session_uuid("chat 7") == session_uuid("chat 7") != session_uuid("chat 8")
    assert str(UUID(session_uuid("chat 7"))) == session_uuid("chat 7")
    assert session_uuid("6B2C1D52-9F3E-4D5C-8A41-1C7D2B8E4F00") == "6b2c1d52-9f3e-4d5c-8a41-1c7d2b8e4f00"


def agnost(brain: LocalBrain, **values: Any) -> dict[str, Any]:
    return {"agnost_org_id": brain.agnost_org_id, "agnost_url": brain.url, **values}


def test_each_session_is_announced_once_before_its_first_event() -> None:
    with LocalBrain() as brain, pipeline(brain.url, **agnost(brain, sdk_key=None)) as sender:
        sessions = [str(uuid4()) for _ in range(5)]
        for number in range(100):
            sender.put(Item(session_id=sessions[number % 5]))
        assert sender.flush(30)
        assert sorted(session["session_uuid"] for session in brain.agnost_sessions()) == sorted(sessions)
        events = brain.agnost_events()
        assert len(events) == 100
        assert all(found["session_known"] for found in events)
        assert all(sorted(found["forms"]) == ["first", "second"] for found in events)
        assert sender.stats()["delivered"] == 100


def test_both_destinations_get_every_event_and_count_for_themselves() -> None:
    with LocalBrain() as brain, pipeline(brain.url, **agnost(brain, sdk_key=brain.sdk_key)) as sender:
        items = [Item(token=brain.create_session(), session_id=str(uuid4())) for _ in range(10)]
        for item in items:
            sender.put(item)
        assert sender.flush(30)
        ids = sorted(item.event_id for item in items)
        assert sorted(found["metadata"]["event_id"] for found in brain.events()) == ids
        assert sorted(found["event_id"] for found in brain.agnost_events()) == ids
        destinations = sender.stats()["destinations"]
        assert {name: stats["delivered"] for name, stats in destinations.items()} == {"brain": 10, "agnost": 10}


def test_an_event_is_built_once_for_all_destinations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each build makes a new `event_id`, and asks the user's `before_send` again."""
    monkeypatch.setattr(runtime, "behaviour", replace(runtime.behaviour, reraise=False))

    def build_anew(item: Any, _settings: OtasSettings) -> Envelope | None:
        built.append(item.path)
        if item.path == "/broken":
            raise ValueError(item.path)
        item.event_id = str(uuid4())
        found: Envelope | None = None if item.path == "/filtered" else item.envelope()
        return found

    built: list[str] = []
    with LocalBrain() as brain:
        sender = Pipeline(settings(brain.url, **agnost(brain, sdk_key=brain.sdk_key)), build_anew)
        for path in ("/a", "/filtered", "/broken"):
            sender.put(Item(path, token=brain.create_session(), session_id=str(uuid4())))
        assert sender.flush(30)
        sender.close()
        assert sorted(built) == ["/a", "/broken", "/filtered"]
        assert [found["metadata"]["event_id"] for found in brain.events()] == [
            found["event_id"] for found in brain.agnost_events()
        ]
        for stats in sender.stats_by_destination().values():
            assert (stats["delivered"], stats["dropped"]) == (1, {"filtered": 1, "internal_error": 1})


def test_one_destination_that_hangs_does_not_hold_up_the_other() -> None:
    with LocalBrain() as brain, pipeline(brain.url, **agnost(brain, sdk_key=brain.sdk_key)) as sender:
        with brain.faults.inject(Mode.HANG):
            for _ in range(20):
                sender.put(Item(token=brain.create_session(), session_id=str(uuid4())))
            eventually(lambda: sender.stats_by_destination()["agnost"]["delivered"] == 20)
            assert sender.stats_by_destination()["brain"]["delivered"] == 0
        eventually(lambda: sender.stats_by_destination()["brain"]["delivered"] == 20)
        with brain.faults.inject(Mode.HANG, "agnost"):
            sender.put(Item(token=brain.create_session(), session_id=str(uuid4())))
            eventually(lambda: sender.stats_by_destination()["brain"]["delivered"] == 21)


@pytest.mark.parametrize("mode", [Mode.RESET, Mode.BUSY, Mode.GARBAGE, Mode.PAGE])
def test_its_misbehaviour_is_survived(mode: Mode) -> None:
    with LocalBrain() as brain, pipeline(brain.url, **agnost(brain, sdk_key=None)) as sender:
        brain.faults.inject(mode, "agnost", times=3)
        for _ in range(5):
            sender.put(Item(session_id=str(uuid4())))
        eventually(lambda: sender.stats()["delivered"] == 5)
        assert len({found["event_id"] for found in brain.agnost_events()}) == 5
        assert all(found["session_known"] for found in brain.agnost_events())
        assert balance(sender.stats()) == 0


def test_an_unknown_organisation_is_said_and_nothing_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    with (
        LocalBrain() as brain,
        pipeline(brain.url, sdk_key=None, agnost_org_id=str(uuid4()), agnost_url=brain.url) as sender,
    ):
        sender.put(Item())
        eventually(lambda: "OTAS_AGNOST_ORG_ID" in caplog.text)
        assert (sender.stats()["queued"], sender.stats()["dropped"]) == (1, {})


def test_a_bad_event_is_dropped() -> None:
    def refuse(connection: socket.socket, request: Received) -> None:
        session = b"capture-session" in request.data
        connection.sendall(answer("200 OK", b'{"session_id":"x"}') if session else answer("400 Bad", b'{"error":"x"}'))

    with (
        RawServer(refuse) as server,
        pipeline(server.url, sdk_key=None, agnost_org_id=str(uuid4()), agnost_url=server.url) as sender,
    ):
        sender.put(Item())
        assert sender.flush(10)
        assert sender.stats()["dropped"] == {"http_400": 1}
        assert all(request.header("X-OTAS-AGENT-SESSION-TOKEN") is None for request in server.requests)


class TestBeyondOneProcess:
    def test_with_a_spool_directory_a_successor_does_not_announce_again(self, tmp_path: Path) -> None:
        session = str(uuid4())
        with LocalBrain() as brain:
            for _ in range(3):
                sender = Pipeline(
                    settings(brain.url, **agnost(brain, sdk_key=None, spool_dir=tmp_path / "spool")), build
                )
                sender.put(Item(session_id=session))
                assert sender.flush(30)
                sender.close()
            assert len(brain.agnost_sessions()) == 1
            assert len(brain.agnost_events()) == 3

    def test_processes_that_begin_together_announce_once(self, tmp_path: Path) -> None:
        session = str(uuid4())
        code = """
import sys
from otas_middleware._delivery import Pipeline
from support.delivery import Item, build, settings
url, organisation, spool, session = sys.argv[1:]
sender = Pipeline(settings(url, sdk_key=None, agnost_org_id=organisation, agnost_url=url, spool_dir=spool), build)
for _ in range(5):
    sender.put(Item(session_id=session))
assert sender.flush(30)
"""
        with LocalBrain() as brain:
            brain.faults.slow_ms = 50
            arguments = [brain.url, brain.agnost_org_id, str(tmp_path / "spool"), session]
            processes = [
                subprocess.Popen([sys.executable, "-c", code, *arguments], env={"PYTHONPATH": "tests"})
                for _ in range(4)
            ]
            assert [process.wait(60) for process in processes] == [0, 0, 0, 0]
            assert len(brain.agnost_sessions()) == 1
            assert len(brain.agnost_events()) == 20

    def test_a_file_that_cannot_be_used_costs_only_that_memory(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "file").touch()
        with (
            LocalBrain() as brain,
            pipeline(brain.url, **agnost(brain, sdk_key=None, spool_dir=tmp_path / "file")) as sender,
        ):
            session = str(uuid4())
            for _ in range(5):
                sender.put(Item(session_id=session))
            assert sender.flush(30)
            assert len(brain.agnost_sessions()) == 1
        assert "announced to Agnost more than once" in caplog.text

    @pytest.mark.slow
    def test_a_file_that_others_write_to_for_long_costs_only_that_memory(self, tmp_path: Path) -> None:
        session = str(uuid4())
        with LocalBrain() as brain:
            values = agnost(brain, sdk_key=None, spool_dir=tmp_path / "spool", max_retries=0)
            with pipeline(brain.url, **values) as sender:
                sender.put(Item(session_id=str(uuid4())))
                assert sender.flush(30)
                (file,) = (tmp_path / "spool").glob("otas-agnost-sessions-*.sqlite3")
                with closing(sqlite3.connect(file, isolation_level=None)) as other:
                    other.execute("BEGIN IMMEDIATE")
                    for _ in range(2):
                        sender.put(Item(session_id=session))
                    assert sender.flush(60)
            assert (sender.stats()["delivered"], sender.stats()["dropped"]) == (3, {})

    def test_an_announcement_that_fails_by_a_fault_is_nobody_elses_to_wait_for(self, tmp_path: Path) -> None:
        envelope = Item(session_id=str(uuid4())).envelope()
        destination = AgnostDestination("http://agnost.invalid", str(uuid4()), tmp_path / "spool")

        def fail(_request: Request) -> Outcome:
            raise ValueError("a transport of the user's own")

        with pytest.raises(ValueError, match="own"):
            destination.prologue(envelope, fail)
        (file,) = (tmp_path / "spool").glob("otas-agnost-sessions-*.sqlite3")
        with closing(sqlite3.connect(file)) as book:
            assert book.execute("SELECT confirmed FROM announced").fetchall() == []
            assert destination.prologue(envelope, lambda _request: DELIVERED) is None
            assert book.execute("SELECT confirmed FROM announced").fetchall() == [(1,)]
