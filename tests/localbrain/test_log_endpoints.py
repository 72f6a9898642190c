"""The two log endpoints: who may log, in which order things are checked, and what is stored."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from localbrain.wire import AGENT, EVENT, SDK, Client

if TYPE_CHECKING:
    from otas_middleware.localbrain import LocalBrain

FULL_EVENT: dict[str, Any] = {
    **EVENT,
    "request_size_bytes": 17,
    "response_size_bytes": 2_147_483_647,
    "request_headers": '{"accept": "*/*"}',
    "request_body": "ä" * 10,
    "query_params": "a=1&b=2",
    "post_data": "x=y",
    "response_headers": "{}",
    "response_body": "",
    "request_content_type": "application/json",
    "response_content_type": "text/plain",
    "custom_properties": {"order_id": 42, "nested": [None, True, 1.5, "é"]},
    "error": "404 Not Found",
    "metadata": {"event_id": "e", "route": "/orders/{order_id}"},
}


def claims(brain: LocalBrain, **changes: object) -> dict[str, object]:
    """The claims of a session that began ten seconds ago."""
    now = int(time.time())
    usual = {"agent_session_id": str(uuid4()), "agent_id": brain.agent_id, "exp": now + 3600, "iat": now - 10}
    return {name: value for name, value in {**usual, **changes}.items() if value is not None}


def test_a_backend_gets_no_event_id(client: Client) -> None:
    answer = client.log()
    assert answer.status == 201
    assert answer.body == b'{"status": 1, "status_description": "event_captured", "response": {}}'


def test_an_agent_gets_the_id_of_its_event(brain: LocalBrain, client: Client) -> None:
    answer = client.post(AGENT, EVENT, client.agent_headers)
    assert answer.status == 201
    assert answer.json == {
        "status": 1,
        "status_description": "event_captured",
        "response": {"event_id": brain.events()[0]["event_id"]},
    }


def test_the_record_holds_what_was_sent(brain: LocalBrain, client: Client) -> None:
    before = time.time()
    assert client.log(FULL_EVENT).status == 201
    (event,) = brain.events()
    sent = {name: value for name, value in FULL_EVENT.items() if name != "project_id"}
    assert {name: event[name] for name in sent} == sent  # type: ignore[literal-required]
    assert before <= event["arrived_at"] <= time.time()
    assert event["event_date"] == time.strftime("%Y-%m-%d", time.gmtime(event["arrived_at"]))


def test_the_project_is_the_keys_whatever_was_sent(brain: LocalBrain, client: Client) -> None:
    client.log(project_id=None)
    client.post(AGENT, EVENT, client.agent_headers)
    assert [(event["project_id"], event["source"]) for event in brain.events()] == [
        (brain.project_id, "backend"),
        (brain.project_id, "agent"),
    ]


def test_the_session_and_the_agent_are_the_tokens(brain: LocalBrain, client: Client) -> None:
    client.log(agent_id="forged", agent_session_id="forged")
    (event,) = brain.events(client.session_id)
    assert event["agent_id"] == brain.agent_id


def test_what_is_left_out_is_null_and_sizes_are_zero(brain: LocalBrain, client: Client) -> None:
    client.log()
    (event,) = brain.events()
    assert (event["request_size_bytes"], event["response_size_bytes"]) == (0, 0)
    assert [event["request_body"], event["error"], event["metadata"], event["custom_properties"]] == [None] * 4


def test_unknown_fields_are_ignored(brain: LocalBrain, client: Client) -> None:
    chosen = str(uuid4())
    assert client.log(event_id=chosen, event_time="2001-01-01", timestamp=1, other={"a": 1}).status == 201
    (event,) = brain.events()
    assert event["event_id"] != chosen
    assert UUID(event["event_id"]).version == 4
    assert time.time() - event["arrived_at"] < 60


def test_events_come_back_in_the_order_of_arrival(brain: LocalBrain, client: Client) -> None:
    for number in range(5):
        client.log(path=f"/{number}")
    assert [event["path"] for event in brain.events()] == ["/0", "/1", "/2", "/3", "/4"]


def test_a_backends_post_is_checked_in_the_documented_order(brain: LocalBrain, client: Client) -> None:
    """Each request has all later faults as well, and the answer names the first."""
    nothing: dict[str, str] = {}
    wrong_key = {"X-OTAS-SDK-KEY": "otas_wrong_key"}
    only_key = {"X-OTAS-SDK-KEY": brain.sdk_key}
    bad_token = {**only_key, "X-OTAS-AGENT-SESSION-TOKEN": "not.a.token"}
    fine = client.sdk_headers
    steps = [
        (nothing, b"{", 401, "missing_sdk_key"),
        (wrong_key, b"{", 401, "invalid_sdk_key"),
        (only_key, b"{", 401, "missing_agent_session_token"),
        (bad_token, b"{", 401, "invalid_or_expired_token"),
        (fine, b"{", 400, "invalid_json"),
        (fine, b'{"path": null}', 400, "missing_required_fields"),
        (fine, json.dumps({**EVENT, "path": None}).encode(), 500, "event_capture_failed"),
    ]
    for headers, body, status, description in steps:
        answer = client.post(SDK, body, headers)
        assert (answer.status, answer.description, answer.json["status"]) == (status, description, 0)
    assert brain.events() == []


def test_an_agents_post_is_checked_in_the_documented_order(brain: LocalBrain, client: Client) -> None:
    only_key = {"X-OTAS-AGENT-KEY": brain.agent_key}
    foreign = brain.create_session(agent_id=brain.add_agent().agent_id)
    steps: list[tuple[dict[str, str], bytes, int, str]] = [
        ({}, b"{", 401, "missing_agent_key"),
        ({"X-OTAS-AGENT-KEY": "agent_wrong_key"}, b"{", 401, "invalid_or_expired_agent_key"),
        (only_key, b"{", 401, "missing_agent_session_token"),
        ({**only_key, "X-OTAS-AGENT-SESSION-TOKEN": "x"}, b"{", 401, "invalid_or_expired_token"),
        ({**only_key, "X-OTAS-AGENT-SESSION-TOKEN": foreign}, b"{", 403, "session_agent_mismatch"),
        (client.agent_headers, b"{", 400, "invalid_json"),
        (client.agent_headers, b"{}", 400, "missing_required_fields"),
        (client.agent_headers, json.dumps({**EVENT, "status_code": -1}).encode(), 500, "event_capture_failed"),
    ]
    for headers, body, status, description in steps:
        answer = client.post(AGENT, body, headers)
        assert (answer.status, answer.description) == (status, description)
    assert brain.events() == []


def test_a_body_over_the_limit_is_looked_at_only_after_the_key_and_the_token(client: Client) -> None:
    large = b" " * 2_621_441
    assert client.post(SDK, large).description == "missing_sdk_key"
    assert client.post(SDK, large, client.sdk_headers).status == 400


def test_an_empty_header_is_a_missing_one(client: Client) -> None:
    assert client.post(SDK, EVENT, {**client.sdk_headers, "X-OTAS-SDK-KEY": ""}).description == "missing_sdk_key"
    headers = {**client.sdk_headers, "X-OTAS-AGENT-SESSION-TOKEN": ""}
    assert client.post(SDK, EVENT, headers).description == "missing_agent_session_token"


def test_a_valid_key_without_a_token_writes_nothing(brain: LocalBrain, client: Client) -> None:
    answer = client.post(SDK, EVENT, {"X-OTAS-SDK-KEY": brain.sdk_key})
    assert (answer.status, answer.description) == (401, "missing_agent_session_token")
    assert brain.events() == []


def test_missing_fields_are_named_in_the_documents_order(client: Client) -> None:
    answer = client.log({"latency_ms": 1, "method": "GET"})
    assert answer.json["missing_fields"] == ["project_id", "path", "status_code"]
    assert client.log(b"").json["missing_fields"] == list(EVENT)


def test_a_revoked_key_is_invalid_and_its_sessions_stay_valid(brain: LocalBrain, client: Client) -> None:
    brain.revoke(brain.agent_key)
    assert client.post(AGENT, EVENT, client.agent_headers).description == "invalid_or_expired_agent_key"
    assert client.log().status == 201
    brain.revoke(brain.sdk_key)
    assert client.log().description == "invalid_sdk_key"


def test_a_token_works_for_every_projects_key(brain: LocalBrain, client: Client) -> None:
    other = brain.add_project("other")
    answer = client.post(SDK, EVENT, {**client.sdk_headers, "X-OTAS-SDK-KEY": other.sdk_key})
    assert answer.status == 201
    assert brain.events()[0]["project_id"] == other.project_id


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1},
        {"exp": "soon"},
        {"agent_session_id": None},
        {"agent_id": None},
        {"agent_session_id": ""},
        {"agent_id": ""},
    ],
    ids=repr,
)
def test_a_token_with_bad_claims_is_refused(brain: LocalBrain, client: Client, changes: dict[str, object]) -> None:
    client.token = brain.sign(claims(brain, **changes))
    assert client.log().description == "invalid_or_expired_token"


@pytest.mark.parametrize(("name", "seconds"), [("exp", -1), ("iat", 3600), ("nbf", 3600)])
def test_a_token_outside_its_time_is_refused(brain: LocalBrain, client: Client, name: str, seconds: int) -> None:
    client.token = brain.sign(claims(brain, **{name: int(time.time()) + seconds}))
    assert client.log().description == "invalid_or_expired_token"


def test_a_token_issued_two_seconds_ahead_is_refused_until_its_time(brain: LocalBrain, client: Client) -> None:
    client.token = brain.sign(claims(brain, iat=int(time.time()) + 2))
    assert client.log().description == "invalid_or_expired_token"
    deadline = time.monotonic() + 5
    while client.log().status != 201:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_token_needs_no_times(brain: LocalBrain, client: Client) -> None:
    client.token = brain.sign(claims(brain, exp=None, iat=None))
    assert client.log().status == 201


def test_a_token_that_was_valid_expires(brain: LocalBrain, client: Client) -> None:
    client.token = brain.sign(claims(brain, exp=int(time.time() + 0.5) + 1))
    assert client.log().status == 201
    deadline = time.monotonic() + 5
    while client.log().status == 201:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_token_with_another_signature_or_algorithm_is_refused(brain: LocalBrain, client: Client) -> None:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    genuine = brain.sign(claims(brain))
    header, payload, signature = genuine.split(".")
    forged = [
        f"{header}.{part(claims(brain))}.{signature}",
        f"{header}.{payload}.{signature[:-4]}AAAA",
        f"{part({'alg': 'none'})}.{payload}.",
        f"{part({'alg': 'HS512', 'typ': 'JWT'})}.{payload}.{signature}",
        f"{header}.{payload}",
        f"{genuine}.{genuine}",
        "ä.ö.ü",
        "...",
        payload,
    ]
    for token in forged:
        headers = {**client.sdk_headers, "X-OTAS-AGENT-SESSION-TOKEN": token.encode().decode("latin-1")}
        assert client.post(SDK, EVENT, headers).description == "invalid_or_expired_token", token
    assert client.post(SDK, EVENT, {**client.sdk_headers, "X-OTAS-AGENT-SESSION-TOKEN": genuine}).status == 201
