"""The spool: what goes to disk, who may read it, and how it comes back."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.fernet import Fernet

from otas_middleware._delivery import Pipeline
from otas_middleware._delivery.codec import Record, TokenCipher
from otas_middleware._delivery.disk_queue.file import SpoolError
from otas_middleware._delivery.disk_queue.store import LEASE, DiskQueue, Held, is_gone
from otas_middleware._delivery.exporter import Exporter
from otas_middleware._errors import ConfigurationError, MissingExtraError
from otas_middleware.localbrain import LocalBrain, Mode
from support.delivery import PATIENCE, Item, RawServer, balance, build, created, eventually, pipeline, settings

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._delivery.worker_pool import Work
    from otas_middleware._event.model import Envelope
    from otas_middleware.localbrain import StoredEvent
    from support.delivery import OpenDisk, Received

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.c2VjcmV0"


def record(number: int, body: bytes = b"") -> Record:
    return Record(body or b'{"n": %d}' % number, TOKEN, "session-1", "agent-1", "backend")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def spool(folder: Path, open_disk: OpenDisk) -> DiskQueue:
    return open_disk(folder / "otas-brain.sqlite3", 10_000_000, None)


def only_file(folder: Path) -> Path:
    (found,) = folder.glob("*.sqlite3")
    return found


class TestTheFile:
    def test_only_its_user_may_read_it(self, spool: DiskQueue, folder: Path) -> None:
        os.umask(os.umask(0))
        spool.write([record(1)])
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        files = list(folder.iterdir())
        assert {path.suffix for path in files} >= {".sqlite3", ".sqlite3-wal", ".sqlite3-shm"}
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}

    def test_an_open_but_empty_directory_is_closed_to_others(self, spool: DiskQueue, folder: Path) -> None:
        folder.mkdir(mode=0o755)
        spool.write([record(1)])
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    def test_an_open_directory_with_other_files_is_not_used(self, spool: DiskQueue, folder: Path) -> None:
        folder.mkdir(mode=0o755)
        (folder / "index.html").touch()
        with pytest.raises(SpoolError, match="a directory of its own"):
            spool.write([record(1)])
        assert stat.S_IMODE(folder.stat().st_mode) == 0o755

    def test_somebody_elses_directory_is_not_used(
        self, spool: DiskQueue, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder.mkdir(mode=0o700)
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        with pytest.raises(SpoolError, match="belongs to another user"):
            spool.write([record(1)])

    def test_a_symbolic_link_is_not_followed(self, spool: DiskQueue, folder: Path, tmp_path: Path) -> None:
        folder.mkdir(mode=0o700)
        (folder / "otas-brain.sqlite3").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(SpoolError):
            spool.write([record(1)])
        assert not (tmp_path / "elsewhere").exists()

    @pytest.mark.parametrize("content", [b"not a database at all" * 400, b"SQLite format 3\0" + b"\xff" * 8000])
    def test_a_corrupt_file_is_set_aside(self, spool: DiskQueue, folder: Path, content: bytes) -> None:
        folder.mkdir(mode=0o700)
        path = folder / "otas-brain.sqlite3"
        path.write_bytes(content)
        spool.write([record(1)])
        assert len(spool.claim(10)) == 1
        (aside,) = folder.glob("otas-brain.sqlite3.corrupt-*")
        assert aside.read_bytes() == content

    def test_a_file_that_breaks_while_it_is_open_is_set_aside(self, spool: DiskQueue, folder: Path) -> None:
        spool.write([record(number) for number in range(200)])
        spool.close()
        path = folder / "otas-brain.sqlite3"
        data = bytearray(path.read_bytes())
        data[4096:] = os.urandom(len(data) - 4096)
        path.write_bytes(data)
        with pytest.raises(SpoolError, match="set aside"):
            spool.claim(10)
        spool.write([record(1)])
        assert len(spool.claim(10)) == 1
        assert len(list(folder.glob("*.corrupt-*"))) == 1

    def test_a_foreign_database_is_set_aside_untouched(self, spool: DiskQueue, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        path = folder / "otas-brain.sqlite3"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE event (mine)")
            connection.commit()
        spool.write([record(1)])
        (aside,) = folder.glob("otas-brain.sqlite3.foreign-*")
        with closing(sqlite3.connect(aside)) as connection:
            assert connection.execute("SELECT count(*) FROM event").fetchone() == (0,)

    def test_a_file_of_another_version_is_set_aside(self, spool: DiskQueue, folder: Path) -> None:
        spool.write([record(1)])
        spool.close()
        with closing(sqlite3.connect(folder / "otas-brain.sqlite3")) as connection:
            connection.execute("PRAGMA user_version = 7")
        spool.write([record(2)])
        assert [found.body for _, found in spool.claim(10)] == [record(2).body]
        assert len(list(folder.glob("*.version-7-*"))) == 1

    def test_a_file_that_was_deleted_is_made_again(self, spool: DiskQueue, folder: Path) -> None:
        spool.write([record(1)])
        for path in folder.iterdir():
            path.unlink()
        spool.write([record(2)])
        assert [found.body for _, found in spool.claim(10)] == [record(2).body]


class TestLeases:
    def test_events_come_back_in_order_and_once(self, spool: DiskQueue) -> None:
        spool.write([record(number) for number in range(5)])
        assert [found.body for _, found in spool.claim(3)] == [record(number).body for number in range(3)]
        assert [found.body for _, found in spool.claim(3)] == [record(number).body for number in (3, 4)]
        assert spool.claim(3) == []

    def test_two_processes_never_get_the_same_event(self, spool: DiskQueue, folder: Path, open_disk: OpenDisk) -> None:
        other = open_disk(folder / "otas-brain.sqlite3", 10_000_000, None)
        spool.write([record(number) for number in range(10)])
        mine, theirs = spool.claim(6), other.claim(6)
        assert (len(mine), len(theirs)) == (6, 4)
        assert {row for row, _ in mine}.isdisjoint(row for row, _ in theirs)

    def test_an_acknowledged_event_is_gone_without_a_trace(self, spool: DiskQueue, folder: Path) -> None:
        spool.write([record(1, b'{"body": "a very particular text"}')])
        ((row, _),) = spool.claim(1)
        assert spool.acknowledge([row]) == 1
        spool.close()
        assert b"a very particular text" not in only_file(folder).read_bytes()

    def test_a_dead_process_lease_runs_out(
        self, spool: DiskQueue, folder: Path, monkeypatch: pytest.MonkeyPatch, open_disk: OpenDisk
    ) -> None:
        spool.write([record(1)], leased=True)
        other = open_disk(folder / "otas-brain.sqlite3", 10_000_000, None)
        assert other.claim(1) == []
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + LEASE + 1)
        ((_, found),) = other.claim(1)
        assert found.possibly_stored

    def test_a_process_that_can_be_seen_to_be_dead_is_not_waited_for(self, spool: DiskQueue, folder: Path) -> None:
        path = str(folder / "otas-brain.sqlite3")
        code = f"""
