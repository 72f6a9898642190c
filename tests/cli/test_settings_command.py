"""`otas-middleware settings` lists every setting with its value and its source."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cli.process import run
from otas_middleware import OtasSettings

if TYPE_CHECKING:
    import pytest

KEY = "otas_abcdefghijk_thisIsASecretOfManyCharacters"


def test_every_setting_is_listed_with_its_value_and_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTAS_MAX_BODY_BYTES", "1000")
    monkeypatch.setenv("OTAS_SDK_KEY", KEY)
    listed = json.loads(run("settings", "--json").stdout)
    assert list(listed) == list(OtasSettings.model_fields)
    assert listed["max_body_bytes"] == {"value": "1000", "from": "OTAS_MAX_BODY_BYTES"}
    assert listed["brain_url"] == {"value": "http://localhost:8002", "from": "default"}


def test_people_get_a_line_each_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTAS_SDK_KEY", KEY)
    ended = run("settings")
    assert len(ended.stdout.splitlines()) == len(OtasSettings.model_fields)
    assert "(OTAS_SDK_KEY)" in ended.stdout
    assert KEY not in ended.stdout


def test_a_bad_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTAS_MAX_BODY_BYTES", "many")
    ended = run("settings")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "OTAS_MAX_BODY_BYTES cannot be used" in ended.stderr


def test_a_variable_that_is_no_setting_is_a_warning_beside_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTAS_MAX_BODY", "1")
    ended = run("settings")
    assert ended.returncode == 0
    assert "did you mean OTAS_MAX_BODY_BYTES?" in ended.stderr
