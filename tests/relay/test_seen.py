"""How it goes with the relay can be seen: by its command, in `stats()`, and as metrics."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING

from prometheus_client.core import CollectorRegistry

import otas_middleware.prometheus
from otas_middleware._delivery.relay import tenant as tenant_module
from otas_middleware._runtime import runtime
from otas_middleware.localbrain import LocalBrain
from relay.host import host
from support.agent import Agent
from support.delivery import eventually
from support.relay import RelayProcess, RelayThread

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "otas_middleware", "relay", *arguments], capture_output=True, text=True, check=False
    )


def test_the_status_shows_hosts_and_counters_and_no_secret(brain: LocalBrain, agent: Agent, tmp_path: Path) -> None:
    with RelayProcess(tmp_path) as relay, host(brain, agent, relay.path) as app:
        app.call(count=3)
        assert app.delivery.flush(20)
        shown = command("--status", "--socket", relay.path)
    state = json.loads(shown.stdout)
    assert state["waiting"] == 0
    [tenant] = state["tenants"]
    assert tenant["delivered"] == 3
    assert brain.sdk_key not in shown.stdout
    assert agent.token not in shown.stdout


def test_the_relay_stands_back_behind_its_applications(tmp_path: Path) -> None:
    with RelayProcess(tmp_path) as relay:
        state = relay.state()
        assert state is not None
        assert os.getpriority(os.PRIO_PROCESS, state["pid"]) == max(5, os.getpriority(os.PRIO_PROCESS, 0))


def test_a_missing_relay_is_told(tmp_path: Path) -> None:
    shown = command("--status", "--socket", str(tmp_path / "nobody"))
    assert shown.returncode == 1
    assert "no relay at" in shown.stderr


def test_a_second_relay_at_the_same_path_is_refused(tmp_path: Path) -> None:
    with RelayProcess(tmp_path) as relay:
        second = command("--socket", relay.path)
        assert relay.state() is not None
    assert second.returncode == 1
    assert "runs at" in second.stderr


def test_a_path_that_cannot_be_used_is_told_with_the_fix(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for path, words in {
        "relative.sock": "absolute path",
        str(tmp_path / "file"): "is no socket",
        str(tmp_path / "missing" / "relay.sock"): "is no directory",
        str(tmp_path / ("x" * 200)): "path too long; choose another path",
    }.items():
        refused = command("--socket", path)
        assert refused.returncode == 1
        assert words in refused.stderr
    assert (tmp_path / "file").read_text() == "mine"


def test_the_metrics_have_what_went_to_the_relay(brain: LocalBrain, agent: Agent) -> None:
    registry = CollectorRegistry()
    with RelayThread() as relay, host(brain, agent, relay.path) as app:
        otas_middleware.prometheus.register(registry)
        before = registry.get_sample_value("otas_relay_acknowledged_total") or 0
        app.call(count=4)
        assert app.delivery.flush(20)
        assert registry.get_sample_value("otas_relay_acknowledged_total") == before + 4
        assert registry.get_sample_value("otas_relay_kept") == 0


def test_stats_of_the_process_add_up_over_recorders_with_and_without_a_relay(brain: LocalBrain, agent: Agent) -> None:
    with RelayThread() as relay, host(brain, agent, relay.path) as app:
        before = otas_middleware.stats().get("acknowledged", 0)
        app.call()
        assert app.delivery.flush(20)
        assert otas_middleware.stats()["acknowledged"] == before + 1
        assert app.settings in runtime.recorders


def test_what_served_hosts_with_settings_that_nobody_has_any_more_ends(
    brain: LocalBrain, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenant_module, "DESERTED_SECONDS", 0.0)
    before = set(threading.enumerate())
    with RelayThread() as relay:
        with host(brain, agent, relay.path) as app:
            app.call()
            assert app.delivery.flush(20)
            [tenant] = relay.server._tenants.values()
            gone = weakref.ref(tenant)
            del tenant
            app.delivery._state.client.abandon()  # as when the process ends
        eventually(lambda: not relay.server._tenants)
        eventually(lambda: not [thread for thread in threading.enumerate() if thread not in before][1:])
        eventually(lambda: gc.collect() >= 0 and gone() is None)  # the relay's own loop may be about to let go of it
        with host(brain, agent, relay.path) as app:
            app.call()
            assert app.delivery.flush(20)
            assert app.stats()["acknowledged"] == 1


def test_what_such_hosts_left_on_disk_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenant_module, "DESERTED_SECONDS", 0.0)
    with LocalBrain() as away, RelayThread() as relay:
        mine = Agent(away)
        away.faults.down()
        with host(away, mine, relay.path, spool_dir=tmp_path / "spool") as app:
            app.call()
            assert app.delivery.flush(20)
            assert app.stats()["acknowledged"] == 1
            app.delivery._state.client.abandon()
        eventually(lambda: relay.server._tenants and not relay.server._connections)
        [tenant] = relay.server._tenants.values()
        eventually(lambda: tenant._deserted_at is not None)
        assert not tenant.is_deserted(time.monotonic())
        away.faults.up()
        eventually(lambda: len(away.events()) == 1)
        eventually(lambda: not relay.server._tenants)
