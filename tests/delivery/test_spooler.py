"""What goes from memory to disk, when, and how it comes back."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from otas_middleware._delivery import Pipeline
from otas_middleware._delivery.codec import Record
from otas_middleware._delivery.disk_queue import DiskQueue
from otas_middleware._delivery.exporter import Exporter
from otas_middleware.localbrain import LocalBrain, Mode
from support.delivery import (
    PATIENCE,
    Item,
    RawServer,
    answer,
    balance,
    build,
    created,
    eventually,
    ids,
    only_file,
    pipeline,
    rows,
    settings,
)

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    import pytest

    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._delivery.worker_pool import Work
    from otas_middleware._event import Envelope
    from support.delivery import OpenDisk, Received


class TestTheSpooler:
    def test_while_brain_is_away_events_wait_on_disk_and_arrive_when_it_returns(self, folder: Path) -> None:
        with LocalBrain() as brain:
            token = brain.create_session()
            with pipeline(brain.url, sdk_key=brain.sdk_key, spool_dir=folder) as sender:
                brain.faults.down()
                items = [Item(token=token) for _ in range(150)]
                for item in items:
                    sender.put(item)
                eventually(lambda: sender.stats()["spooled"] == 150)
                assert (sender.stats()["queued"], rows(folder)) == (0, 150)
                brain.faults.up()
                eventually(lambda: sender.stats()["delivered"] == 150)
                stats = sender.stats()
                assert (stats["spooled"], stats["queued"], stats["dropped"], balance(stats)) == (0, 0, {}, 0)
                eventually(lambda: rows(folder) == 0)
            assert sorted(ids(brain.events())) == sorted(item.event_id for item in items)

    def test_a_worker_that_looked_while_the_last_event_went_to_disk_looks_again(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found_nothing, probe_is_back = threading.Event(), threading.Event()
        next_work, claim, release = Exporter.next_work, DiskQueue.claim, DiskQueue.release

        def noting(exporter: Exporter) -> Work:
            work = next_work(exporter)
            if not work.items and work.pause is None:
                found_nothing.set()
            return work

        def claiming(disk: DiskQueue, *arguments: Any) -> Any:
            found_nothing.clear()
            return claim(disk, *arguments)

        def late(disk: DiskQueue, held: Any) -> None:
            assert found_nothing.wait(PATIENCE)
            release(disk, held)
            probe_is_back.set()

        with LocalBrain() as brain:
            token = brain.create_session()
            with pipeline(brain.url, sdk_key=brain.sdk_key, spool_dir=folder) as sender:
                brain.faults.down()
                with monkeypatch.context() as patch:
                    patch.setattr(Exporter, "next_work", noting)
                    patch.setattr(DiskQueue, "claim", claiming)
                    patch.setattr(DiskQueue, "release", late)
                    sender.put(Item(token=token))
                    assert probe_is_back.wait(PATIENCE)
                brain.faults.up()
                eventually(lambda: sender.stats()["delivered"] == 1)

    def test_what_the_end_of_a_process_left_is_delivered_by_the_next(self, folder: Path) -> None:
        with LocalBrain() as brain:
            token = brain.create_session()
            brain.faults.down()
            first = Pipeline(settings(brain.url, sdk_key=brain.sdk_key, spool_dir=folder), build)
            items = [Item(token=token) for _ in range(120)]
            for item in items:
                first.put(item)
            first.close()
            assert (first.stats()["spooled"], first.stats()["dropped"]) == (120, {})
            brain.faults.up()
            with pipeline(brain.url, sdk_key=brain.sdk_key, spool_dir=folder) as second:
                last = Item(token=token)
                second.put(last)
                eventually(lambda: second.stats()["delivered"] == 121)
                assert second.stats()["spooled"] == -120
                assert balance(second.stats()) == 0
            assert sorted(ids(brain.events())) == sorted(item.event_id for item in (*items, last))

    def test_at_the_end_there_is_time_for_the_disk_when_others_have_used_it_up(self, folder: Path) -> None:
        with RawServer(lambda _connection, _request: None) as hole:
            sender = Pipeline(settings(hole.url, spool_dir=folder), build)
            for _ in range(20):
                sender.put(Item())
            sender.close(0.0)
            assert (sender.stats()["spooled"], sender.stats()["dropped"]) == (20, {})
            assert rows(folder) == 20

    def test_at_the_end_a_busy_machine_takes_no_time_from_the_disk(self, folder: Path) -> None:
        """Building takes long there, and little of the processor."""

        def slowly(item: Any, values: OtasSettings) -> Envelope | None:
            threading.Event().wait(0.01)  # half of them take longer than there is time
            return build(item, values)

        with RawServer(lambda _connection, _request: None) as hole:
            first = Pipeline(settings(hole.url, spool_dir=folder), build)
            first.put(Item())
            first.close(0.0)  # what is imported with the first event takes more of the processor than events do
            sender = Pipeline(settings(hole.url, spool_dir=folder), slowly)
            for _ in range(100):
                sender.put(Item())
            sender.close(0.3)
            assert (sender.stats()["spooled"], sender.stats()["dropped"]) == (100, {})

    def test_at_the_end_what_is_written_is_not_sent_as_well(self, folder: Path) -> None:
        def slowly(item: Any, given_settings: OtasSettings) -> Envelope | None:
            time.sleep(0.003)  # writing takes longer than an answer, so that threads come back meanwhile
            return build(item, given_settings)

        with LocalBrain(slow_ms=50) as brain:
            token = brain.create_session()
            sender = Pipeline(
                settings(brain.url, sdk_key=brain.sdk_key, spool_dir=folder, max_connections=2, shutdown_timeout=1.0),
                slowly,
            )
            for _ in range(60):
                sender.put(Item(token=token))
            sender.close()
            written = rows(folder)
            assert (written, sender.stats()["dropped"]) == (sender.stats()["spooled"], {})
            time.sleep(0.3)  # a thread that was left over would go on sending
            assert rows(folder) == written
            stored = ids(brain.events())
            assert len(stored) <= sender.stats()["delivered"] + 2  # those whose answers nobody waited for

    def test_a_full_queue_goes_to_disk_instead_of_being_lost(self, folder: Path) -> None:
        with LocalBrain(slow_ms=1000) as brain:
            token = brain.create_session()
            with pipeline(
                brain.url, sdk_key=brain.sdk_key, spool_dir=folder, queue_max_events=1000, max_connections=1
            ) as sender:
                for _ in range(600):
                    sender.put(Item(token=token))
                eventually(lambda: sender.stats()["spooled"] > 200)
                stats = sender.stats()
                assert (stats["dropped"], balance(stats)) == ({}, 0)
                assert stats["queued"] <= 500
                brain.faults.slow_ms = 0
                eventually(lambda: sender.stats()["delivered"] == 600)
            assert len(set(ids(brain.events()))) == 600

    def test_a_flush_writes_to_disk_what_cannot_be_delivered(self, folder: Path) -> None:
        with (
            LocalBrain() as brain,
            pipeline(brain.url, sdk_key=brain.sdk_key, spool_dir=folder, max_retry_delay=20) as sender,
        ):
            brain.faults.down()
            for _ in range(10):
                sender.put(Item())
            assert sender.flush(5.0)
            assert (sender.stats()["spooled"], sender.stats()["queued"]) == (10, 0)

    def test_a_spool_that_cannot_be_used_is_said_once_and_costs_nothing_while_brain_is_well(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "file").touch()
        with (
            LocalBrain() as brain,
            pipeline(brain.url, sdk_key=brain.sdk_key, spool_dir=tmp_path / "file") as sender,
        ):
            token = brain.create_session()
            for _ in range(50):
                sender.put(Item(token=token))
            assert sender.flush(10)
            assert sender.stats()["delivered"] == 50
        assert caplog.text.count("the spool in") == 1

    def test_when_disk_and_brain_are_both_away_the_queue_still_bounds_memory(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with LocalBrain() as brain:
            brain.faults.inject(Mode.RESET)
            with pipeline(brain.url, sdk_key=brain.sdk_key, spool_dir=tmp_path / "file", queue_max_events=20) as sender:
                for _ in range(100):
                    sender.put(Item())
                stats = sender.stats()
                assert stats["queued"] <= 20
                assert stats["dropped"]["queue_full"] >= 80
                assert balance(stats) == 0

    def test_what_waits_for_an_earlier_key_is_told_and_delivered_when_its_file_gets_the_name_that_is_said(
        self, folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        def script(connection: socket.socket, request: Received) -> None:
            known = request.header("X-OTAS-SDK-KEY") == "otas_b_new"
            connection.sendall(created() if known else answer("401 Unauthorized"))

        def run(key: str, state: str, delivered: int, said: str = "") -> None:
            sender = Pipeline(settings(server.url, sdk_key=key, spool_dir=folder), build)
            sender.put(Item())
            eventually(lambda: (sender.stats()["state"], sender.stats()["delivered"]) == (state, delivered))
            eventually(lambda: said in caplog.text)
            sender.close(5.0)

        with RawServer(script) as server:
            run("otas_a_old", "http_401", 0)
            old = only_file(folder)
            assert rows(folder) == 1
            assert "does not deliver" not in caplog.text
            run("otas_b_new", "ok", 1, f"events (1) wait in {old}, which this process does not deliver")
            (new,) = (path for path in folder.glob("*.sqlite3") if path != old)
            assert f"stop the application when {new.name} is empty" in caplog.text
            old.rename(new)
            run("otas_b_new", "ok", 2)

    def test_a_row_that_holds_no_event_is_dropped_and_counted(self, folder: Path, open_disk: OpenDisk) -> None:
        with LocalBrain() as brain, pipeline(brain.url, sdk_key=brain.sdk_key, spool_dir=folder) as sender:
            token = brain.create_session()
            sender.put(Item(token=token))
            assert sender.flush(5)
            eventually(lambda: list(folder.glob("*.sqlite3")))  # a worker has looked for what others have left
            open_disk(only_file(folder), 10_000_000, None).write(
                [Record(b"{}", "a.b.c", "session-1", "agent-1", "backend")]
            )
            eventually(lambda: sender.stats()["dropped"] == {"unreadable": 1}, within=15)
            eventually(lambda: rows(folder) == 0)
            assert balance(sender.stats()) == 0

    def test_what_another_process_took_over_meanwhile_is_no_delivery_of_ours(self, folder: Path) -> None:
        with LocalBrain() as brain:
            asked, answer_it = threading.Event(), threading.Event()

            def script(connection: socket.socket, _request: Received) -> None:
                asked.set()
                answer_it.wait(PATIENCE)
                connection.sendall(created())

            with (
                RawServer(script) as server,
                pipeline(server.url, sdk_key=brain.sdk_key, spool_dir=folder, durability="spool") as sender,
            ):
                sender.put(Item())
                assert asked.wait(PATIENCE)
                with closing(sqlite3.connect(only_file(folder))) as connection, connection:
                    connection.execute("UPDATE event SET lease_owner = 'another', lease_until = ?", (time.time() + 60,))
                answer_it.set()
                eventually(lambda: sender.stats()["possible_duplicates"] == 1)
                stats = sender.stats()
                assert (stats["captured"], stats["delivered"], stats["spooled"], balance(stats)) == (1, 0, 1, 0)

    def test_the_log_says_how_many_wait_on_disk(self, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO")
        with LocalBrain() as brain:
            token = brain.create_session()
            brain.faults.down()
            first = Pipeline(settings(brain.url, sdk_key=brain.sdk_key, spool_dir=folder), build)
            for _ in range(30):
                first.put(Item(token=token))
            eventually(lambda: first.stats()["spooled"] == 30)
            first.close()
            with pipeline(brain.url, sdk_key=brain.sdk_key, spool_dir=folder) as second:
                second.put(Item(token=token))
                eventually(lambda: caplog.text.count("takes no events now") == 2)
                assert "31 wait and are sent when it does" in caplog.text
                brain.faults.up()
                eventually(lambda: second.stats()["delivered"] == 31)

    def test_keys_of_two_projects_never_share_events(self, folder: Path) -> None:
        with LocalBrain() as brain:
            brain.faults.down()
            first = Pipeline(settings(brain.url, sdk_key="otas_aaaa_one", spool_dir=folder), build)
            first.put(Item())
            first.close()
            brain.faults.up()
            with pipeline(brain.url, sdk_key=brain.sdk_key, spool_dir=folder) as second:
                second.put(Item(token=brain.create_session()))
                assert second.flush(5)
                assert (second.stats()["delivered"], second.stats()["spooled"]) == (1, 0)
            assert len(list(folder.glob("*.sqlite3"))) == 2

    def test_a_suspect_keeps_its_failures_on_disk(self, folder: Path) -> None:
        with LocalBrain() as brain:
            token = brain.create_session()
            brain.faults.inject(Mode.RESET_AFTER, times=1)
            first = Pipeline(settings(brain.url, sdk_key=brain.sdk_key, spool_dir=folder, max_retry_delay=60), build)
            first.put(Item(token=token))
            eventually(lambda: bool(first.stats()["failures"]))
            first.close()
            with pipeline(brain.url, sdk_key=brain.sdk_key, spool_dir=folder) as second:
                second.put(Item(token=token))
                eventually(lambda: second.stats()["delivered"] == 2)
                assert second.stats()["possible_duplicates"] == 1
            assert len(brain.events()) == 3
