"""What operators load is right: alert rules and the dashboard."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest
from prometheus_client.core import CollectorRegistry

from docs.documents import ROOT
from otas_middleware.prometheus import _RELAY, OtasCollector
from otas_middleware.testing import record_events

OPERATIONS = ROOT / "docs" / "operations"


def metrics() -> set[str]:
    """All names that Prometheus can get from us."""
    registry = CollectorRegistry()
    registry.register(OtasCollector())
    with record_events():
        families = {family.name for family in registry.collect()}
    return families | {f"otas_relay_{name}" for name in _RELAY}


@pytest.mark.parametrize("name", ["alerts.yml", "grafana.json"])
def test_every_metric_that_is_named_exists(name: str) -> None:
    named = set(re.findall(r"\botas_[a-z_]+", (OPERATIONS / name).read_text()))
    assert named
    known = metrics()
    assert {metric for metric in named if metric.removesuffix("_total") not in known} == {"otas_middleware"} & named


def test_every_alert_is_explained_and_tested() -> None:
    alerts = re.findall(r"alert: (\w+)", (OPERATIONS / "alerts.yml").read_text())
    assert len(alerts) == 6
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
    assert len(ids) == len(set(ids)) == 9
    assert all(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
