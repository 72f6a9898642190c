"""What version 0.1.0 left is delivered: its spool files and its Celery messages. The fixtures were written by it."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from otas_middleware._delivery.codec import TokenCipher, read_message
from support.delivery import SDK_KEY, Item, RawServer, balance, created, eventually, pipeline, settings

if TYPE_CHECKING:
    import socket

    from support.delivery import Received

FIXTURES = Path(__file__).parent / "fixtures"
SPOOL_KEY = "c2l4dGVlbi1ieXRlcy1hbmQtc2l4dGVlbi1tb3JlISE="
PATHS = ["/orders/1", "/orders/2", "/orders/3"]


def taken(server: RawServer) -> dict[str, Received]:
    return {json.loads(request.body)["path"]: request for request in server.requests}


def take(connection: socket.socket, _request: Received) -> None:
    connection.sendall(created())


@pytest.mark.parametrize(("kind", "key"), [("plain", None), ("sealed", SPOOL_KEY)])
def test_a_spool_of_0_1_0_is_delivered_under_its_own_name(tmp_path: Path, kind: str, key: str | None) -> None:
    folder = tmp_path / "spool"
    folder.mkdir(mode=0o700)
    with RawServer(take) as server:
        mark = hashlib.sha256(f"{server.url} {SDK_KEY}".encode()).hexdigest()[:12]
        file = folder / f"otas-brain-{mark}.sqlite3"
        shutil.copy(FIXTURES / f"spool-0.1.0-{kind}.sqlite3", file)
        with pipeline(server.url, spool_dir=folder, spool_key=key) as sender:
            sender.put(Item(path="/new"))
            eventually(lambda: sender.stats()["delivered"] == 4)
            stats = sender.stats()
            assert (stats["spooled"], stats["dropped"], balance(stats)) == (-3, {}, 0)
            assert stats["possible_duplicates"] == 1  # the third may have been stored already, as it says itself
        requests = taken(server)
        assert sorted(requests) == ["/new", *PATHS]
        for number, path in enumerate(PATHS, 1):
            assert requests[path].header("X-OTAS-AGENT-SESSION-TOKEN") == f"header.payload-{number}.signature"
            event = json.loads(requests[path].body)
            assert event["request_body"] == '{"item":"räksmörgås"}'
            assert event["metadata"]["event_id"].endswith(str(number))
        with closing(sqlite3.connect(file)) as connection:
            assert connection.execute("SELECT count(*) FROM event").fetchone() == (0,)
        assert list(folder.glob("*.version-*")) == []


@pytest.mark.parametrize(("kind", "key"), [("plain", None), ("sealed", SPOOL_KEY)])
def test_messages_of_0_1_0_are_read(kind: str, key: str | None) -> None:
    messages: list[dict[str, Any]] = json.loads((FIXTURES / f"messages-0.1.0-{kind}.json").read_text(encoding="utf-8"))
    cipher = TokenCipher(key) if key is not None else None
    for number, message in enumerate(messages, 1):
        read = read_message(message, cipher)
        assert (read.destination, read.failures, read.failed_at) == ("brain", number - 1, None)
        assert read.item.envelope is not None
        assert read.item.envelope.token == f"header.payload-{number}.signature"
        assert read.item.envelope.event.path == f"/orders/{number}"


def test_messages_of_0_1_0_are_delivered_by_the_task() -> None:
    pytest.importorskip("celery")
    import otas_middleware.celery as worker

    (first, second) = json.loads((FIXTURES / "messages-0.1.0-plain.json").read_text(encoding="utf-8"))
    with RawServer(take) as server:
        worker.use(settings(server.url))
        try:
            for message in (first, second):
                worker.deliver.run(message)
        finally:
            worker.use(None)
        assert sorted(taken(server)) == PATHS[:2]
