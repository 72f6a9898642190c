"""The doctor names the true cause when Brain, UASAM, the key, the address or a clock is at fault."""

from __future__ import annotations

import contextlib
import re
import socket
from typing import TYPE_CHECKING

import pytest

from doctor.relay import Relay
from support.certificates import self_signed
from support.delivery import RawServer, Received

if TYPE_CHECKING:
    from pathlib import Path

    from doctor.conftest import Doctor
    from otas_middleware.localbrain import LocalBrain

WRONG_KEY = "otas_abcdefghijk_thisIsNotTheSecretOfAnyKey"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("tls"))


def test_all_is_well(doctor: Doctor, local: LocalBrain) -> None:
    diagnosis = doctor()
    assert diagnosis.status == 0
    assert diagnosis.failed == {}
    assert diagnosis.checks["sdk_key"]["text"].startswith("accepted by UASAM and Brain; project Local project (")
    assert diagnosis.checks["sdk_key"]["data"]["project"]["id"] == local.project_id
    assert set(diagnosis.checks["brain"]["data"]["seconds"]) == {"name", "connection", "answer"}


def test_nothing_is_written_into_brain(doctor: Doctor, local: LocalBrain) -> None:
    before = len(local.events())
    assert doctor().status == 0
    assert len(local.events()) == before


def test_a_missing_key_is_named(doctor: Doctor) -> None:
    del doctor.variables["OTAS_SDK_KEY"]
    diagnosis = doctor()
    assert list(diagnosis.failed) == ["sdk_key"]
    assert "none is set, so nothing is recorded" in diagnosis.of("sdk_key")
    assert "set OTAS_SDK_KEY to the project's backend SDK key" in diagnosis.of("sdk_key")


@pytest.mark.parametrize(
    ("key", "cause"),
    [
        ("sdk-1234567890", "it is malformed (14 characters): not of the form otas_<prefix>_<secret>"),
        ("otas_onlyaprefix", "it is malformed (16 characters)"),
        ('"otas_abc_def"', "it holds the quotes that stood around it"),
        ("00000000-0000-4000-8000-000000000001", "it is an id: not of the form"),
        ("agent_abcdefghijk_secret", "it is an agent's key (agent_…); a backend needs the project's SDK key"),
    ],
)
def test_a_malformed_key_is_named_with_what_is_wrong(doctor: Doctor, key: str, cause: str) -> None:
    doctor.variables["OTAS_SDK_KEY"] = key
    diagnosis = doctor()
    assert list(diagnosis.failed) == ["sdk_key"]
    assert cause in diagnosis.of("sdk_key")
    assert key not in diagnosis.output


def test_a_key_that_no_header_can_carry_is_named(doctor: Doctor) -> None:
    doctor.variables["OTAS_SDK_KEY"] = "otas_abc_…"
    diagnosis = doctor()
    assert list(diagnosis.failed) == ["settings"]
    assert "OTAS_SDK_KEY cannot be used: it holds blanks, or what an HTTP header cannot carry" in diagnosis.of(
        "settings"
    )
    assert diagnosis.checks["sdk_key"]["status"] == "skipped"


def test_a_wrong_key_is_told_by_uasam(doctor: Doctor) -> None:
    doctor.variables["OTAS_SDK_KEY"] = WRONG_KEY
    diagnosis = doctor()
    assert list(diagnosis.failed) == ["sdk_key"]
    assert "UASAM does not know it, or it has expired or been revoked" in diagnosis.of("sdk_key")
    assert WRONG_KEY not in diagnosis.output
    assert WRONG_KEY.rpartition("_")[2] not in diagnosis.output


def test_a_refused_key_may_be_good_when_nobody_can_be_asked(doctor: Doctor, local: LocalBrain) -> None:
    del doctor.variables["OTAS_UASAM_URL"]
    doctor.variables["OTAS_SDK_KEY"] = WRONG_KEY
    diagnosis = doctor()
    assert list(diagnosis.failed) == ["sdk_key"]
    assert "it does so for a bad key, and for every key while UASAM is away" in diagnosis.of("sdk_key")
    assert "--uasam-url http://HOST:8000" in diagnosis.of("sdk_key")
    assert "UASAM does not know it" in doctor("--uasam-url", local.url).of("sdk_key")