import os, signal
from pathlib import Path
from otas_middleware._delivery.codec import Record
from otas_middleware._delivery.disk_queue.store import DiskQueue
DiskQueue(Path({path!r}), 10_000_000, None).write([Record(b"{{}}", "t", "s", "a", "backend")], leased=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
        subprocess.run([sys.executable, "-c", code], check=False)
        ((_, found),) = spool.claim(1)
        assert found.possibly_stored  # it may have been sent in the last moment

    def test_a_process_that_lives_keeps_its_lease(self, spool: DiskQueue, folder: Path, open_disk: OpenDisk) -> None:
        spool.write([record(1)], leased=True)
        assert not is_gone(spool._owner)
        assert open_disk(folder / "otas-brain.sqlite3", 10_000_000, None).claim(1) == []

    @pytest.mark.parametrize("owner", ["", "x", "elsewhere/1/2/abc", "a/b/c/d", "None/1/None/x"])
    def test_of_a_process_elsewhere_nobody_knows(self, owner: str) -> None:
        assert not is_gone(owner)

    def test_what_was_learnt_of_an_event_goes_back_with_it(self, spool: DiskQueue) -> None:
        spool.write([record(1)])
        ((row, found),) = spool.claim(1)
        assert (found.failures, found.possibly_stored) == (0, False)
        spool.release([Held(row, 3, possibly_stored=True)])
        ((_, found),) = spool.claim(1)
        assert (found.failures, found.possibly_stored) == (3, True)

    def test_a_renewed_lease_lasts(
        self, spool: DiskQueue, folder: Path, monkeypatch: pytest.MonkeyPatch, open_disk: OpenDisk
    ) -> None:
        spool.write([record(1)], leased=True)
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + LEASE - 1)
        spool.renew()
        monkeypatch.setattr(time, "time", lambda: now + LEASE + 1)
        assert open_disk(folder / "otas-brain.sqlite3", 10_000_000, None).claim(1) == []

    def test_a_late_acknowledgement_does_not_delete_what_another_process_holds(
        self, spool: DiskQueue, folder: Path, monkeypatch: pytest.MonkeyPatch, open_disk: OpenDisk
    ) -> None:
        other = open_disk(folder / "otas-brain.sqlite3", 10_000_000, None)
        spool.write([record(1)])
        ((row, _),) = spool.claim(1)
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + LEASE + 1)
        assert len(other.claim(1)) == 1
        assert spool.acknowledge([row]) == 0
        assert other.acknowledge([row]) == 1

    def test_a_clock_that_was_set_back_does_not_lock_events_away(
        self, spool: DiskQueue, folder: Path, monkeypatch: pytest.MonkeyPatch, open_disk: OpenDisk
    ) -> None:
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 1_000_000)
        spool.write([record(1)], leased=True)
        monkeypatch.setattr(time, "time", lambda: now)
        assert len(open_disk(folder / "otas-brain.sqlite3", 10_000_000, None).claim(1)) == 1


