"""The relay's side of its hosts: one connection each, and one pipeline for all that have the same settings."""

from __future__ import annotations

import array
import threading
from collections import deque
from socket import MSG_TRUNC
from typing import TYPE_CHECKING, Any

from otas_middleware._delivery import process
from otas_middleware._delivery.pipeline import Pipeline
from otas_middleware._delivery.relay import packets
from otas_middleware._delivery.relay.packets import decode_event, decode_request, encode, source_of, text
from otas_middleware._runtime import BoundedDict, monotonic

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._capture import Capture
    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._event import Envelope

    BuildCapture = Callable[[Capture, OtasSettings], Envelope | None]
    OnToken = Callable[[str, str], None]
    MakeBuild = Callable[[OtasSettings, OnToken], BuildCapture]
    """Makes what builds events of captures with these settings; it is given who is told of tokens."""
    from socket import socket

_SLACK = 1024
"""Events that one packet may bring beyond the bound."""

_SMALL = 80
"""Bounds below this have no room for a packet of many events between them and twice of them."""

_MOST_TOKENS = 1024

DESERTED_SECONDS = 60.0
"""After so long without a host, what serves hosts with these settings ends: those of the next release have others."""

_ENDING_SHARE = 0.6
"""Of the time that an ending host waits, what delivery gets before the rest goes to disk."""


