"""Agnost's two endpoints, in both published forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

if TYPE_CHECKING:
    from localbrain.wire import Answer, Client
    from otas_middleware.localbrain import LocalBrain

SESSION = "/api/v1/capture-session"
EVENT = "/api/v1/capture-event"
FIRST: dict[str, Any] = {
    "session_id": "conversation 17",
    "primitive_name": "POST /orders/{order_id}",
    "primitive_type": "tool",
    "success": True,
    "latency": 342,
}
SECOND: dict[str, Any] = {
    "event_id": str(uuid4()),
    "session_id": str(uuid4()),
    "primitive_name": "POST /orders/{order_id}",
    "args": '{"q": 1}',
    "result": "",
}
BOTH: dict[str, Any] = {
    **FIRST,
    **SECOND,
    "timestamp": 1_714_867_201_000,
    "parent_id": str(uuid4()),
    "checkpoints": [{"name": "cache_lookup", "timestamp": 5, "metadata": {"rows": "5"}}],
    "metadata": {"trace_id": "abc"},
}


def post(client: Client, path: str, body: object, **headers: str) -> Answer:
    return client.post(path, body, {"X-Org-Id": client.brain.agnost_org_id, **headers})


def test_a_session_is_echoed_and_kept(brain: LocalBrain, client: Client) -> None:
    body = {
        "session_id": str(uuid4()),
        "user_data": {"user_id": "agent"},
        "client_config": "otas",
        "connection_type": "http",
        "ip": "127.0.0.1",
        "tools": ["a", "b"],
        "metadata": {"task": 1},
        "timestamp": 1_714_867_201_000,
        "unknown": None,
    }
    answer = post(client, SESSION, body)
    assert (answer.status, answer.json) == (200, {"session_id": body["session_id"]})
    (kept,) = brain.agnost_sessions()
    assert kept["body"] == body
    assert kept["session_uuid"] == body["session_id"]
    assert kept["org_id"] == brain.agnost_org_id


def test_a_session_id_that_is_no_uuid_always_becomes_the_same_one(brain: LocalBrain, client: Client) -> None:
    for session_id in ("one", "one", "two"):
        assert post(client, SESSION, {"session_id": session_id}).json == {"session_id": session_id}
    first, again, other = (UUID(session["session_uuid"]) for session in brain.agnost_sessions())
    assert first == again != other


@pytest.mark.parametrize(
    ("body", "forms"), [(FIRST, ["first"]), (SECOND, ["second"]), (BOTH, ["first", "second"])], ids=["1", "2", "both"]
)
def test_an_event_of_either_form_is_taken(
    brain: LocalBrain, client: Client, body: dict[str, Any], forms: list[str]
) -> None:
    answer = post(client, EVENT, body)
    assert answer.status == 200
    (kept,) = brain.agnost_events()
    assert kept["forms"] == forms
    assert kept["body"] == body
    assert answer.json == {"event_id": kept["event_id"]}
    assert kept["event_id"] == body.get("event_id", kept["event_id"])
    assert str(UUID(kept["event_id"])) == kept["event_id"]


def test_it_is_noted_whether_the_session_came_before_its_event(brain: LocalBrain, client: Client) -> None:
    post(client, EVENT, FIRST)
    post(client, SESSION, {"session_id": FIRST["session_id"]})
    post(client, EVENT, FIRST)
    post(client, EVENT, SECOND)
    assert [event["session_known"] for event in brain.agnost_events()] == [False, True, False]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"primitive_type": "thing"}, "primitive_type must be one of tool, resource, prompt"),
        ({"primitive_name": ""}, "primitive_name must be a string"),
        ({"success": "yes"}, "success must be true or false"),
        ({"latency": 1.5}, "latency must be an integer, in milliseconds"),
        ({"latency": True}, "latency must be an integer, in milliseconds"),
        ({"latency": ...}, "latency is required"),
        ({"session_id": ...}, "session_id is required"),
        ({"success": ...}, "success is required"),
        ({"args": {"q": 1}}, "args must be a string"),
        ({"metadata": []}, "metadata must be an object"),
        ({"checkpoints": [{"name": "x"}]}, "checkpoints must be an array"),
        ({"checkpoints": [{"name": "x", "timestamp": 1, "metadata": {"rows": 5}}]}, "checkpoints must be an array"),
        ({"checkpoints": ["x"]}, "checkpoints must be an array"),
    ],
    ids=repr,
)
def test_what_the_first_form_refuses(brain: LocalBrain, client: Client, changes: dict[str, object], error: str) -> None:
    answer = post(client, EVENT, changed(FIRST, changes))
    assert answer.status == 400
    assert error in answer.json["error"]
    assert brain.agnost_events() == []


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"event_id": "17"}, "event_id must be a UUID"),
        ({"session_id": "17"}, "session_id must be a UUID"),
        ({"args": ...}, "args is required"),
        ({"result": ...}, "result is required"),
        ({"result": {"a": 1}}, "result must be a string"),
        ({"parent_id": "17"}, "parent_id must be a UUID"),
        ({"parent_id": None}, "parent_id must be a UUID"),
        ({"metadata": {"rows": 5}}, "metadata must be an object of strings"),
        ({"timestamp": "now"}, "timestamp must be an integer, in milliseconds"),
    ],
    ids=repr,
)
def test_what_the_second_form_refuses(
    brain: LocalBrain, client: Client, changes: dict[str, object], error: str
) -> None:
    answer = post(client, EVENT, changed(SECOND, changes))
    assert answer.status == 400
    assert error in answer.json["error"]
    assert brain.agnost_events() == []


def changed(body: dict[str, Any], changes: dict[str, object]) -> dict[str, Any]:
    """Replace fields; an ellipsis leaves one out."""
    return {name: value for name, value in {**body, **changes}.items() if value is not ...}


@pytest.mark.parametrize("path", [SESSION, EVENT])
def test_the_organisation_is_checked_before_the_body(client: Client, path: str) -> None:
    for headers in ({}, {"X-Org-Id": ""}, {"X-Org-Id": "17"}, {"X-Org-Id": str(uuid4())}):
        answer = client.post(path, b"{", headers)
        assert answer.status == 401
        assert answer.json["error"]


def test_the_organisation_is_spelled_in_either_case(client: Client) -> None:
    assert post(client, EVENT, FIRST, **{"X-Org-Id": client.brain.agnost_org_id.upper()}).status == 200


@pytest.mark.parametrize("path", [SESSION, EVENT])
@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b"null", b" " * 2_621_441], ids=lambda body: repr(body[:4]))
def test_a_body_that_is_no_object(client: Client, path: str, body: bytes) -> None:
    answer = post(client, path, body)
    assert (answer.status, answer.json) == (400, {"error": "the body must be a JSON object"})


@pytest.mark.parametrize("body", [{"session_id": 1}, {"tools": "a"}, {"user_data": []}, {"timestamp": "now"}], ids=repr)
def test_a_bad_session_is_refused(brain: LocalBrain, client: Client, body: dict[str, object]) -> None:
    answer = post(client, SESSION, body)
    assert answer.status == 400
    assert "must be" in answer.json["error"]
    assert brain.agnost_sessions() == []


def test_a_slash_too_many_is_not_found(client: Client) -> None:
    assert post(client, EVENT + "/", FIRST).status == 404
