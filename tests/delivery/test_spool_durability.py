"""`durability="spool"`: an event is on disk before the call returns."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from otas_middleware._delivery import Pipeline
from otas_middleware._delivery.disk_queue import DiskQueue
from otas_middleware._errors import ConfigurationError
from otas_middleware.localbrain import LocalBrain, Mode
from support.delivery import (
    PATIENCE,
    Item,
    balance,
    build,
    eventually,
    ids,
    rows,
    settings,
)

if TYPE_CHECKING:
    from pathlib import Path


class TestDurability:
    def durable(self, brain: LocalBrain, folder: Path, **values: Any) -> Pipeline:
        return Pipeline(
            settings(brain.url, sdk_key=brain.sdk_key, spool_dir=folder, durability="spool", **values), build
        )

    def test_it_needs_a_directory(self) -> None:
        with pytest.raises(ConfigurationError, match="OTAS_SPOOL_DIR"):
            Pipeline(settings("http://brain.invalid", durability="spool"), build)

    def test_an_event_is_on_disk_before_the_call_returns_and_gone_after_delivery(self, folder: Path) -> None:
        with LocalBrain() as brain:
            sender = self.durable(brain, folder)
            with brain.faults.inject(Mode.HANG):
                sender.put(Item(token=brain.create_session()))
                assert rows(folder) == 1
                stats = sender.stats()
                assert (stats["captured"], stats["spooled"], stats["queued"], balance(stats)) == (1, 1, 0, 0)
            eventually(lambda: sender.stats()["delivered"] == 1)
            eventually(lambda: rows(folder) == 0)
            assert (sender.stats()["spooled"], balance(sender.stats())) == (0, 0)
            sender.close()

    def test_at_the_end_what_was_delivered_is_deleted_from_the_disk_first(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        delivered, may_delete, acknowledge = threading.Event(), threading.Event(), DiskQueue.acknowledge

        def late(disk: DiskQueue, given: list[int]) -> int:
            delivered.set()
            assert may_delete.wait(PATIENCE)
            return acknowledge(disk, given)

        monkeypatch.setattr(DiskQueue, "acknowledge", late)
        with LocalBrain() as brain:
            sender = self.durable(brain, folder)
            sender.put(Item(token=brain.create_session()))
            assert delivered.wait(PATIENCE)
            soon = threading.Timer(0.2, may_delete.set)
            soon.start()
            sender.close(PATIENCE)
            assert rows(folder) == 0
            soon.join()

    def test_a_full_memory_loses_nothing_that_is_on_disk(self, folder: Path) -> None:
        with LocalBrain() as brain:
            token = brain.create_session()
            sender = self.durable(brain, folder, queue_max_events=10)
            brain.faults.down()
            for _ in range(50):
                sender.put(Item(token=token))
            stats = sender.stats()
            assert (stats["spooled"], stats["dropped"], balance(stats)) == (50, {}, 0)
            brain.faults.up()
            eventually(lambda: sender.stats()["delivered"] == 50)
            eventually(lambda: rows(folder) == 0)
            assert balance(sender.stats()) == 0
            assert len(set(ids(brain.events()))) == 50
            sender.close()

    def test_without_a_disk_the_event_is_kept_in_memory(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with LocalBrain() as brain:
            sender = self.durable(brain, tmp_path / "file")
            sender.put(Item(token=brain.create_session()))
            assert sender.flush(5)
            assert sender.stats()["delivered"] == 1
            sender.close()
