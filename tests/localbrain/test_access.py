"""A Brain that other machines can reach shows what it stored to those who know its access token, and to nobody else."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING

import pytest

from cli.process import RunningBrain, run
from localbrain.wire import Client
from otas_middleware._errors import ConfigurationError
from otas_middleware.localbrain import LocalBrain

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "a secret of some length"
READS = ["/_page/events", "/_page/feed", "/_page/export.json", "/_page/event?id=1", "/_local/state", "/_local/events"]
CHANGES = ["/_page/clear", "/_page/new-session", "/_local/faults/clear"]


@pytest.fixture
def guarded() -> Iterator[Client]:
    """On another loopback address, as it would be on one that others reach."""
    with LocalBrain(access_token=TOKEN, allow_hosts=["brain"]) as brain:
        client = Client(brain)
        client.log()
        yield client


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "brain.example"])
def test_an_address_that_others_reach_is_refused_without_an_access_token(host: str) -> None:
    with pytest.raises(ConfigurationError, match="--access-token"):
        LocalBrain(host=host)
    LocalBrain(host=host, access_token=TOKEN)


def test_a_short_access_token_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="fewer than 16 characters") as caught:
        LocalBrain(access_token="not long enough").start()
    assert "not long" not in str(caught.value)


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer \xe4"},
        {"Cookie": f"local_brain_access={TOKEN}"},
        {"Cookie": "local_brain_access="},
        {"Cookie": ";;=\xe4"},
    ],
    ids=repr,
)
def test_nothing_is_shown_without_it(guarded: Client, path: str, headers: dict[str, str]) -> None:
    answer = guarded.get(path, headers)
    assert (answer.status, answer.json) == (401, {"error": "this Brain's access token is needed"})


@pytest.mark.parametrize("path", CHANGES)
def test_nothing_is_changed_without_it(guarded: Client, path: str) -> None:
    assert guarded.post(path, {}).status == 401
    assert len(guarded.brain.events()) == 1


def test_a_program_shows_it_as_a_bearer(guarded: Client) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert len(guarded.get("/_local/events", headers).json["events"]) == 1
    assert guarded.post("/_page/clear", {}, headers).status == 200


def test_the_page_shows_it_once_and_has_a_cookie_then(guarded: Client) -> None:
    assert guarded.get("/").status == 200
    assert guarded.get("/_page/app.js").status == 200
    for wrong in (b"{}", b"[]", b"{", b'{"token": 1}'):
        assert guarded.post("/_page/access", wrong).status in {400, 403}
    assert guarded.post("/_page/access", {"token": "wrong"}).status == 403
    answer = guarded.post("/_page/access", {"token": TOKEN})
    assert answer.status == 200
    cookie, *attributes = answer.headers["set-cookie"].split("; ")
    assert {"httponly", "samesite=strict"} <= {attribute.lower() for attribute in attributes}
    assert TOKEN not in cookie
    assert guarded.get("/_page/events", {"Cookie": cookie}).status == 200


def test_senders_need_their_keys_and_nothing_else(guarded: Client) -> None:
    assert guarded.log().status == 201
    assert guarded.post("/api/v1/backend/log/agent/", b"{}", guarded.agent_headers).status == 400


def test_a_further_name_is_answered_and_others_are_not(guarded: Client) -> None:
    for host, status in (("brain", 401), ("BRAIN:8002", 401), ("other", 400)):
        assert guarded.get("/_local/state", {"Host": host}).status == status


def test_the_url_names_an_address_that_can_be_called() -> None:
    with LocalBrain(host="0.0.0.0", access_token=TOKEN) as brain:
        assert brain.url == f"http://127.0.0.1:{brain.port}"
        assert Client(brain).log().status == 201
    with LocalBrain(host="0.0.0.0", access_token=TOKEN, allow_hosts=["brain"]) as brain:
        assert brain.environment()["OTAS_BRAIN_URL"] == f"http://brain:{brain.port}"


def test_the_command_takes_the_token_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = run("brain", "--port", "0", "--host", "0.0.0.0")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "LOCAL_BRAIN_ACCESS_TOKEN" in refused.stderr
    monkeypatch.setenv("LOCAL_BRAIN_ACCESS_TOKEN", TOKEN)
    with RunningBrain("--host", "127.0.0.2", "--allow-host", "brain") as brain:
        port = int(brain.environment["OTAS_BRAIN_URL"].rpartition(":")[2])
        connection = http.client.HTTPConnection("127.0.0.2", port)
        for headers, status in (({}, 401), ({"Authorization": f"Bearer {TOKEN}"}, 200)):
            connection.request("GET", "/_local/state", headers={**headers, "Host": "brain"})
            response = connection.getresponse()
            assert json.loads(response.read())
            assert response.status == status
        connection.close()
        assert TOKEN not in brain.introduction
