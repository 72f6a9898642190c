"""Fixtures of more than one file."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from otas_middleware.localbrain import LocalBrain
from relay.host import alive, relays_in
from support.delivery import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place for relays of this test's own; those that were started there end with it."""
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    yield folder
    for pid in relays_in(folder):
        os.kill(pid, signal.SIGTERM)
        eventually(lambda pid=pid: not alive(pid), within=20)  # type: ignore[misc]


@pytest.fixture
def slow_brain() -> Iterator[LocalBrain]:
    """A Brain that takes its time, so that events are under way when something happens."""
    with LocalBrain(slow_ms=50.0) as brain:
        yield brain
