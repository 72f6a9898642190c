"""What the tests of delivery share: events to send, a pipeline for them, and servers that misbehave byte by byte."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
import ssl
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from otas_middleware._config.settings import OtasSettings
from otas_middleware._delivery import DELIVERED, Outcome, Pipeline, Request, Response
from otas_middleware._event import BackendEvent, Envelope

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from otas_middleware._delivery.codec import TokenCipher
    from otas_middleware._delivery.disk_queue import DiskQueue
    from otas_middleware.localbrain import StoredEvent

    OpenDisk = Callable[[Path, int, TokenCipher | None], DiskQueue]

SDK_KEY = "otas_abcd_secretsecret"
PATIENCE = 30.0
"""Seconds that a test waits for what happens in another thread or process."""


@dataclass
class Item:
    """What a request would leave in the queue."""

    path: str = "/orders/42"
    token: str = "header.payload.signature"
    session_id: str = "session-1"
    body: str = '{"ok": true}'
    weight: int = 2048
    event_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def envelope(self) -> Envelope:
        """Build it."""
        event = BackendEvent(
            path=self.path,
            method="POST",
            status_code=200,
            latency_ms=1.5,
            response_body=self.body,
            metadata={"event_id": self.event_id, "captured_at": "2026-01-01T00:00:00.000Z"},
        )
        return Envelope(event, self.token, self.session_id, "agent-1")


class Archive:
    """A destination of the user's own that takes everything."""

    name = "archive"

    def __init__(self, settings: OtasSettings) -> None:
        self._url = f"{settings.brain_url}/archive/"

    def request(self, envelope: Envelope) -> Request:
        return Request(self._url, (), envelope.event.to_json())

    def outcome(self, _response: Response) -> Outcome:
        return DELIVERED


def build(item: Any, _settings: OtasSettings) -> Envelope | None:
    """Turn an item into an envelope, as the worker does with a capture."""
    assert isinstance(item, Item)
    return item.envelope()


def settings(url: str, **values: Any) -> OtasSettings:
    """Settings for tests: quick retries, unless the test says otherwise."""
    defaults: dict[str, Any] = {"sdk_key": SDK_KEY, "brain_url": url, "max_retry_delay": 0.2, "transport": "direct"}
    return OtasSettings(**{**defaults, **values})


@contextlib.contextmanager
def pipeline(url: str, **values: Any) -> Generator[Pipeline]:
    """A pipeline to an address, closed at the end of the block without waiting."""
    opened = Pipeline(settings(url, **values), build)
    try:
        yield opened
    finally:
        opened.close(0.0)


def balance(stats: dict[str, Any]) -> int:
    """Return what the account of a pipeline is out by; 0 is what it must be at any moment."""
    dispositions = stats["delivered"] + stats["spooled"] + sum(stats["dropped"].values()) + stats["queued"]
    difference: int = stats["captured"] - dispositions
    return difference


def eventually(what: Callable[[], object], within: float = PATIENCE) -> None:
    """Wait until something becomes true.

    Raises:
        AssertionError: It did not in time.
    """
    deadline = time.monotonic() + within
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def answer(status: str, body: bytes = b"", *headers: str, content_type: str = "application/json") -> bytes:
    """Return the bytes of a response with a Content-Length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", f"Content-Length: {len(body)}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def created(*headers: str) -> bytes:
    """Return Brain's answer to an event that it took."""
    return answer("201 Created", b'{"status":1,"status_description":"event_captured","response":{}}', *headers)


@dataclass
class Received:
    """One request as it came over the wire."""

    connection: int
    segments: list[bytes]

    @property
    def data(self) -> bytes:
        """All bytes."""
        return b"".join(self.segments)

    @property
    def body(self) -> bytes:
        """The body."""
        return self.data.partition(b"\r\n\r\n")[2]

    def header(self, name: str) -> str | None:
        """One header's value."""
        for line in self.data.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]:
            key, _, value = line.partition(": ")
            if key.lower() == name.lower():
                return value
        return None


class RawServer:
    """A server under a test's full control: it reads a request and does what the script says.

    Args:
        script: Called with the socket and the request; it answers, or does not. Returning False closes the connection.
        certificate: A file with a certificate and its key; with it the server speaks TLS.
    """

    def __init__(
        self, script: Callable[[socket.socket, Received], bool | None], *, certificate: Path | None = None
    ) -> None:
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            # The handshake is part of a connection's first read, in the connection's own thread.
            self._listener = context.wrap_socket(self._listener, server_side=True, do_handshake_on_connect=False)
            scheme = "https"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: list[Received] = []
        self.connections = 0
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, name="raw-server", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._thread.join(PATIENCE)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.append(connection)
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError):
            while (request := _read(connection, number)) is not None:
                self.requests.append(request)
                if self._script(connection, request) is False:
                    break
        with contextlib.suppress(OSError):
            connection.close()


def _read(connection: socket.socket, number: int) -> Received | None:
    request = Received(number, [])
    while b"\r\n\r\n" not in request.data or len(request.body) < int(request.header("Content-Length") or 0):
        segment = connection.recv(1_000_000)
        if not segment:
            return None
        request.segments.append(segment)
    return request


def rate_reached(*, connections: int, latency: float, events: int, seconds: float) -> float:
    """Return the events per second that so many connections deliver to a server that takes its time for each.

    Args:
        connections: How many there may be; the measurement begins when the pipeline has come to that many.
        latency: Seconds that the server takes for an answer.
        events: How many wait at the beginning.
        seconds: For how long to measure.
    """

    def slow(connection: socket.socket, _request: Received) -> None:
        time.sleep(latency)
        connection.sendall(created())

    with RawServer(slow) as server, pipeline(server.url, max_connections=connections) as sender:
        for _ in range(events):
            sender.put(Item())
        eventually(lambda: sender.stats()["connections"] == connections)
        before, begun = sender.stats()["delivered"], time.monotonic()
        time.sleep(seconds)
        delivered: int = sender.stats()["delivered"] - before
        return delivered / (time.monotonic() - begun)


def reset(connection: socket.socket) -> None:
    """End a connection with a TCP reset instead of a goodbye."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    connection.close()


def only_file(folder: Path) -> Path:
    """The file of the one disk queue in a directory."""
    (found,) = folder.glob("*.sqlite3")
    return found


def ids(events: list[StoredEvent]) -> list[str]:
    """The ids that senders gave events."""
    return [event["metadata"]["event_id"] for event in events]


def rows(folder: Path) -> int:
    """How many events lie on disk."""
    with contextlib.closing(sqlite3.connect(only_file(folder))) as connection:
        found: tuple[int] = connection.execute("SELECT count(*) FROM event").fetchone()
        return found[0]