def test_a_uasam_that_is_down_is_not_taken_for_a_wrong_key(doctor: Doctor, local: LocalBrain, closed: str) -> None:
    """Brain then refuses every key, and says the same as to a bad one."""
    doctor.variables["OTAS_UASAM_URL"] = closed
    with local.faults.inject("outage", "brain"):
        diagnosis = doctor()
    assert list(diagnosis.failed) == ["uasam"]
    assert "UASAM is down, or this is the wrong port" in diagnosis.of("uasam")
    assert "cannot be judged: Brain refuses every key while UASAM is away" in diagnosis.of("sdk_key")


def test_a_uasam_without_its_database_is_named(doctor: Doctor, local: LocalBrain) -> None:
    with local.faults.inject("outage", "brain", "uasam"):
        diagnosis = doctor()
    assert list(diagnosis.failed) == ["uasam"]
    assert "fails: it answers 500" in diagnosis.of("uasam")
    assert "its database may be down" in diagnosis.of("uasam")


def test_brain_cannot_reach_the_uasam_that_answers_here(doctor: Doctor, local: LocalBrain) -> None:
    with local.faults.inject("outage", "brain"):
        diagnosis = doctor()
    assert list(diagnosis.failed) == ["brain"]
    assert "Brain does not reach that UASAM" in diagnosis.of("brain")
    assert diagnosis.checks["sdk_key"]["status"] == "ok"


def test_a_brain_that_is_down_is_named(doctor: Doctor, local: LocalBrain, closed: str) -> None:
    doctor.variables["OTAS_BRAIN_URL"] = closed
    with Relay(local.url) as uasam:
        doctor.variables["OTAS_UASAM_URL"] = uasam.url.replace("127.0.0.1", "localhost")  # another host than Brain's
        diagnosis = doctor()
    assert list(diagnosis.failed) == ["brain"]
    assert f"nothing listens at {closed.removeprefix('http://')}: Brain is down" in diagnosis.of("brain")
    assert "start Brain (otas-middleware brain is a local one), or correct" in diagnosis.of("brain")
    assert "accepted by UASAM" in diagnosis.of("sdk_key")


def test_a_brain_that_is_down_behind_its_proxy_is_named(doctor: Doctor, local: LocalBrain) -> None:
    with local.faults.inject("busy", "brain"):
        diagnosis = doctor()
    assert list(diagnosis.failed) == ["brain"]
    assert "it answers 503" in diagnosis.of("brain")
    assert "Brain is down or overloaded behind its proxy" in diagnosis.of("brain")


def test_a_brain_that_hangs_is_named(doctor: Doctor, local: LocalBrain) -> None:
    with local.faults.inject("hang", "brain"):
        diagnosis = doctor("--timeout", "0.5")
    assert list(diagnosis.failed) == ["brain"]
    assert "takes connections and does not answer (no answer within 0.5 s)" in diagnosis.of("brain")


def test_a_wrong_port_where_nothing_listens_is_named(doctor: Doctor, local: LocalBrain, closed: str) -> None:
    doctor.variables["OTAS_BRAIN_URL"] = closed
    diagnosis = doctor()
    assert list(diagnosis.failed) == ["brain"]
    assert "this is the wrong port" in diagnosis.of("brain")
    assert f"set OTAS_BRAIN_URL={local.url}" in diagnosis.of("brain")


def test_a_wrong_port_where_something_else_listens_is_named(doctor: Doctor, local: LocalBrain) -> None:
    with Relay(status=404) as other:
        doctor.variables["OTAS_BRAIN_URL"] = other.url
        diagnosis = doctor()
    assert list(diagnosis.failed) == ["brain"]
    assert f"what answers at {other.url} is not Brain but something else (it answers 404)" in diagnosis.of("brain")
    assert f"set OTAS_BRAIN_URL={local.url}" in diagnosis.of("brain")


def test_a_wrong_port_where_nobody_speaks_http_is_named(doctor: Doctor, local: LocalBrain) -> None:
    def script(connection: socket.socket, request: Received) -> bool:
        connection.sendall(b"220 mail.example ESMTP ready\r\n")
        return False

    with RawServer(script) as mail:
        doctor.variables["OTAS_BRAIN_URL"] = mail.url
        diagnosis = doctor()
    assert list(diagnosis.failed) == ["brain"]
    assert f"set OTAS_BRAIN_URL={local.url}" in diagnosis.of("brain")


