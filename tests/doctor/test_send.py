"""`otas-middleware doctor --send` delivers one event, with a token that is never shown."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING

import pytest

from doctor.relay import Relay
from otas_middleware.testing import make_token
from support.delivery import eventually

if TYPE_CHECKING:
    from doctor.conftest import Doctor
    from otas_middleware.localbrain import LocalBrain


def test_one_test_event_is_stored_in_the_tokens_session(doctor: Doctor, local: LocalBrain) -> None:
    token = local.create_session()
    doctor.variables["X_OTAS_AGENT_SESSION_TOKEN"] = token
    diagnosis = doctor("--send")
    (event,) = local.events(local.session_id(token))
    assert diagnosis.status == 0
    assert event["path"] == "/otas-middleware/doctor"
    assert event["custom_properties"] == {"otas_doctor": True}
    assert diagnosis.checks["send"]["data"]["event_id"] == event["metadata"]["event_id"]
    assert token not in diagnosis.output


def test_the_token_can_be_an_option(doctor: Doctor, local: LocalBrain) -> None:
    token = local.create_session()
    assert doctor("--send", "--token", token).status == 0
    assert len(local.events(local.session_id(token))) == 1


@pytest.mark.parametrize(
    ("carrier", "raised"), [("builtins:repr", "TypeError: repr() takes"), ("operator:eq", "AttributeError")]
)
def test_a_transport_of_ones_own_that_does_not_work_is_named(
    doctor: Doctor, local: LocalBrain, carrier: str, raised: str
) -> None:
    doctor.variables["OTAS_TRANSPORT"] = carrier
    said = doctor("--send", "--token", local.create_session()).failed["send"]
    assert f"the transport {carrier} raised {raised}" in said
    assert "returns a Response" in said


def test_what_such_a_transport_says_of_the_request_shows_neither_token_nor_key(
    doctor: Doctor, local: LocalBrain
) -> None:
    (doctor.folder / "carrier.py").write_text(
        "def send(request, timeout):\n    raise ValueError(f'illegal: {request.headers}')\n"
    )
    doctor.variables["OTAS_TRANSPORT"] = "carrier:send"
    token = local.create_session()
    diagnosis = doctor("--send", "--token", token)
    assert "raised ValueError: illegal" in diagnosis.failed["send"]
    assert token not in diagnosis.output
    assert local.sdk_key not in diagnosis.output


def test_a_token_without_send_sends_nothing(doctor: Doctor, local: LocalBrain) -> None:
    token = local.create_session()
    assert doctor("--token", token).checks["send"]["status"] == "skipped"
    assert local.events(local.session_id(token)) == []


def test_the_token_is_asked_for_and_not_echoed(doctor: Doctor, local: LocalBrain) -> None:
    token = local.create_session()
    primary, secondary = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "otas_middleware", "doctor", "--send"],
        stdin=secondary,
        stdout=secondary,
        stderr=secondary,
        cwd=doctor.folder,
        env={**os.environ, **doctor.variables},
        start_new_session=True,
    )
    eventually(lambda: not termios.tcgetattr(primary)[3] & termios.ECHO)  # what is typed before that is thrown away
    os.write(primary, token.encode() + b"\n")
    os.close(secondary)
    shown = b""
    with contextlib.suppress(OSError):  # the terminal's other end is closed
        while chunk := os.read(primary, 65536):
            shown += chunk
    os.close(primary)
    assert process.wait(20) == 0
    assert token.encode() not in shown
    assert b"Session token:" in shown
    assert b"one test event is stored" in shown
    assert len(local.events(local.session_id(token))) == 1


@pytest.mark.parametrize(
    ("token", "cause"),
    [
        ("not-a-token", "it is not a session token"),
        (make_token(expires_in=-120), "it has expired"),
        (make_token(agent_id=""), "it names no agent and session"),
    ],
)
def test_a_token_that_cannot_be_one_is_not_sent(doctor: Doctor, token: str, cause: str) -> None:
    diagnosis = doctor("--send", "--token", token)
    assert list(diagnosis.failed) == ["send"]
    assert cause in diagnosis.of("send")
    assert token not in diagnosis.output


def test_a_token_that_brain_refuses_is_said(doctor: Doctor) -> None:
    token = make_token()
    diagnosis = doctor("--send", "--token", token)
    assert list(diagnosis.failed) == ["send"]
    assert "Brain refuses the token (invalid_or_expired_token)" in diagnosis.of("send")
    assert token not in diagnosis.output


def test_a_token_from_the_future_by_brains_clock_is_told_from_a_bad_one(doctor: Doctor, local: LocalBrain) -> None:
    now = int(time.time())
    token = local.sign({"agent_session_id": "s", "agent_id": local.agent_id, "iat": now + 300, "exp": now + 3600})
    with Relay(local.url) as brain:
        doctor.variables["OTAS_BRAIN_URL"] = brain.url
        diagnosis = doctor("--send", "--token", token)
    assert re.search(r"by its clock it was issued (29\d|300) s in the future", diagnosis.failed["send"])


def test_nothing_is_sent_while_the_key_or_brain_is_at_fault(doctor: Doctor, local: LocalBrain) -> None:
    token = local.create_session()
    doctor.variables["OTAS_SDK_KEY"] = "otas_abcdefghijk_thisIsNotTheSecretOfAnyKey"
    diagnosis = doctor("--send", "--token", token)
    assert "no test event was sent, because of: sdk key" in diagnosis.failed["send"]
    assert local.events(local.session_id(token)) == []


def test_an_event_that_brain_cannot_store_is_said(doctor: Doctor, local: LocalBrain) -> None:
    with Relay(local.url, saves=False) as brain:
        doctor.variables["OTAS_BRAIN_URL"] = brain.url
        diagnosis = doctor("--send", "--token", local.create_session())
    assert list(diagnosis.failed) == ["send"]
    assert "Brain does not take the test event (event_capture_failed)" in diagnosis.of("send")
    assert "its log says why" in diagnosis.of("send")


def test_the_session_is_opened_with_the_agents_key_when_there_is_one(doctor: Doctor, local: LocalBrain) -> None:
    doctor.variables["OTAS_AGENT_KEY"] = local.agent_key
    diagnosis = doctor("--send")
    assert diagnosis.status == 0
    assert len(local.events(str(diagnosis.checks["send"]["data"]["session_id"]))) == 1
    assert local.agent_key not in diagnosis.output


def test_a_bad_agents_key_is_named(doctor: Doctor) -> None:
    doctor.variables["OTAS_AGENT_KEY"] = "agent_abcdefghijk_wrong"
    assert "refused the agent key (invalid_agent_key)" in doctor("--send").failed["send"]


def test_without_a_terminal_a_token_and_an_agents_key_it_fails_at_once(doctor: Doctor) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "otas_middleware", "doctor", "--send"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=doctor.folder,
        env={**os.environ, **doctor.variables},
        check=False,
    )
    assert ended.returncode == 1
    assert "✗ send         there is no session token to send with, and no agent's key" in ended.stdout
    assert ended.stderr == ""
    assert "there is no session token" in doctor("--send").failed["send"]
