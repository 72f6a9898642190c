"""The load generator, against a small server of the standard library."""

from __future__ import annotations

import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, cast

import pytest

from benchmarks.driver import Call
from benchmarks.load import Job, LoadError, drive

if TYPE_CHECKING:
    from collections.abc import Iterator

CALL = Call("POST", "/items/7", b'{"n": 1}', "token")


class Host(ThreadingHTTPServer):
    """Answers as it is told to, and notes what it was asked."""

    daemon_threads = True
    status = 200
    keep_alive = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, str | None, bytes]] = []
        self.connections: list[object] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that leave: one that fails does."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.host = cast("Host", self.server)
        self.host.connections.append(self.client_address)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.host.asked.append((self.path, self.headers["x-otas-agent-session-token"], body))
        self.send_response(self.host.status)
        self.send_header("Content-Length", "2000")
        if not self.host.keep_alive:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"x" * 1000)  # an answer may come in pieces
        self.wfile.write(b"x" * 1000)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
        """Log nothing."""


@pytest.fixture
def host() -> Iterator[Host]:
    with Host() as host:
        thread = threading.Thread(target=host.serve_forever, args=(0.01,))
        thread.start()
        yield host
        host.shutdown()
        thread.join()


def _job(host: Host, connections: int = 3) -> Job:
    return Job(host.server_address[1], CALL.as_bytes(), connections, seconds=0.1)


def test_every_request_is_answered_and_counted(host: Host) -> None:
    load = drive(_job(host))
    assert load.requests == len(host.asked) > 3
    assert set(host.asked) == {("/items/7", "token", b'{"n": 1}')}
    assert len(host.connections) == 3
    assert load.seconds >= 0.1
    assert 0 < load.p50_ms <= load.p99_ms
    assert 0 < load.busy < 1.5


def test_no_more_is_asked_than_the_rate_says(host: Host) -> None:
    job = replace(_job(host), seconds=0.2, rate=50.0)
    load = drive(job)
    assert 1 <= load.requests == len(host.asked) <= job.rate * job.seconds + 1
    assert load.seconds >= job.seconds


def test_a_server_that_closes_gets_new_connections(host: Host) -> None:
    host.keep_alive = False
    load = drive(_job(host))
    assert len(host.connections) == load.requests == len(host.asked) > 3


def test_an_answer_that_is_not_200_ends_the_benchmark(host: Host) -> None:
    host.status = 503
    with pytest.raises(LoadError, match="503"):
        drive(_job(host))
