"""The spool: what goes to disk, who may read it, and how it comes back."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from cryptography.fernet import Fernet

from otas_middleware._delivery import Pipeline
from otas_middleware._delivery.codec import Record, TokenCipher
from otas_middleware._delivery.disk_queue import LEASE, DiskQueue, Held
from otas_middleware._delivery.disk_queue.file import SpoolError, is_gone
from otas_middleware._errors import ConfigurationError, MissingExtraError
from support.delivery import (
    build,
    only_file,
    settings,
)

if TYPE_CHECKING:
    from pathlib import Path

    from support.delivery import OpenDisk

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.c2VjcmV0"


def record(number: int, body: bytes = b"") -> Record:
    return Record(body or b'{"n": %d}' % number, TOKEN, "session-1", "agent-1", "backend")


@pytest.fixture
def spool(folder: Path, open_disk: OpenDisk) -> DiskQueue:
    return open_disk(folder / "otas-brain.sqlite3", 10_000_000, None)


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

    @pytest.mark.parametrize(
        ("damage", "left"), [("session_id = CAST(x'ff' AS TEXT)", [1, 2]), ("sealed = 1, token = ?", [2])]
    )
    def test_a_row_that_holds_no_text_keeps_no_other_from_being_read(
        self, folder: Path, damage: str, left: list[int], open_disk: OpenDisk
    ) -> None:
        """As one of a key that begins as ours does, which the signature does not tell from ours."""
        key = Fernet.generate_key()
        spool = open_disk(folder / "otas-brain.sqlite3", 10_000_000, TokenCipher(key.decode()))
        (row, _), _ = spool.write([record(1), record(2)])
        with closing(sqlite3.connect(only_file(folder))) as connection, connection:
            values = (Fernet(key).encrypt(b"\xff"),) if "?" in damage else ()
            connection.execute(f"UPDATE event SET {damage} WHERE id = {row}", values)
        assert [found.body for _, found in spool.claim(10)] == [record(number).body for number in left]


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
from otas_middleware._delivery.disk_queue import DiskQueue
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
        self, folder: Path, cipher: TokenCipher | None, open_disk: OpenDisk
    ) -> None:
        key = Fernet.generate_key().decode()
        open_disk(folder / "otas-brain.sqlite3", 10_000_000, TokenCipher(key)).write([record(1)])
        stranger = open_disk(folder / "otas-brain.sqlite3", 10_000_000, cipher)
        assert stranger.claim(10) == []
        assert stranger.unreadable == 1
        assert len(open_disk(folder / "otas-brain.sqlite3", 10_000_000, TokenCipher(key)).claim(10)) == 1

    def test_without_the_right_key_an_event_is_tried_again_after_an_hour_only(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, open_disk: OpenDisk
    ) -> None:
        key = Fernet.generate_key().decode()
        open_disk(folder / "otas-brain.sqlite3", 10_000_000, TokenCipher(key)).write([record(1), record(2)])
        stranger = open_disk(folder / "otas-brain.sqlite3", 10_000_000, None)
        assert [stranger.claim(1), stranger.claim(1), stranger.claim(1), stranger.unreadable] == [[], [], [], 2]
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 3601)
        assert [stranger.claim(2), stranger.unreadable] == [[], 4]

    def test_events_whose_key_is_lost_make_room_as_others_do(self, folder: Path, open_disk: OpenDisk) -> None:
        lost = open_disk(folder / "otas-brain.sqlite3", 4_000_000, TokenCipher(Fernet.generate_key().decode()))
        lost.write([record(number, b"x" * 100_000) for number in range(35)])
        spool = open_disk(folder / "otas-brain.sqlite3", 4_000_000, TokenCipher(Fernet.generate_key().decode()))
        assert spool.claim(100) == []
        written = [spool.write([record(number, b"y" * 100_000)]) for number in range(35)]
        assert sum(evicted for _, evicted in written) >= 30
        assert len(spool.claim(100)) == 35

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
