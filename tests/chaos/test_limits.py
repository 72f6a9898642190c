"""Throughput, and ten million events over a Brain that hangs. Part of `make chaos`."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time

import pytest

from chaos import report
from support.delivery import Item, RawServer, pipeline, rate_reached

SINK = """
import socket, threading
ANSWER = b"HTTP/1.1 201 Created\\r\\nContent-Type: application/json\\r\\nContent-Length: 2\\r\\n\\r\\n{}"

def serve(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = b""
    while True:
        end = buffer.find(b"\\r\\n\\r\\n")
        if end < 0:
            data = connection.recv(65536)
            if not data:
                return
            buffer += data
            continue
        head = buffer[:end].lower()
        length = int(head[head.index(b"content-length:") + 15:].split(b"\\r", 1)[0])
        while len(buffer) < end + 4 + length:
            buffer += connection.recv(65536)
        buffer = buffer[end + 4 + length:]
        connection.sendall(ANSWER)

listener = socket.create_server(("127.0.0.1", 0), backlog=100)
print(listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["direct"])
def test_one_process_sends_three_thousand_events_a_second_to_a_fast_brain(transport: str) -> None:
    """On a quiet machine; the sink is a process of its own."""
    with subprocess.Popen([sys.executable, "-c", SINK], stdout=subprocess.PIPE, text=True) as sink:
        try:
            assert sink.stdout is not None
            url = f"http://127.0.0.1:{int(sink.stdout.readline())}"
            with pipeline(url, transport=transport, queue_max_events=20_000) as sender:
                best = 0.0
                for _ in range(5):
                    items = [Item(body="x" * 2000) for _ in range(9000)]
                    begun = time.monotonic()
                    for item in items:
                        sender.put(item)
                    assert sender.flush(60)
                    best = max(best, len(items) / (time.monotonic() - begun))
                report.note(f"events/s to a fast Brain, {transport}", round(best))
                assert best >= 3000
        finally:
            sink.terminate()


@pytest.mark.slow
def test_at_two_hundred_milliseconds_a_reply_all_connections_are_busy() -> None:
    rate = rate_reached(connections=8, latency=0.2, events=2000, seconds=20.0)
    report.note("events/s over 8 connections at 200 ms a reply (of 40)", round(rate, 1))
    assert rate >= 0.95 * 8 / 0.2


@pytest.mark.slow
@pytest.mark.parametrize("spooled", [False, True])
def test_ten_million_events_over_a_brain_that_hangs(spooled: bool, tmp_path_factory: pytest.TempPathFactory) -> None:
    code = """
        import resource, sys
        from support.delivery import Item, balance, pipeline

        def memory():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        url, folder = sys.argv[1], sys.argv[2] or None
        with pipeline(url, spool_dir=folder, spool_max_bytes=16_000_000) as sender:
            item = Item()
            for _ in range(50_000):
                sender.put(item)
            before = memory()
            for _ in range(10_000_000):
                sender.put(item)
            stats = sender.stats()
            assert balance(stats) == 0, stats
            assert stats["captured"] == 10_050_000
            print((memory() - before) / 1024, stats["queued"], stats["spooled"], stats["dropped"])
            assert memory() - before < 20_000
    """
    folder = str(tmp_path_factory.mktemp("spool") / "spool") if spooled else ""
    with RawServer(lambda _connection, _request: None) as hole:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), hole.url, folder],
            check=True,
            env={"PYTHONPATH": "tests"},
            stdout=subprocess.PIPE,
            text=True,
        )
    growth, *rest = done.stdout.split(" ", 1)
    name = "with a spool" if spooled else "without a spool"
    report.note(f"MB more after 10 million events over a hung Brain, {name}", round(float(growth), 1))
    report.note(f"queued, spooled, dropped of 10,050,000, {name}", "".join(rest).strip())
