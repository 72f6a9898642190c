"""The endpoints under `/_local/`, for tests and tools in other processes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from localbrain.wire import VERIFY, Client

if TYPE_CHECKING:
    from otas_middleware.localbrain import LocalBrain

STATE, EVENTS, AGNOST = "/_local/state", "/_local/events", "/_local/agnost"
FAULTS, CLEAR = "/_local/faults", "/_local/faults/clear"


def test_the_state_tells_how_much_is_stored(brain: LocalBrain, client: Client) -> None:
    client.log()
    client.post("/api/v1/capture-session", {}, {"X-Org-Id": brain.agnost_org_id})
    assert client.get(STATE).json == {
        "stored": {"event": 1, "session": 1, "agnost_session": 1, "agnost_event": 0},
        "slow_ms": 0.0,
        "fail_rate": 0.0,
        "faults": [],
    }


def test_faults_come_and_go_by_http(client: Client) -> None:
    answer = client.post(FAULTS, {"mode": "capture-failed", "services": ["brain"], "times": 2})
    assert (answer.status, answer.json["faults"]) == (200, [{"mode": "capture-failed", "services": ["brain"]}])
    assert [client.log().status for _ in range(3)] == [500, 500, 201]
    assert client.post(FAULTS, {"fail_rate": 1, "slow_ms": 50}).json["fail_rate"] == 1
    assert client.log().status == 500
    assert client.post(CLEAR, {}).json["slow_ms"] == 0
    assert client.log().status == 201
    client.post(FAULTS, {"mode": "busy", "services": ["uasam"], "seconds": 60, "rate": 1})
    assert client.post(VERIFY, {}, client.agent_headers).status == 503


def test_it_can_be_sent_down_for_a_time(client: Client) -> None:
    assert client.post(FAULTS, {"mode": "down", "seconds": 0.3}).status == 200
    time.sleep(0.1)
    with pytest.raises(ConnectionRefusedError):
        client.log()
    assert client.post(FAULTS, {"mode": "down"}).status == 400 if answers(client) else False


def answers(client: Client) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            return client.get(STATE).status == 200
        except OSError:
            time.sleep(0.01)
    return False


def test_it_can_be_told_to_go_down_after_some_events(client: Client) -> None:
    client.post(FAULTS, {"down_after": 1})
    assert client.log().status == 201
    with pytest.raises(ConnectionError):
        client.log()


@pytest.mark.parametrize(
    ("order", "named"),
    [
        ({"mode": "explode"}, "mode"),
        ({"mode": "busy", "rate": 2}, "rate"),
        ({"mode": "busy", "seconds": 0}, "seconds"),
        ({"mode": "busy", "times": 0}, "times"),
        ({"mode": "busy", "services": ["moon"]}, "services"),
        ({"slow_ms": -1}, "slow_ms"),
        ({"slow": 1}, "slow"),
        ([], ""),
    ],
)
def test_a_bad_order_names_what_is_wrong(client: Client, order: Any, named: str) -> None:
    answer = client.post(FAULTS, order)
    assert answer.status == 400
    assert named in answer.json["error"]
    assert client.log().status == 201


@pytest.mark.parametrize("path", [FAULTS, CLEAR])
def test_a_web_page_cannot_use_it(client: Client, path: str) -> None:
    """A page may post across origins, but neither JSON without asking first, nor without its origin."""
    order = b'{"mode": "capture-failed"}'
    for headers in ({"Content-Type": "text/plain"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        answer = client.post(path, order, headers)
        assert answer.status == 403
    asked = client.request("OPTIONS", path, headers={"Origin": "http://evil.example"})
    assert not any(name.startswith("access-control") for name in asked.headers)
    assert client.log().status == 201


def test_events_are_read_without_keys(brain: LocalBrain, client: Client) -> None:
    other = Client(brain)
    for number in range(3):
        client.log(path=f"/{number}", metadata={"n": number})
        other.log(path=f"/other/{number}")
    found = client.get(EVENTS).json["events"]
    assert found == [dict(event) for event in brain.events()]
    own = client.get(f"{EVENTS}?session_id={client.session_id}").json["events"]
    assert [event["path"] for event in own] == ["/0", "/1", "/2"]
    assert own[0]["metadata"] == {"n": 0}
    later = client.get(f"{EVENTS}?session_id={client.session_id}&after={own[0]['id']}&limit=1").json["events"]
    assert [event["path"] for event in later] == ["/1"]
    assert client.get(f"{EVENTS}?limit=x").status == 400


def test_agnosts_records_are_read_too(brain: LocalBrain, client: Client) -> None:
    org = {"X-Org-Id": brain.agnost_org_id}
    client.post("/api/v1/capture-session", {"session_id": "a"}, org)
    client.post(
        "/api/v1/capture-event",
        {"session_id": "a", "primitive_name": "t", "primitive_type": "tool", "success": True, "latency": 1},
        org,
    )
    found = client.get(AGNOST).json
    assert [session["session_id"] for session in found["sessions"]] == ["a"]
    assert [event["body"]["primitive_name"] for event in found["events"]] == ["t"]


def test_only_the_documented_methods_are_answered(client: Client) -> None:
    assert client.get(FAULTS).status == 405
    assert client.post(STATE).status == 405
