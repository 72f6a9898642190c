"""The doctor's check of the relay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otas_middleware._cli.doctor.delivery import check_relay
from otas_middleware._config.settings import OtasSettings
from support.relay import RelayProcess

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from doctor.conftest import Doctor


def test_a_relay_that_runs_is_shown(doctor: Doctor, tmp_path: Path) -> None:
    with RelayProcess(tmp_path) as relay:
        doctor.variables["OTAS_RELAY"] = relay.path
        diagnosis = doctor()
    assert diagnosis.failed == {}
    assert f"at {relay.path}" in diagnosis.of("relay")


def test_a_missing_relay_fails_with_the_command_that_starts_it(doctor: Doctor, tmp_path: Path) -> None:
    doctor.variables["OTAS_RELAY"] = str(tmp_path / "relay.sock")
    diagnosis = doctor()
    assert list(diagnosis.failed) == ["relay"]
    assert "otas-middleware relay" in diagnosis.of("relay")


def test_one_that_hosts_start_need_not_run_yet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    check = check_relay(OtasSettings(sdk_key="otas_a_b", relay="auto"))
    assert check.status == "ok"
    assert "starts one" in check.text


def test_a_relay_that_has_no_effect_is_a_warning() -> None:
    check = check_relay(OtasSettings(sdk_key="otas_a_b", relay="/run/relay.sock", transport="celery"))
    assert check.status == "warning"
    assert "transport=celery" in check.text
