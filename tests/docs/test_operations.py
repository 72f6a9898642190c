"""What operators load is right: alert rules, the dashboard, the manifests."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from importlib import import_module
from typing import Any

import pytest
from prometheus_client.core import CollectorRegistry

from docs.documents import ROOT
from otas_middleware import OtasSettings
from otas_middleware._config.sources import env_name
from otas_middleware.localbrain import LocalBrain
from otas_middleware.prometheus import _RELAY, _RELAY_BY_REASON, OtasCollector
from otas_middleware.testing import record_events

OPERATIONS = ROOT / "docs" / "operations"
DEPLOY = ROOT / "docs" / "deploy"


def metrics() -> set[str]:
    """All names that Prometheus can get from us."""
    registry = CollectorRegistry()
    registry.register(OtasCollector())
    with record_events():
        families = {family.name for family in registry.collect()}
    return families | {f"otas_relay_{name}" for name in (*_RELAY, *_RELAY_BY_REASON)}


@pytest.mark.parametrize("name", ["alerts.yml", "grafana.json"])
def test_every_metric_that_is_named_exists(name: str) -> None:
    named = set(re.findall(r"\botas_[a-z_]+", (OPERATIONS / name).read_text()))
    assert named
    known = metrics()
    assert {metric for metric in named if metric.removesuffix("_total") not in known} == {"otas_middleware"} & named


def test_every_alert_is_explained_and_tested() -> None:
    alerts = re.findall(r"alert: (\w+)", (OPERATIONS / "alerts.yml").read_text())
    assert len(alerts) == 5
    guide, tests = (ROOT / "docs" / "operations-guide.md").read_text(), (OPERATIONS / "alerts_test.yml").read_text()
    for alert in alerts:
        assert f"`{alert}`" in guide
        assert f"alertname: {alert}" in tests


def test_the_alert_rules_fire_when_they_should() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool (Debian: apt-get install prometheus)")
    for arguments in (("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")):
        ended = subprocess.run([promtool, *arguments], cwd=OPERATIONS, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    dashboard = json.loads((OPERATIONS / "grafana.json").read_text())
    assert dashboard["schemaVersion"] >= 36
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids)) == 8
    assert all(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])


def documents(name: str) -> list[Any]:
    return list(import_module("yaml").safe_load_all((DEPLOY / name).read_text()))


@pytest.mark.parametrize("name", ["compose.yaml", "kubernetes.yaml"])
def test_the_manifests_set_what_are_settings(name: str) -> None:
    assert documents(name)
    named = set(re.findall(r"\bOTAS_[A-Z_]+", (DEPLOY / name).read_text()))
    assert named
    assert named <= {env_name(field) for field in OtasSettings.model_fields}


def test_the_values_of_the_manifests_are_taken() -> None:
    (container,) = documents("kubernetes.yaml")[1]["spec"]["template"]["spec"]["containers"]
    given = {entry["name"].removeprefix("OTAS_").lower(): entry.get("value", "otas_a_b") for entry in container["env"]}
    assert OtasSettings(**given).max_connections == 2


def test_the_brain_of_the_compose_file_starts_with_its_options() -> None:
    (compose,) = documents("compose.yaml")
    words = shlex.split(shlex.split(compose["services"]["brain"]["command"])[-1])
    options = dict(zip(words[words.index("brain") + 1 :: 2], words[words.index("brain") + 2 :: 2], strict=True))
    assert options == {"--host": "0.0.0.0", "--allow-host": "brain", "--port": "8002", "--db": "/data/brain.sqlite3"}
    with LocalBrain(host=options["--host"], allow_hosts=[options["--allow-host"]], access_token="x" * 16) as brain:
        assert brain.url == f"http://brain:{brain.port}"
    assert compose["services"]["shop"]["environment"]["OTAS_BRAIN_URL"] == f"http://brain:{options['--port']}"
