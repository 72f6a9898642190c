"""UASAM's three endpoints."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from localbrain.wire import AGENT, AUTHENTICATE, CREATE_SESSION, EVENT, VERIFY, Client

if TYPE_CHECKING:
    from otas_middleware.localbrain import LocalBrain


def key_of(brain: LocalBrain) -> dict[str, str]:
    return {"X-OTAS-AGENT-KEY": brain.agent_key}


def test_a_session_is_a_token_with_the_documented_claims(brain: LocalBrain, client: Client) -> None:
    answer = client.post(CREATE_SESSION, {"meta": {"task": "refund 42"}}, key_of(brain))
    assert (answer.status, answer.description) == (200, "agent_session_created")
    response = answer.json["response"]
    assert response["Header_value"] == "X-OTAS-AGENT-SESSION-TOKEN"
    header, payload, _ = (part + "=" * (-len(part) % 4) for part in response["jwt_token"].split("."))
    assert json.loads(base64.urlsafe_b64decode(header)) == {"alg": "HS256", "typ": "JWT"}
    claims = json.loads(base64.urlsafe_b64decode(payload))
    assert set(claims) == {"agent_session_id", "agent_id", "exp", "iat"}
    assert claims["agent_id"] == brain.agent_id
    assert UUID(claims["agent_session_id"]).version == 4
    assert claims["exp"] - claims["iat"] == 30 * 24 * 3600
    assert abs(claims["iat"] - time.time()) < 60
    assert 250 < len(response["jwt_token"]) < 300


def test_a_session_can_be_used_at_once_and_is_kept_with_its_meta(brain: LocalBrain, client: Client) -> None:
    client.token = client.post(CREATE_SESSION, {"meta": {"task": 1}}, key_of(brain)).json["response"]["jwt_token"]
    assert client.log().status == 201
    assert client.post(AGENT, EVENT, client.agent_headers).status == 201
    assert len(brain.events(client.session_id)) == 2
    assert brain.sessions()[-1] | {"created_at": 0} == {
        "id": client.session_id,
        "agent_id": brain.agent_id,
        "created_at": 0,
        "meta": {"task": 1},
    }


@pytest.mark.parametrize("body", [b"", b"{}", b'{"meta": null}', b'{"meta": {}}', b'{"other": 1}'])
def test_the_meta_may_be_left_out(brain: LocalBrain, client: Client, body: bytes) -> None:
    assert client.post(CREATE_SESSION, body, key_of(brain)).status == 200
    assert brain.sessions()[-1]["meta"] == {}


def test_two_sessions_are_two(brain: LocalBrain, client: Client) -> None:
    tokens = {client.post(CREATE_SESSION, {}, key_of(brain)).json["response"]["jwt_token"] for _ in range(3)}
    assert len({brain.session_id(token) for token in tokens}) == 3


@pytest.mark.parametrize("key", [None, "", "x", "agent_a_b", "otas_a_b", "agent__", "agent"])
@pytest.mark.parametrize("path", [CREATE_SESSION, VERIFY])
def test_a_bad_agent_key_is_refused_before_the_body(client: Client, path: str, key: str | None) -> None:
    answer = client.post(path, b"{", {} if key is None else {"X-OTAS-AGENT-KEY": key})
    assert (answer.status, answer.description) == (401, "invalid_agent_key")


def test_an_agent_key_with_an_underscore_in_its_prefix_is_unusable(brain: LocalBrain, client: Client) -> None:
    agent = brain.add_agent(prefix="ab_cdefgh")
    assert client.post(CREATE_SESSION, {}, {"X-OTAS-AGENT-KEY": agent.agent_key}).description == "invalid_agent_key"
    usable = brain.add_agent(prefix="ab-cdefgh")
    assert client.post(CREATE_SESSION, {}, {"X-OTAS-AGENT-KEY": usable.agent_key}).status == 200


def test_a_body_that_cannot_be_used(brain: LocalBrain, client: Client) -> None:
    answer = client.post(CREATE_SESSION, b"{", key_of(brain))
    assert (answer.status, answer.description) == (400, "invalid_json")
    for body in (b"[]", b"1", b"\xff"):
        answer = client.post(CREATE_SESSION, body, key_of(brain))
        assert (answer.status, answer.is_page) == (500, True)


def test_an_sdk_key_opens_its_project(brain: LocalBrain, client: Client) -> None:
    answer = client.post(AUTHENTICATE, b"", {"X-OTAS-SDK-KEY": brain.sdk_key})
    assert (answer.status, answer.description) == (200, "authenticated")
    project = answer.json["response"]["project"]
    assert set(project) == {"id", "name", "description"}
    assert project["id"] == brain.project_id
    other = brain.add_project("Other")
    answer = client.post(AUTHENTICATE, b"", {"X-OTAS-SDK-KEY": other.sdk_key})
    assert answer.json["response"]["project"]["name"] == "Other"


@pytest.mark.parametrize(
    ("key", "status", "error"),
    [
        (None, 401, "SDK Key missing"),
        ("", 401, "SDK Key missing"),
        ("nothing", 403, "Invalid Key Format"),
        ("otas_only", 403, "Invalid Key Format"),
        ("otas_wrong_key", 403, "Invalid SDK Key"),
        ("agent_wrong_key", 403, "Invalid SDK Key"),
    ],
)
def test_a_bad_sdk_key_is_told_apart(client: Client, key: str | None, status: int, error: str) -> None:
    answer = client.post(AUTHENTICATE, b"", {} if key is None else {"X-OTAS-SDK-KEY": key})
    assert (answer.status, answer.json) == (status, {"error": error})


def test_a_revoked_sdk_key_is_refused(brain: LocalBrain, client: Client) -> None:
    brain.revoke(brain.sdk_key)
    assert client.post(AUTHENTICATE, b"", {"X-OTAS-SDK-KEY": brain.sdk_key}).status == 403


def test_an_agent_key_names_its_agent(brain: LocalBrain, client: Client) -> None:
    agent = brain.add_agent("Refunder")
    answer = client.post(VERIFY, {}, {"X-OTAS-AGENT-KEY": agent.agent_key})
    assert (answer.status, answer.description) == (200, "authenticated")
    assert answer.json["response"] == {
        "project_id": brain.project_id,
        "agent": {"id": agent.agent_id, "name": "Refunder", "provider": "local"},
    }
    brain.revoke(agent.agent_key)
    assert client.post(VERIFY, {}, {"X-OTAS-AGENT-KEY": agent.agent_key}).status == 401


def test_the_kinds_of_keys_are_not_mixed_up(brain: LocalBrain, client: Client) -> None:
    assert client.post(AUTHENTICATE, b"", {"X-OTAS-SDK-KEY": brain.agent_key}).status == 403
    assert client.post(CREATE_SESSION, {}, {"X-OTAS-AGENT-KEY": brain.sdk_key}).status == 401


def test_keys_have_the_documented_form(brain: LocalBrain) -> None:
    for key, scheme in ((brain.sdk_key, "otas"), (brain.agent_key, "agent")):
        found, prefix, secret = key.split("_", 2)
        assert found == scheme
        assert prefix.isalnum()
        assert len(secret) >= 32