class TestBounds:
    def test_the_oldest_make_room_and_are_counted(self, folder: Path, open_disk: OpenDisk) -> None:
        spool = open_disk(folder / "otas-brain.sqlite3", 1_048_576, None)
        evicted = 0
        for number in range(400):
            evicted += spool.write([record(number, b"%06d" % number + b"x" * 10_000)])[1]
        kept = [int(found.body[:6]) for _, found in spool.claim(1000)]
        assert len(kept) + evicted == 400
        assert kept == list(range(evicted, 400)), "the youngest are kept, in order"
        spool.close()
        assert sum(path.stat().st_size for path in folder.glob("*.sqlite3")) < 1_500_000

    def test_of_a_batch_that_is_larger_than_the_spool_the_youngest_are_kept(
        self, folder: Path, open_disk: OpenDisk
    ) -> None:
        spool = open_disk(folder / "otas-brain.sqlite3", 1_048_576, None)
        _, evicted = spool.write([record(number, b"%06d" % number + b"x" * 100_000) for number in range(100)])
        kept = [int(found.body[:6]) for _, found in spool.claim(1000)]
        assert kept == list(range(evicted, 100))
        assert 4 <= len(kept) <= 12

    def test_a_drained_spools_file_is_small_again(self, folder: Path, open_disk: OpenDisk) -> None:
        spool = open_disk(folder / "otas-brain.sqlite3", 100_000_000, None)
        for _ in range(5):
            spool.write([record(number, os.urandom(10_000)) for number in range(100)])
        while found := spool.claim(100):
            spool.acknowledge([row for row, _ in found])
        spool.close()
        assert only_file(folder).stat().st_size < 100_000

    def test_a_spool_that_is_hardly_used_any_more_shrinks_step_by_step(self, folder: Path, open_disk: OpenDisk) -> None:
        spool = open_disk(folder / "otas-brain.sqlite3", 100_000_000, None)
        spool.write([record(number, os.urandom(10_000)) for number in range(1000)])
        spool.claim(1)
        (*rows,) = (row for row, _ in spool.claim(900))
        for start in range(0, len(rows), 20):
            spool.acknowledge(rows[start : start + 20])
        spool.close()
        assert only_file(folder).stat().st_size < 5_000_000
        assert len(open_disk(folder / "otas-brain.sqlite3", 100_000_000, None).claim(1000)) == 99

    def test_a_spool_full_of_leased_events_says_so(self, folder: Path, open_disk: OpenDisk) -> None:
        spool = open_disk(folder / "otas-brain.sqlite3", 1_048_576, None)
        batch = [record(number, b"x" * 10_000) for number in range(500)]
        with pytest.raises(SpoolError, match="OTAS_SPOOL_MAX_BYTES"):
            spool.write(batch, leased=True)


