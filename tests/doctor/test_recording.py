"""`otas-middleware doctor` says when settings keep requests from being recorded."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from doctor.conftest import Doctor
    from otas_middleware.localbrain import LocalBrain

SECRET = "a secret that signs nothing here"


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("IGNORE_PATHS", "/health,/", "/ stands for every path"),
        ("IGNORE_PATHS", "/*", "/* stands for every path"),
        ("IGNORE_PATHS", "/?*", "/?* stands for every path"),
        ("IGNORE_METHODS", "get,post,put", "neither GET nor POST is recorded"),
        ("SESSION_SAMPLE_RATE", "0", "nothing but errors is recorded"),
        ("SHUTDOWN_TIMEOUT", "0", "what waits in memory when a process ends is lost"),
    ],
)
def test_a_setting_by_which_events_are_missing_is_a_warning(
    doctor: Doctor, variable: str, value: str, said: str
) -> None:
    doctor.variables[f"OTAS_{variable}"] = value
    diagnosis = doctor()
    assert diagnosis.status == 0
    assert diagnosis.checks[variable.lower()]["status"] == "warning"
    assert said in diagnosis.of(variable.lower())


def test_settings_that_leave_something_out_are_no_warning(doctor: Doctor) -> None:
    doctor.variables |= {
        "OTAS_IGNORE_PATHS": "/health,/static/,/*/internal",
        "OTAS_IGNORE_METHODS": "OPTIONS,HEAD",
        "OTAS_SESSION_SAMPLE_RATE": "0.01",
    }
    statuses = {check["status"] for check in doctor().checks.values()}
    assert statuses == {"ok", "skipped"}


@pytest.mark.parametrize("variable", ["OTAS_SESSION_SECRET", "OTAS_SESSION_JWKS_URL"])
def test_signatures_that_no_package_can_check_are_a_failure(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, closed: str, variable: str
) -> None:
    monkeypatch.setitem(sys.modules, "jwt", None)
    doctor.variables[variable] = SECRET if variable.endswith("SECRET") else closed
    assert "pip install 'otas-middleware[verify]'" in doctor().failed["signatures"]


def test_public_keys_that_are_not_there_are_a_warning(doctor: Doctor, closed: str, local: LocalBrain) -> None:
    doctor.variables["OTAS_SESSION_JWKS_URL"] = closed
    diagnosis = doctor("--send", "--token", local.create_session())
    assert f"no keys can be had from {closed}" in diagnosis.of("signatures")
    assert diagnosis.checks["send"]["status"] == "ok"


def test_a_token_that_the_application_would_refuse_is_not_sent(doctor: Doctor, local: LocalBrain) -> None:
    doctor.variables["OTAS_SESSION_SECRET"] = SECRET
    assert "its signature does not hold by OTAS_SESSION_SECRET" in doctor(
        "--send", "--token", local.create_session()
    ).of("send")


def test_durability_without_a_directory_names_the_setting_that_is_missing(doctor: Doctor) -> None:
    doctor.variables["OTAS_DURABILITY"] = "spool"
    said = doctor().failed["transport"]
    assert "set OTAS_SPOOL_DIR" in said
    assert "OTAS_TRANSPORT" not in said


FUNCTIONS = """
def raises(given): raise KeyError("a name")
def no_event(event): return "an event"
def takes_nothing(): return True
def keeps(event): return event
def withholds(event): return None
def wants(request): return True
def declines(request): return False
"""


@pytest.mark.parametrize(
    ("setting", "function", "said"),
    [
        ("should_record", "raises", "KeyError: 'a name'"),
        ("should_record", "takes_nothing", "TypeError: takes_nothing() takes 0 positional arguments"),
        ("before_send", "raises", "KeyError: 'a name'"),
        ("before_send", "no_event", "TypeError: before_send returned str, not a BackendEvent or None"),
    ],
)
def test_a_function_that_fails_for_an_ordinary_request_is_named_with_what_follows(
    doctor: Doctor, setting: str, function: str, said: str
) -> None:
    doctor.write("functions.py", FUNCTIONS)
    doctor.variables[f"OTAS_{setting.upper()}"] = f"functions:{function}"
    diagnosis = doctor()
    assert list(diagnosis.failed) == [setting]
    assert said in diagnosis.of(setting)
    follows = "the event is withheld" if setting == "before_send" else "the request is not recorded"
    assert follows in diagnosis.of(setting)


@pytest.mark.parametrize(
    ("should_record", "before_send", "named"),
    [
        ("wants", "keeps", None),
        ("wants", "withholds", "before_send"),
        ("declines", "keeps", "should_record"),
        ("declines", "withholds", "should_record"),
    ],
)
def test_functions_that_decide_are_no_failure_and_what_they_leave_out_is_said(
    doctor: Doctor, should_record: str, before_send: str, named: str | None
) -> None:
    doctor.write("functions.py", FUNCTIONS)
    doctor.variables["OTAS_BEFORE_SEND"] = f"functions:{before_send}"
    doctor.variables["OTAS_SHOULD_RECORD"] = f"functions:{should_record}"
    checks = doctor().checks
    assert {check["status"] for check in checks.values()} == {"ok", "skipped"}
    assert [name for name in ("should_record", "before_send") if name in checks] == ([named] if named else [])


def test_what_the_doctor_reports_is_not_logged_as_well(doctor: Doctor, closed: str) -> None:
    doctor.write("functions.py", FUNCTIONS)
    doctor.variables |= {"OTAS_SHOULD_RECORD": "functions:raises", "OTAS_SESSION_JWKS_URL": closed}
    ended = doctor.run()
    assert "✗ should record: it fails" in ended.stdout
    assert ended.stderr == ""


def test_durability_by_a_relay_without_one_is_what_the_application_fails_with(doctor: Doctor) -> None:
    doctor.variables["OTAS_DURABILITY"] = "relay"
    assert "set OTAS_RELAY" in doctor().failed["transport"]
