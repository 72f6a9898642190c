"""Runs requests through an application in batches and reads the clocks.

The CPU of the process is split into that of the sender's threads (`otas…`) and the rest, which is the request path.
A batch is shorter than the sender's pause before it begins, so the two hardly overlap: the fast transport has threads
of its own, which cannot be told apart, and all of them want Python's lock.
"""

from __future__ import annotations

import asyncio
import io
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.rounds import turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.applications import Application

UPLOAD_PIECE = b"u" * 65536
BATCH_MICROSECONDS = 5000


@dataclass(frozen=True)
class Call:
    """One kind of request.

    Attributes:
        method: The method.
        path: The path.
        body: The body; sent `repeat` times, as that many chunks.
        token: The session token, or None for an ordinary request.
        repeat: How often the body is sent.
    """

    method: str
    path: str
    body: bytes = b""
    token: str | None = None
    repeat: int = 1

    def headers(self) -> list[tuple[bytes, bytes]]:
        found = [
            (b"host", b"api.example.com"),
            (b"user-agent", b"agent/1.0"),
            (b"accept", b"*/*"),
            (b"accept-encoding", b"gzip, deflate"),
            (b"connection", b"keep-alive"),
            (b"x-request-id", b"0123456789abcdef"),
        ]
        if self.body:
            found.append((b"content-type", b"application/json"))
            found.append((b"content-length", b"%d" % (len(self.body) * self.repeat)))
        if self.token is not None:
            found.append((b"x-otas-agent-session-token", self.token.encode()))
        return found

    def as_bytes(self) -> bytes:
        """Return the whole request, as a client sends it."""
        lines = [f"{self.method} {self.path} HTTP/1.1".encode(), *(b": ".join(pair) for pair in self.headers())]
        return b"\r\n".join([*lines, b"", self.body * self.repeat])


class _Upload(io.RawIOBase):
    """A body of a repeated piece that is never held as a whole."""

    def __init__(self, piece: bytes, repeat: int) -> None:
        self._piece = piece
        self._left = repeat

    def read(self, size: int = -1) -> bytes:  # a socket gives what it has
        if not self._left:
            return b""
        self._left -= 1
        return self._piece


def wsgi_call(app: Any, call: Call) -> Callable[[], None]:
    headers = {name.decode(): value.decode() for name, value in call.headers()}
    template: dict[str, Any] = {
        "REQUEST_METHOD": call.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": call.path,
        "QUERY_STRING": "page=2",
        "SERVER_NAME": "api.example.com",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in headers.items():
        if name in {"content-type", "content-length"}:
            template[name.upper().replace("-", "_")] = value
        else:
            template["HTTP_" + name.upper().replace("-", "_")] = value
    write = bytearray().extend

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:  # PEP 3333's names
        return write

    def run() -> None:
        environ = dict(template)
        environ["wsgi.input"] = io.BytesIO(call.body) if call.repeat == 1 else _Upload(call.body, call.repeat)
        result = app(environ, start_response)
        try:
            for _ in result:
                pass
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()

    return run


def asgi_call(app: Any, call: Call) -> Callable[[], Awaitable[None]]:
    headers = call.headers()
    last = {"type": "http.request", "body": call.body, "more_body": False}
    more = {"type": "http.request", "body": call.body, "more_body": True}

    async def run() -> None:
        left = call.repeat
        disconnected = asyncio.get_running_loop().create_future()

        async def receive() -> Any:
            nonlocal left
            if left == 0:
                await disconnected
            left -= 1
            return last if left == 0 else more

        async def send(message: Any) -> None:
            pass

        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": call.method,
            "scheme": "http",
            "path": call.path,
            "raw_path": call.path.encode(),
            "root_path": "",
            "query_string": b"page=2",
            "headers": list(headers),
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 80),
        }
        await app(scope, receive, send)

    return run


@dataclass
class Runner:
    """One variant with one kind of request, and what its batches cost in microseconds of CPU per request."""

    name: str
    application: Application
    call: Call
    batch: int
    path: list[float] = field(default_factory=list[float])
    total: list[float] = field(default_factory=list[float])

    def __post_init__(self) -> None:
        app = self.application.app
        asynchronous = self.application.protocol == "asgi"
        self._run_async = asgi_call(app, self.call) if asynchronous else None
        self._run = None if asynchronous else wsgi_call(app, self.call)

    def run(self, loop: asyncio.AbstractEventLoop, flush: Callable[[], object], *, keep: bool) -> None:
        """Run one batch and, if asked, keep what it cost."""
        process, workers = time.process_time_ns(), worker_cpu_ns()
        if self._run_async is not None:
            loop.run_until_complete(self._batch(self._run_async))
        elif self._run is not None:
            run = self._run
            for _ in range(self.batch):
                run()
        path = time.process_time_ns() - process - (worker_cpu_ns() - workers)
        flush()
        total = time.process_time_ns() - process
        if keep:
            self.path.append(path / self.batch / 1000)
            self.total.append(total / self.batch / 1000)

    async def _batch(self, run: Callable[[], Awaitable[None]]) -> None:
        for _ in range(self.batch):
            await run()


def worker_cpu_ns() -> int:
    """Return the CPU nanoseconds that the sender's living threads have used."""
    total = 0
    for thread in threading.enumerate():
        if thread.name.startswith("otas") and thread.ident is not None:
            total += time.clock_gettime_ns(time.pthread_getcpuclockid(thread.ident))
    return total


def batch_size(application: Application, call: Call) -> int:
    """Return how many requests make a batch that is shorter than the sender's pause before it begins."""
    probe = Runner("probe", application, call, 3)
    interleave([probe], 5, lambda: None)
    return max(1, min(100, int(BATCH_MICROSECONDS / min(probe.path))))


def interleave(runners: list[Runner], rounds: int, flush: Callable[[], object]) -> None:
    """Run all runners in turn, round by round; the first two rounds only warm up."""
    loop = asyncio.new_event_loop()
    try:
        for runner, counts in turns(runners, rounds):
            runner.run(loop, flush, keep=counts)
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