class TestSecrets:
    def test_the_token_is_encrypted_when_a_key_is_set(self, folder: Path, open_disk: OpenDisk) -> None:
        key = Fernet.generate_key().decode()
        spool = open_disk(folder / "otas-brain.sqlite3", 10_000_000, TokenCipher(key))
        spool.write([record(1)])
        spool.close()
        for path in folder.iterdir():
            assert TOKEN.encode() not in path.read_bytes()
            assert b"c2VjcmV0" not in path.read_bytes()
        ((_, found),) = open_disk(folder / "otas-brain.sqlite3", 10_000_000, TokenCipher(key)).claim(1)
        assert found.token == TOKEN

    def test_a_new_key_in_front_still_reads_what_the_old_one_wrote(self, folder: Path, open_disk: OpenDisk) -> None:
        old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
        open_disk(folder / "otas-brain.sqlite3", 10_000_000, TokenCipher(old)).write([record(1)])
        ((_, found),) = open_disk(folder / "otas-brain.sqlite3", 10_000_000, TokenCipher(f"{new}, {old}")).claim(1)
        assert found.token == TOKEN

    @pytest.mark.parametrize("cipher", [None, TokenCipher(Fernet.generate_key().decode())])
    def test_without_the_right_key_an_event_stays_for_those_who_have_it(
        self, folder: Path, cipher: TokenCipher | None, monkeypatch: pytest.MonkeyPatch, open_disk: OpenDisk
    ) -> None:
        key = Fernet.generate_key().decode()
        open_disk(folder / "otas-brain.sqlite3", 10_000_000, TokenCipher(key)).write([record(1)])
        stranger = open_disk(folder / "otas-brain.sqlite3", 10_000_000, cipher)
        assert stranger.claim(10) == []
        assert stranger.unreadable == 1
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 3601)
        assert len(open_disk(folder / "otas-brain.sqlite3", 10_000_000, TokenCipher(key)).claim(10)) == 1

    def test_a_bad_key_is_refused_at_start_without_being_shown(self, folder: Path) -> None:
        with pytest.raises(ConfigurationError, match="OTAS_SPOOL_KEY") as caught:
            Pipeline(settings("http://brain.invalid", spool_dir=folder, spool_key="my-secret-password"), build)
        assert "my-secret-password" not in str(caught.value)

    def test_a_missing_extra_is_named_at_start(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("importlib.util.find_spec", _no_package)
        with pytest.raises(MissingExtraError, match=r"pip install 'otas-middleware\[encryption\]'"):
            TokenCipher(Fernet.generate_key().decode())

    def test_a_record_does_not_show_its_token(self) -> None:
        assert TOKEN not in repr(record(1))


def _no_package(_name: str) -> None:
    return None


def ids(events: list[StoredEvent]) -> list[str]:
    return [event["metadata"]["event_id"] for event in events]


def rows(folder: Path) -> int:
    with closing(sqlite3.connect(only_file(folder))) as connection:
        found: tuple[int] = connection.execute("SELECT count(*) FROM event").fetchone()
        return found[0]


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
            threading.Event().wait(0.02)
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

    def test_a_row_that_holds_no_event_is_dropped_and_counted(self, folder: Path, open_disk: OpenDisk) -> None:
        with LocalBrain() as brain, pipeline(brain.url, sdk_key=brain.sdk_key, spool_dir=folder) as sender:
            token = brain.create_session()
            sender.put(Item(token=token))
            assert sender.flush(5)
            eventually(lambda: list(folder.glob("*.sqlite3")))  # a worker has looked for what others have left
            open_disk(only_file(folder), 10_000_000, None).write([record(1)])
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
