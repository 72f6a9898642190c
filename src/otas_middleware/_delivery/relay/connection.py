"""The relay's end of one connection: frames come in, and what became of them goes back."""

from __future__ import annotations

import array
from collections import deque
from socket import MSG_TRUNC
from typing import TYPE_CHECKING, Any

from otas_middleware._delivery.relay import packets
from otas_middleware._delivery.relay.frames import encode

if TYPE_CHECKING:
    from socket import socket

    from otas_middleware._delivery.relay.tenant import Tenant

_NUMBERS = 8000
"""How many settled events one message names: 64 KB."""

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
        paused: It is not read now, because its tenant has no room.
    """

    def __init__(self, sock: socket, buffer: bytearray) -> None:
        self.sock = sock
        self.tenant: Tenant | None = None
        self.pid = 0
        self.secret = b""
        self.paused = False
        self.closed = False
        self.done: deque[tuple[int, str, str]] = deque()
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
        lost: dict[str, list[int]] = {}
        for _ in range(found):
            number, fate, stored_as = self.done.popleft()
            if stored_as:
                self.tell(packets.STORED, (number, stored_as))
            if fate in {"delivered", "spooled"}:
                settled.append(number)
            elif not (ended and fate == "exit"):
                lost.setdefault(fate, []).append(number)
        for start in range(0, len(settled), _NUMBERS):
            self._send(packets.message(packets.SETTLED, settled[start : start + _NUMBERS].tobytes()))
        for reason, numbers in lost.items():
            for start in range(0, len(numbers), _NUMBERS):
                self.tell(packets.LOST, (reason, numbers[start : start + _NUMBERS]))
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

    def __call__(self, fate: str, stored_as: str = "") -> None:
        connection: Any = self._connection
        connection.done.append((self._number, fate, stored_as))
        connection.tenant.settled(self._weight)
