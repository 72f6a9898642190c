"""Load on one server, from a process of its own: at its full each connection asks again as soon as it is answered.

Plain sockets and one selector, since a generator that is slower than the server would measure itself. How busy it was
is part of the result. Speaks just enough HTTP/1.1: Content-Length, keep-alive, `Connection: close`.
"""

from __future__ import annotations

import multiprocessing
import selectors
import socket
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.rounds import percentile

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from multiprocessing.connection import Connection

ANSWER_SECONDS = 30.0
"""How long an answer may take before the server counts as stuck."""


class LoadError(Exception):
    """The server did not do what a benchmark needs of it."""


@dataclass(frozen=True)
class Job:
    """What to do to a server.

    Attributes:
        port: Where it listens, on the loopback interface.
        request: One request's bytes.
        connections: How many connections ask at the same time.
        seconds: For how long new requests are sent.
        rate: How many are sent each second, over all connections; 0 is full load.
    """

    port: int
    request: bytes
    connections: int
    seconds: float
    rate: float = 0.0


@dataclass(frozen=True)
class Load:
    """What came of a job.

    Attributes:
        requests: How many requests were sent; each was answered with 200.
        seconds: From the first request to the last answer.
        p50_ms: The median of the milliseconds from a request to the last byte of its answer.
        p99_ms: Their 99th percentile.
        busy: The share of the time in which the generator used a processor; near 1 it was the bottleneck.
    """

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    busy: float


class _Client:
    """One request after another, over one connection for as long as the server keeps it."""

    def __init__(self, job: Job, selector: selectors.BaseSelector) -> None:
        self.asked_at = 0.0
        self._job = job
        self._selector = selector
        self._socket: socket.socket | None = None
        self._answer = b""

    def ask(self) -> None:
        """Send the request; the time of a new connection, where one is needed, belongs to it."""
        self.asked_at = time.perf_counter()
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._job.port), ANSWER_SECONDS)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(self._socket, selectors.EVENT_READ, self)
        self._socket.sendall(self._job.request)

    def answered(self) -> bool:
        """Read what has come; return whether the answer is complete.

        Raises:
            LoadError: It is not a 200 of known length, or the connection ended within it.
        """
        data = b"" if self._socket is None else self._socket.recv(262_144)
        if not data:
            raise LoadError("the server closed a connection instead of answering")
        answer = self._answer + data if self._answer else data
        end = answer.find(b"\r\n\r\n")
        if end < 0:
            self._answer = answer
            return False
        head = answer[:end].lower()
        if len(answer) < end + 4 + _length(head):
            self._answer = answer
            return False
        self._answer = b""
        if b"\r\nconnection: close" in head:
            self.close()
        return True

    def close(self) -> None:
        if self._socket is not None:
            self._selector.unregister(self._socket)
            self._socket.close()
            self._socket = None


def _length(head: bytes) -> int:
    """Return the Content-Length of a successful answer's head, which is in lower case."""
    at = head.find(b"\r\ncontent-length:")
    if not head.startswith(b"http/1.1 200") or at < 0:
        raise LoadError(f"not a 200 with a length: {head[:200]!r}")
    return int(head[at + 17 :].split(b"\r\n", 1)[0])


def drive(job: Job) -> Load:
    """Do a job in this process.

    Raises:
        LoadError: A request was not answered as it should be.
    """
    with selectors.DefaultSelector() as selector:
        clients = [_Client(job, selector) for _ in range(job.connections)]
        try:
            return _drive(job, clients, selector)
        finally:
            for client in clients:
                client.close()


def _drive(job: Job, clients: list[_Client], selector: selectors.BaseSelector) -> Load:
    latencies: list[float] = []
    cpu, began = time.process_time(), time.perf_counter()
    until = began + job.seconds
    pause = 1 / job.rate if job.rate else 0.0
    due, now, free = began, began, clients[::-1]
    while now < until or len(free) < len(clients):
        while free and due <= now < until:
            free.pop().ask()
            due += pause
        asks = bool(free) and now < until
        ready = selector.select(max(0.0, min(due, until) - now) if asks else ANSWER_SECONDS)
        if not (ready or asks):
            raise LoadError(f"no answer in {ANSWER_SECONDS:g} s")
        for key, _ in ready:
            answering: _Client = key.data
            if answering.answered():
                latencies.append(time.perf_counter() - answering.asked_at)
                free.append(answering)
        now = time.perf_counter()
    seconds = time.perf_counter() - began
    busy = (time.process_time() - cpu) / seconds
    latencies.sort()
    return Load(len(latencies), seconds, percentile(latencies, 0.5) * 1000, percentile(latencies, 0.99) * 1000, busy)


def _work(channel: Connection) -> None:
    try:
        while isinstance(job := channel.recv(), Job):  # until the parent says stop, or is gone
            try:
                channel.send(drive(job))
            except (LoadError, OSError) as error:
                channel.send(LoadError(str(error)))
    except (EOFError, KeyboardInterrupt):
        sys.exit(0)


@contextmanager
def generator() -> Generator[Callable[[Job], Load]]:
    """Run the generator in another process and yield a function that gives it a job and waits for the result."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs,), daemon=True)
    process.start()
    theirs.close()

    def run(job: Job) -> Load:
        ours.send(job)
        found: Load | LoadError = ours.recv()
        if isinstance(found, LoadError):
            raise found
        return found

    try:
        yield run
    finally:
        ours.send(None)
        process.join(5)
        if process.is_alive():
            process.kill()
