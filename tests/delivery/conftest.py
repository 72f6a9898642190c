"""Fixtures of more than one file."""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

from otas_middleware._delivery.disk_queue import DiskQueue
from otas_middleware._runtime import runtime

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otas_middleware._delivery.codec import TokenCipher
    from support.delivery import OpenDisk


@pytest.fixture
def open_disk() -> Iterator[OpenDisk]:
    """Makes queues on disk, which are closed at the end of the test."""
    with ExitStack() as todo:

        def make(path: Path, max_bytes: int, cipher: TokenCipher | None) -> DiskQueue:
            return todo.enter_context(closing(DiskQueue(path, max_bytes, cipher)))

        yield make


@pytest.fixture
def as_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures of ours are swallowed and counted, not raised."""
    monkeypatch.setattr(runtime, "behaviour", dataclasses.replace(runtime.behaviour, reraise=False))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory for the spool, which is not there yet."""
    return tmp_path / "spool"
