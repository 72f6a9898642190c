"""What goes wrong with the spool while it is in use: no event is stuck, sent for another, or counted wrongly."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.fernet import Fernet

from otas_middleware._capture import Capture
from otas_middleware._capture.session import TokenGate
from otas_middleware._delivery import Pipeline
from otas_middleware._delivery import spooler as spooler_module
from otas_middleware._delivery.codec import Record, TokenCipher
from otas_middleware._delivery.disk_queue import file as file_module
from otas_middleware._delivery.disk_queue.file import SpoolError
from otas_middleware._delivery.log import DeliveryLog
from otas_middleware._delivery.queue import Queue
from otas_middleware._delivery.queue_item import built
from otas_middleware._delivery.spooler import Spooler
from otas_middleware._event.build import build as build_event
from otas_middleware.localbrain import LocalBrain
from support.delivery import PATIENCE, Item, RawServer, balance, build, created, eventually, pipeline, settings
from support.interrupting import at_each_line

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._delivery.disk_queue import DiskQueue
    from otas_middleware._event import Envelope
    from support.delivery import OpenDisk, Received


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "spool" / "otas-brain.sqlite3"


@pytest.fixture
def disk(file: Path, open_disk: OpenDisk) -> DiskQueue:
    return open_disk(file, 100_000_000, None)


@pytest.fixture
def brain() -> Iterator[RawServer]:
    """Takes everything."""

    def script(connection: socket.socket, _request: Received) -> None:
        connection.sendall(created())

    with RawServer(script) as server:
        yield server


def record(body: bytes = b"{}") -> Record:
    return Record(body, "header.payload.signature", "session-1", "agent-1", "backend")


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def token(**claims: object) -> str:
    """A token that anybody may make."""
    return f"{part({'alg': 'HS256'})}.{part({'agent_session_id': 's', 'agent_id': 'a', **claims})}.c2lnbmF0dXJl"


@pytest.mark.parametrize("claim", ["agent_session_id", "agent_id"])
@pytest.mark.parametrize("durability", ["memory", "spool"])
def test_a_token_that_claims_what_is_no_text_costs_no_other_event_its_place_on_disk(
    tmp_path: Path, durability: str, claim: str
) -> None:
    def capture(raw: str) -> Capture:
        session = TokenGate().admit(raw, time.time())
        assert session is not None
        made = Capture(lambda _capture: None, session, 1000, False)
        made.framework, made.method, made.path, made.request_headers = "wsgi", "GET", "/orders", []
        made.started(200, [])
        made.ended()
        made.finish()
        return made

    with LocalBrain() as local:
        good = local.create_session()
        local.faults.down()
        sender = Pipeline(
            settings(local.url, sdk_key=local.sdk_key, spool_dir=tmp_path / "spool", durability=durability), build_event
        )
        for raw in (good, token(**{claim: "\ud800"}), good):
            sender.put(capture(raw))
        eventually(lambda: sender.stats()["spooled"] == 3)
        assert balance(sender.stats()) == 0
        local.faults.up()
        eventually(lambda: sender.stats()["delivered"] == 2)
        eventually(lambda: sender.stats()["dropped"] == {"bad_token": 1})
        sender.close()


def test_a_broken_file_that_cannot_be_set_aside_is_a_disk_that_fails(disk: DiskQueue, file: Path) -> None:
    disk.write([record(bytes(1000)) for _ in range(200)])
    disk.close()
    data = bytearray(file.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    file.write_bytes(data)
    (file.parent / "otas-lock").mkdir()  # as where the file system has become read-only: nothing can be renamed
    with pytest.raises(SpoolError):
        disk.claim(10)


def test_what_was_written_is_not_kept_in_memory_too_when_the_rest_of_its_batch_fails(
    disk: DiskQueue, file: Path
) -> None:
    queue = Queue(100, 1_000_000)
    spooler = Spooler(queue, disk, lambda _item: True, DeliveryLog("brain", None, lambda: 0), 30.0)
    held, new = built(Item().envelope()), built(Item().envelope())
    assert spooler.write_through(held)
    queue.add(held)
    queue.add(new)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TRIGGER sick BEFORE UPDATE ON event BEGIN SELECT RAISE(FAIL, 'sick'); END")
    spooler.spill(0, time.monotonic())
    assert queue.grab(10, 0) == [held]
    assert (queue.stats()["spooled"], disk.count()) == (2, 2)


def test_what_could_not_be_sent_in_time_is_given_back_and_delivered(
    tmp_path: Path, brain: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pipeline(brain.url, spool_dir=tmp_path / "spool", durability="spool") as sender:
        with monkeypatch.context() as patched:
            patched.setattr(spooler_module, "LEASE", 1.0)  # as after a disk, or the whole process, stood still
            sender.put(Item())
            assert sender.flush(10)
        assert (sender.stats()["delivered"], brain.requests) == (0, [])
        (exporter,) = sender._state.exporters
        exporter.maintain(time.monotonic())
        sender.put(Item())
        eventually(lambda: sender.stats()["delivered"] == 2)
        assert balance(sender.stats()) == 0


def test_events_on_disk_are_delivered_although_one_delivery_may_take_longer_than_a_lease(
    tmp_path: Path, brain: RawServer
) -> None:
    with pipeline(brain.url, spool_dir=tmp_path / "spool", durability="spool", request_timeout=600) as sender:
        sender.put(Item())
        eventually(lambda: sender.stats()["delivered"] == 1)


def test_an_event_whose_row_is_deleted_was_delivered_whatever_becomes_of_the_files_size(
    disk: DiskQueue, file: Path
) -> None:
    disk.write([record(bytes(20_000)) for _ in range(50)])
    rows = [row for row, _ in disk.claim(50)]
    connection = disk._connection
    assert connection is not None
    connection.execute("PRAGMA busy_timeout = 0")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:

        def lock(statement: str) -> None:
            if statement == "PRAGMA page_count" and not other.in_transaction:
                other.execute("BEGIN IMMEDIATE")  # another process begins to write before the file is made smaller

        connection.set_trace_callback(lock)
        assert disk.acknowledge(rows) == 50
        assert other.in_transaction
    assert disk.count() == 0


def test_a_new_file_does_not_use_the_numbers_of_one_that_was_removed(disk: DiskQueue, file: Path) -> None:
    before, _ = disk.write([record(b"1"), record(b"2")], leased=True)
    for path in file.parent.glob("otas-brain.sqlite3*"):
        path.unlink()
    disk.write([record(b"3"), record(b"4")], leased=True)
    assert disk.acknowledge(before) == 0
    assert disk.count() == 2


def test_what_comes_back_from_disk_fits_into_memory(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    with RawServer(lambda _connection, _request: None) as hung:
        first = Pipeline(settings(hung.url, spool_dir=folder), build)
        for _ in range(40):
            first.put(Item(body="x" * 100_000))
        first.close(0.0)
        assert first.stats()["spooled"] == 40
        with pipeline(hung.url, spool_dir=folder, queue_max_bytes=1_000_000) as second:
            second.put(Item())
            eventually(lambda: second.stats()["in_flight"] == 1)
            assert 100_000 < second.stats()["queued_bytes"] < 1_000_000


def test_while_waiting_events_leave_no_room_for_those_on_disk_nobody_looks_for_them(
    tmp_path: Path, brain: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spooler_module, "POLL", 0.0)
    with pipeline(brain.url, spool_dir=tmp_path / "spool", queue_max_events=40, session_secret="s" * 32) as sender:
        of_later = token(iat=time.time() + 300)  # of one session, which is held back as a whole
        for _ in range(15):
            sender.put(Item(token=of_later))
        (exporter,) = sender._state.exporters
        eventually(lambda: exporter._queue.pause(time.monotonic()) is not None)
        eventually(lambda: not exporter._queue.in_flight and not exporter._pace.sending)
        work = exporter.next_work()
        assert not work.items
        assert work.pause is not None
        assert work.pause > 1.0


def test_a_pipeline_that_several_threads_end_at_once_writes_each_event_once(
    tmp_path: Path, open_disk: OpenDisk
) -> None:
    """As a relay does when several of its hosts end."""
    folder = tmp_path / "spool"

    def slowly(item: Any, given_settings: OtasSettings) -> Envelope | None:
        time.sleep(0.002)
        return build(item, given_settings)

    with LocalBrain() as local:
        local.faults.down()
        sender = Pipeline(settings(local.url, spool_dir=folder), slowly)
        for _ in range(100):
            sender.put(Item())
        threads = [threading.Thread(target=sender.close, args=(PATIENCE,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (file,) = folder.glob("*.sqlite3")
        assert open_disk(file, 100_000_000, None).count() == 100
        assert (sender.stats()["spooled"], sender.stats()["dropped"]) == (100, {})


def test_events_that_only_another_key_can_read_hold_up_no_other(
    tmp_path: Path, brain: RawServer, monkeypatch: pytest.MonkeyPatch, open_disk: OpenDisk
) -> None:
    monkeypatch.setattr(spooler_module, "POLL", 600.0)
    key, another = (Fernet.generate_key().decode() for _ in range(2))
    values = {"spool_dir": tmp_path / "spool", "spool_key": key}
    with pipeline(brain.url, durability="spool", **values) as sender:
        sender.put(Item())
        eventually(lambda: sender.stats()["delivered"] == 1)
    (file,) = (tmp_path / "spool").glob("*.sqlite3")
    body = Item().envelope().event.to_json()
    open_disk(file, 100_000_000, TokenCipher(another)).write([record(body)] * 250)
    open_disk(file, 100_000_000, TokenCipher(key)).write([record(body)])
    with pipeline(brain.url, **values) as sender:
        sender.put(Item())
        eventually(lambda: sender.stats()["delivered"] == 2)


def test_where_the_clock_jumps_a_process_does_not_take_what_it_holds_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a machine wakes up, or a container was frozen."""
    monkeypatch.setattr(spooler_module, "POLL", 0.05)
    asked, go_on = threading.Event(), threading.Event()

    def script(connection: socket.socket, _request: Received) -> None:
        asked.set()
        go_on.wait(PATIENCE)
        connection.sendall(created())

    with (
        RawServer(script) as server,
        pipeline(server.url, spool_dir=tmp_path / "spool", durability="spool", session_secret="s" * 32) as sender,
    ):
        for _ in range(20):
            sender.put(Item())
        assert asked.wait(PATIENCE)
        (file,) = (tmp_path / "spool").glob("*.sqlite3")
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("UPDATE event SET lease_until = 1")
        sender.put(Item())  # another worker looks for what lies on disk
        go_on.set()
        eventually(lambda: sender.stats()["delivered"] == 21)
        assert (len(server.requests), sender.stats()["possible_duplicates"]) == (21, 0)


def test_a_process_whose_name_was_cut_in_the_middle_of_a_character_can_spool(
    disk: DiskQueue, file: Path, open_disk: OpenDisk
) -> None:
    name = Path("/proc/self/comm")
    before = name.read_bytes().rstrip(b"\n")
    name.write_bytes("gunicorn: café".encode()[:14])
    try:
        other = open_disk(file, 1_000_000, None)
        other.write([record()], leased=True)
        assert disk.claim(1) == []  # its holder is alive
        other.close()
    finally:
        name.write_bytes(before)


def test_wherever_a_signals_handler_raises_no_transaction_is_left_open(disk: DiskQueue) -> None:
    """As a soft time limit of Celery's does, which the task may survive."""
    disk.write([record()])
    found = set[str]()
    for interrupted in at_each_line(
        lambda code: code.co_name == "transaction" and code.co_filename == file_module.__file__,
        lambda: disk.write([record()]),
    ):
        disk.write([record()])
        found |= interrupted
    assert len(found) >= 4