class Tenant:
    """Delivers what hosts with these settings hand over.

    Args:
        settings: As the first of them said.
        make_build: See `MakeBuild`.
        wake: Called when something has been settled, in any thread.
        trusting: The hosts have checked the signature of each token.
    """

    def __init__(
        self, settings: OtasSettings, make_build: MakeBuild, wake: Callable[[], None], *, trusting: bool = False
    ) -> None:
        self.connections: set[Connection] = set()
        self.settings = settings
        self.waiting = 0
        """How many events are not settled."""
        self.waiting_bytes = 0
        self._lock = threading.Lock()
        self._deserted_at: float | None = None
        self._flushing = False
        self._flush_until = 0.0
        self._wake = wake
        self._tokens: list[tuple[str, str]] = []
        self._build_capture = make_build(settings, self._found_out)
        # The relay stops reading at the hosts' own bounds, so that its pipeline must never push out an event. With a
        # disk queue that begins to write beyond half of its bounds: just where reading would stop.
        most = settings.queue_max_events
        writes = settings.spool_dir is not None and most > _SMALL
        wide = settings.replace(
            queue_max_events=2 * most - 2 if writes else 2 * most + _SLACK, queue_max_bytes=2 * settings.queue_max_bytes
        )
        self.pipeline = Pipeline(wide, self._build, lambda token: self._found_out("rejected", token), trusting=trusting)
        self._texts = BoundedDict[bytes, str](_MOST_TOKENS)

    def put(self, frame: memoryview, connection: Connection) -> None:
        """Take a frame of a host's in."""
        parts = packets.read(frame)
        waiting = Waiting(bytes(frame), connection, parts.number, self._token(parts.token))
        with self._lock:
            self.waiting += 1
            self.waiting_bytes += waiting.weight
        self.pipeline.put(waiting, source_of(parts))

    def _token(self, octets: memoryview) -> str:
        """Return a token's text, the same object for all events of a session."""
        key = bytes(octets)
        found = self._texts.get(key)
        if found is None:
            found = self._texts[key] = text(octets)
        return found

    def _build(self, waiting: Any, settings: OtasSettings) -> Envelope | None:
        """Make the event of a frame, in the worker."""
        frame = packets.read(waiting.frame)
        if frame.kind == packets.EVENT:
            return decode_event(frame)
        return self._build_capture(decode_request(frame, waiting.secret), settings)

    def settled(self, weight: int) -> None:
        """Take note that one event is settled. Called in any thread."""
        with self._lock:
            self.waiting -= 1
            self.waiting_bytes -= weight
        self._wake()

    @property
    def room(self) -> int:
        """How many more events may be read now."""
        if self.waiting_bytes >= self.settings.queue_max_bytes:
            return 0
        return max(0, self.settings.queue_max_events - self.waiting)

    def _found_out(self, verdict: str, token: str) -> None:
        self._tokens.append((verdict, token))
        self._wake()

    @property
    def has_news(self) -> bool:
        """Whether there is anything to tell the hosts."""
        return bool(self._tokens) or any(connection.done for connection in self.connections)

    def report(self, *, ended: bool = False) -> bool:
        """Tell the hosts what there is to tell; return whether there was anything."""
        tokens = self._tokens[:]
        del self._tokens[: len(tokens)]  # workers may be adding to this very list
        for told in tokens:
            for connection in self.connections:
                if connection.listens:
                    connection.tell(packets.TOKEN, told)
        found = [connection.report(ended=ended) for connection in self.connections]
        return any(found) or bool(tokens)

    def flush(self, seconds: float, *, ending: bool) -> None:
        """Deliver now, in a thread, because a host waits so long; if that ends, write to disk what is left by then."""
        if ending and self.settings.spool_dir is not None:
            process.start_thread(lambda: self._end(seconds), "otas-relay-end")
            return
        with self._lock:
            self._flush_until = max(self._flush_until, monotonic() + seconds)
            begins, self._flushing = not self._flushing, True
        if begins and not process.start_thread(self._flush, "otas-relay-flush"):
            with self._lock:
                self._flushing = False

    def _end(self, seconds: float) -> None:
        deadline = monotonic() + seconds
        if not self.pipeline.flush(seconds * _ENDING_SHARE):
            self.pipeline.store(max(0.1, 0.9 * (deadline - monotonic())))

    def _flush(self) -> None:
        """Deliver for as long as any host waits; hosts may ask for that with each request."""
        while (left := self._left_to_flush()) > 0.0:
            self.pipeline.flush(left)

    def _left_to_flush(self) -> float:
        with self._lock:
            left = self._flush_until - monotonic() if self.waiting else 0.0
            self._flushing = left > 0.0
            return left

    def is_deserted(self, now: float) -> bool:
        """Say whether it has had neither a host nor an event for long, and none is left on disk.

        Args:
            now: `monotonic`.
        """
        if self.connections or self.waiting:
            self._deserted_at = None
        elif self._deserted_at is None:
            self._deserted_at = now
        elif now - self._deserted_at >= DESERTED_SECONDS:
            self._deserted_at = now  # the disk is looked at now and then only
            return self.pipeline.is_empty
        return False

    def stats(self) -> dict[str, Any]:
        """Return where it sends, for whom, and the pipeline's counters."""
        return {
            "brain_url": self.settings.brain_url,
            "hosts": sorted({connection.pid for connection in self.connections}),
            "sockets": len(self.connections),
            "waiting": self.waiting,
            "waiting_bytes": self.waiting_bytes,
            **self.pipeline.stats(),
        }


_NUMBERS = 8000
"""How many settled events one message names: 64 KB."""

_MOST_UNSENT = 256
"""Messages that wait for a host to read; what becomes of its own events it is told beyond that."""

WAITING_BYTES = 512
"""What an event that waits takes beside its frame, estimated."""