def test_a_uasam_that_was_taken_for_brain_is_named(doctor: Doctor, local: LocalBrain) -> None:
    """A UASAM of its own does not know Brain's endpoint."""
    uasam_answer = b'{"error": "SDK Key missing"}'

    def script(connection: socket.socket, request: Received) -> bool:
        known = b"/api/project/v1/sdk/backend/key/authenticate/" in request.data
        status, body = ("401 Unauthorized", uasam_answer) if known else ("404 Not Found", b"<html>")
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        return False

    with RawServer(script) as uasam:
        doctor.variables["OTAS_BRAIN_URL"] = uasam.url
        diagnosis = doctor()
    assert "is not Brain but UASAM (it answers 404)" in diagnosis.failed["brain"]


def test_https_where_http_is_spoken_is_named(doctor: Doctor, local: LocalBrain) -> None:
    doctor.variables["OTAS_BRAIN_URL"] = local.url.replace("http:", "https:")
    diagnosis = doctor()
    assert list(diagnosis.failed) == ["brain"]
    assert "https and http are mixed up: OTAS_BRAIN_URL says https" in diagnosis.of("brain")
    assert f"set OTAS_BRAIN_URL={local.url}\n" in diagnosis.of("brain") + "\n"


def test_http_where_https_is_spoken_is_named(doctor: Doctor, local: LocalBrain, certificate: Path) -> None:
    with Relay(local.url, certificate=certificate) as secure:
        doctor.variables["OTAS_BRAIN_URL"] = secure.url.replace("https:", "http:")
        diagnosis = doctor()
    assert list(diagnosis.failed) == ["brain"]
    assert "http and https are mixed up: OTAS_BRAIN_URL says http, " in diagnosis.of("brain")
    assert f"set OTAS_BRAIN_URL={secure.url}" in diagnosis.of("brain")


def test_http_that_redirects_to_https_is_named(doctor: Doctor) -> None:
    with Relay(status=301, headers=(("Location", "https://brain.example/api/v1/backend/log/sdk/"),)) as front:
        doctor.variables["OTAS_BRAIN_URL"] = front.url
        diagnosis = doctor()
    assert list(diagnosis.failed) == ["brain"]
    assert "redirects to https://brain.example, and redirects are not followed" in diagnosis.of("brain")
    assert "set OTAS_BRAIN_URL=https://brain.example" in diagnosis.of("brain")


def test_an_unknown_authority_is_named(doctor: Doctor, local: LocalBrain, certificate: Path) -> None:
    with Relay(local.url, certificate=certificate) as secure:
        doctor.variables["OTAS_BRAIN_URL"] = secure.url
        refused = doctor()
        doctor.variables["SSL_CERT_FILE"] = str(certificate)
        accepted = doctor()
    assert list(refused.failed) == ["brain"]
    assert re.search(r"the certificate of 127\.0\.0\.1:\d+ does not hold: self.signed certificate", refused.of("brain"))
    assert "SSL_CERT_FILE" in refused.of("brain")
    assert accepted.failed == {}
    assert set(accepted.checks["brain"]["data"]["seconds"]) == {"name", "connection", "tls", "answer"}


def test_an_unknown_host_name_is_named(doctor: Doctor) -> None:
    doctor.variables["OTAS_BRAIN_URL"] = "http://brain.invalid:8002"
    diagnosis = doctor()
    assert list(diagnosis.failed) == ["brain"]
    assert "the host name brain.invalid is not known here" in diagnosis.of("brain")


def test_a_brain_that_does_not_know_itself_by_this_name_is_named(doctor: Doctor) -> None:
    with Relay(status=400) as django:
        doctor.variables["OTAS_BRAIN_URL"] = django.url
        assert "ALLOWED_HOSTS" in doctor().failed["brain"]


def test_a_proxy_of_the_environment_is_pointed_out(doctor: Doctor, closed: str) -> None:
    doctor.variables["OTAS_BRAIN_URL"] = closed
    doctor.variables["https_proxy"] = "http://user:s3cret@proxy.example:3128"
    del doctor.variables["OTAS_UASAM_URL"]
    diagnosis = doctor()
    assert "events do not go through the proxy that https_proxy names" in diagnosis.of("brain")
    assert "s3cret" not in diagnosis.output


