"""A refused key: a bad one is told from an outage, nothing is switched off for good, and the project is learnt."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from otas_middleware._delivery.destinations import NIL_PROJECT
from otas_middleware._delivery.destinations.uasam import KeyState, key_state
from otas_middleware._delivery.protocols import Response
from otas_middleware.localbrain import LocalBrain, Mode
from support.delivery import Item, RawServer, answer, created, eventually, pipeline

if TYPE_CHECKING:
    import socket

    from support.delivery import Received


def test_a_bad_key_is_called_bad(caplog: pytest.LogCaptureFixture) -> None:
    with (
        LocalBrain() as brain,
        pipeline(brain.url, sdk_key="otas_gone_secretsecret", uasam_url=brain.url, max_retry_delay=0.1) as sender,
    ):
        sender.put(Item(token=brain.create_session()))
        eventually(lambda: "not a valid key" in caplog.text)
        eventually(lambda: sender.stats()["failures"].get("invalid_sdk_key", 0) >= 3)
        stats = sender.stats()
        assert (stats["queued"], stats["dropped"], stats["state"]) == (1, {}, "invalid_sdk_key")
        assert "secretsecret" not in caplog.text
        assert [record.levelname for record in caplog.records].count("ERROR") == 1


def test_an_outage_is_called_an_outage_and_survived(caplog: pytest.LogCaptureFixture) -> None:
    with (
        LocalBrain() as brain,
        pipeline(brain.url, sdk_key=brain.sdk_key, uasam_url=brain.url, project_id=UUID(brain.project_id)) as sender,
    ):
        with brain.faults.inject(Mode.OUTAGE, "brain", "uasam"):
            sender.put(Item(token=brain.create_session()))
            eventually(lambda: "most likely an outage" in caplog.text)
            assert "not a valid key" not in caplog.text
        eventually(lambda: sender.stats()["delivered"] == 1)


def test_a_brain_that_cannot_reach_uasam_is_told_from_both(caplog: pytest.LogCaptureFixture) -> None:
    with (
        LocalBrain() as brain,
        pipeline(brain.url, sdk_key=brain.sdk_key, uasam_url=brain.url, project_id=UUID(brain.project_id)) as sender,
    ):
        with brain.faults.inject(Mode.OUTAGE, "brain"):
            sender.put(Item(token=brain.create_session()))
            eventually(lambda: "the key is valid" in caplog.text)
        eventually(lambda: sender.stats()["delivered"] == 1)


def test_an_unknown_uasam_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with (
        LocalBrain() as brain,
        pipeline(brain.url, sdk_key=brain.sdk_key, uasam_url="http://127.0.0.1:9") as sender,
    ):
        with brain.faults.inject(Mode.OUTAGE, times=2):
            sender.put(Item(token=brain.create_session()))
            eventually(lambda: sender.stats()["delivered"] == 1)
        assert "most likely an outage" in caplog.text


def test_the_project_is_learnt_in_the_background() -> None:
    project = "6b2c1d52-9f3e-4d5c-8a41-1c7d2b8e4f00"
    answers = {
        b"/api/project/v1/sdk/backend/key/authenticate/": answer(
            "200 OK", json.dumps({"status": 1, "response": {"project": {"id": project}}}).encode()
        ),
        b"/api/v1/backend/log/sdk/": created(),
    }
    sent: list[str] = []

    def serve(connection: socket.socket, request: Received) -> None:
        path = request.data.split(b" ", 2)[1]
        if b"log" in path:
            sent.append(json.loads(request.body)["project_id"])
        connection.sendall(answers[path])

    with RawServer(serve) as server, pipeline(server.url, uasam_url=server.url) as sender:

        def knows_it() -> bool:
            sender.put(Item())
            assert sender.flush(10)
            return sent[-1] == project

        eventually(knows_it)
        assert set(sent) <= {NIL_PROJECT, project}
        asked = [request for request in server.requests if b"authenticate" in request.data]
        assert [request.header("X-OTAS-SDK-KEY") for request in asked] == ["otas_abcd_secretsecret"]


@pytest.mark.parametrize(
    ("status", "body", "state"),
    [
        (200, b'{"status":1,"response":{"project":{"id":"6b2c1d52-9f3e-4d5c-8a41-1c7d2b8e4f00"}}}', "good"),
        (200, b'{"status":1,"response":{"project":{"id":"no"}}}', "good"),
        (200, b"<html>please log in</html>", "unknown"),
        (200, b"[]", "unknown"),
        (403, b'{"error":"Invalid SDK Key"}', "bad"),
        (403, b'{"error":"Invalid Key Format"}', "bad"),
        (403, b"<html>forbidden by the firewall</html>", "unknown"),
        (401, b'{"error":"SDK Key missing"}', "unknown"),
        (500, b'{"error":"connection refused"}', "unknown"),
        (302, b"", "unknown"),
    ],
)
def test_only_uasams_own_answers_count(status: int, body: bytes, state: KeyState) -> None:
    assert key_state(Response(status, {}, body))[0] is state