class Connection:
    """One socket of a host.

    Args:
        sock: Accepted, from a process of our own user.
        buffer: Where packets are read into; shared by all connections, for one is read at a time.

    Attributes:
        tenant: Whose it is; None until its hello was read.
        pid: The host's process.
        secret: Random bytes of the host, of which the ids of its events are made.
    """

    def __init__(self, sock: socket, buffer: bytearray) -> None:
        self.sock = sock
        self.tenant: Tenant | None = None
        self.pid = 0
        self.secret = b""
        self.closed = False
        self.done: deque[tuple[int, str, str, str]] = deque()
        """What became of events, appended by the threads that deliver."""
        self._buffer = buffer
        self._view = memoryview(buffer)
        self._unsent: deque[bytes] = deque()

    def fileno(self) -> int:
        """Return the descriptor, for `epoll`."""
        return self.sock.fileno()

    def read(self) -> memoryview | None:
        """Return the next packet, as a view that the next call overwrites; None when there is none now.

        Raises:
            EOFError: The host is gone.
            PacketError: A packet is larger than any host's.
        """
        for _ in range(2):
            try:
                size = self.sock.recv_into(self._buffer, 0, MSG_TRUNC)
            except BlockingIOError:
                return None
            except ConnectionResetError:  # comes before the packets that are still there
                continue
            except OSError:
                raise EOFError from None
            if size == 0:
                raise EOFError
            if size > len(self._buffer):
                raise packets.PacketError("a packet is too large")
            return self._view[:size]
        raise EOFError

    @property
    def listens(self) -> bool:
        """Whether the host reads what it is told. To one that is idle for long not all can be told that may help it."""
        return len(self._unsent) < _MOST_UNSENT

    def tell(self, kind: bytes, content: object = None) -> None:
        """Send the host a message, now or when its buffer has room again."""
        self._send(packets.message(kind, encode(content)))

    def report(self, *, ended: bool = False) -> bool:
        """Tell the host what became of its events; return whether there was anything.

        Args:
            ended: The relay's own end cut events off, which the host has still: they are left for it to deliver.
        """
        found = len(self.done)
        settled = array.array("Q")
        others: dict[tuple[bytes, *tuple[str, ...]], list[int]] = {}
        for _ in range(found):
            number, disposition, stored_as, destination = self.done.popleft()
            if stored_as:
                self.tell(packets.STORED, (number, stored_as))
            if destination:
                others.setdefault((packets.PARTLY, destination, disposition), []).append(number)
            elif disposition in {"delivered", "spooled"}:
                settled.append(number)
            elif not (ended and disposition == "exit"):
                others.setdefault((packets.LOST, disposition), []).append(number)
        for start in range(0, len(settled), _NUMBERS):
            self._send(packets.message(packets.SETTLED, settled[start : start + _NUMBERS].tobytes()))
        for (kind, *what), numbers in others.items():
            for start in range(0, len(numbers), _NUMBERS):
                self.tell(kind, (*what, numbers[start : start + _NUMBERS]))
        self._push()
        return found > 0

    def _send(self, message: bytes) -> None:
        if not self.closed:
            self._unsent.append(message)
            self._push()

    def _push(self) -> None:
        while self._unsent:
            try:
                self.sock.send(self._unsent[0])
            except BlockingIOError:
                return  # the host does not read; it will when it records again, or ends
            except OSError:
                self._unsent.clear()
                return
            self._unsent.popleft()

    def close(self) -> None:
        """Close it; what its events come to is nobody's to know any more."""
        self.closed = True
        self._unsent.clear()
        self.sock.close()


class Waiting:
    """One frame on its way through the tenant's pipeline, as it came.

    Args:
        frame: The frame.
        connection: Where it came from.
        number: The host's number for it.
        token: The session token in it.
    """

    __slots__ = ("frame", "receipt", "secret", "token", "weight")

    def __init__(self, frame: bytes, connection: Connection, number: int, token: str) -> None:
        self.frame = frame
        self.secret = connection.secret
        self.token = token
        self.weight = len(frame) + WAITING_BYTES
        self.receipt = Receipt(connection, number, self.weight)


class Receipt:
    """Takes note of what became of one frame. Outlives the frame, which is gone when its event is built."""

    __slots__ = ("_connection", "_number", "_weight")

    def __init__(self, connection: Connection, number: int, weight: int) -> None:
        self._connection = connection
        self._number = number
        self._weight = weight

    def __call__(self, disposition: str, stored_as: str = "", destination: str = "") -> None:
        connection: Any = self._connection
        connection.done.append((self._number, disposition, stored_as, destination))
        if not destination:
            connection.tenant.settled(self._weight)