@pytest.mark.parametrize("minutes", [5, -5])
def test_a_wrong_clock_of_brains_is_named(doctor: Doctor, local: LocalBrain, minutes: int) -> None:
    with Relay(local.url, clock=60 * minutes) as brain, Relay(local.url) as uasam:
        doctor.variables |= {"OTAS_BRAIN_URL": brain.url, "OTAS_UASAM_URL": uasam.url}
        diagnosis = doctor()
    assert list(diagnosis.failed) == ["clock"]
    where = "ahead of" if minutes > 0 else "behind"
    assert re.search(rf"Brain's clock is (299|300|301) s {where} this machine's and UASAM's", diagnosis.of("clock"))
    assert "on Brain's machine by NTP" in diagnosis.of("clock")


def test_a_wrong_clock_of_this_machine_is_named(doctor: Doctor, local: LocalBrain) -> None:
    with Relay(local.url, clock=300) as brain, Relay(local.url, clock=300) as uasam:
        doctor.variables |= {"OTAS_BRAIN_URL": brain.url, "OTAS_UASAM_URL": uasam.url}
        diagnosis = doctor()
    assert list(diagnosis.failed) == ["clock"]
    assert re.search(r"this machine's clock is (299|300|301) s behind Brain's and UASAM's", diagnosis.of("clock"))


def test_a_wrong_clock_of_uasams_is_named(doctor: Doctor, local: LocalBrain) -> None:
    with Relay(local.url) as brain, Relay(local.url, clock=300) as uasam:
        doctor.variables |= {"OTAS_BRAIN_URL": brain.url, "OTAS_UASAM_URL": uasam.url}
        diagnosis = doctor()
    assert list(diagnosis.failed) == ["clock"]
    assert re.search(r"UASAM's clock is (299|300|301) s ahead of this machine's and Brain's", diagnosis.of("clock"))


def test_a_clock_that_differs_is_a_failure_without_a_third_one(doctor: Doctor, local: LocalBrain) -> None:
    with Relay(local.url, clock=-300) as brain:
        doctor.variables["OTAS_BRAIN_URL"] = brain.url
        del doctor.variables["OTAS_UASAM_URL"]
        diagnosis = doctor()
    assert list(diagnosis.failed) == ["clock"]
    assert re.search(r"Brain's clock is (299|300|301) s behind this machine's", diagnosis.of("clock"))
    assert "it refuses fresh session tokens" in diagnosis.of("clock")


def test_clocks_that_agree_are_well(doctor: Doctor, local: LocalBrain) -> None:
    with Relay(local.url, clock=0.5) as brain:
        doctor.variables["OTAS_BRAIN_URL"] = brain.url
        assert doctor().checks["clock"]["status"] == "ok"


def test_the_clock_is_compared_with_the_local_brains_too(doctor: Doctor) -> None:
    clock = doctor().checks["clock"]
    assert clock["status"] == "ok"
    assert abs(clock["data"]["brain_ahead_seconds"]) <= 1


def test_a_brain_that_hangs_up_at_once_is_named(doctor: Doctor) -> None:
    def script(connection: socket.socket, request: Received) -> bool:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        return False

    with RawServer(script) as server:
        doctor.variables["OTAS_BRAIN_URL"] = server.url
        del doctor.variables["OTAS_UASAM_URL"]
        diagnosis = doctor()
    assert "ends the connection without an answer" in diagnosis.failed["brain"]


def test_a_patient_doctor_sits_nothing_out_where_all_is_well(doctor: Doctor) -> None:
    assert doctor.run("--timeout", "300").returncode == 0


def test_a_project_that_is_not_the_keys_is_a_warning(doctor: Doctor, local: LocalBrain) -> None:
    other = "00000000-0000-4000-8000-000000000001"
    doctor.variables["OTAS_PROJECT_ID"] = other
    diagnosis = doctor()
    assert diagnosis.checks["sdk_key"]["status"] == "warning"
    assert f"OTAS_PROJECT_ID names another, {other}" in diagnosis.of("sdk_key")
    doctor.variables["OTAS_PROJECT_ID"] = local.project_id
    assert doctor().checks["sdk_key"]["status"] == "ok"
