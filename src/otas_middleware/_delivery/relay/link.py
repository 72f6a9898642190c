"""One socket between a host and its relay, and what went over it and is not settled yet.

All of it is done under the link's own lock, which is tried and never waited for on the request path.
"""

from __future__ import annotations

import errno
import os
import sys
from _socket import socket as NativeSocket  # noqa: N812  # gevent and eventlet replace `socket.socket`; this never waits
from collections import Counter, deque
from socket import AF_UNIX, SO_SNDBUF, SOCK_NONBLOCK, SOCK_SEQPACKET, SOL_SOCKET
from typing import TYPE_CHECKING, Any

from otas_middleware._delivery.relay import packets, trust
from otas_middleware._delivery.relay.frames import decode, event_id
from otas_middleware._internal_errors import report_internal_error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from threading import Lock

    from otas_middleware._delivery.relay.frames import Encoded

LOOK_EVERY = 8
"""After so many packets the relay's messages are read."""

ITEM_BYTES = 1024
"""What an item that is kept takes beside its bodies, estimated."""

_READ_BYTES = 65_536
_FULL = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS})

TAKEN = ""
FULL = "full"
TOO_LARGE = "too_large"
DEAD = "dead"


class RelayUnavailableError(Exception):
    """There is no relay to connect to, or not one that may be trusted.

    Args:
        reason: A short word for the counters.
        retry: Seconds after which to try again.
    """

    def __init__(self, reason: str, retry: float = 1.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry = retry


def connect(path: str) -> NativeSocket:
    """Return a socket that is connected to the relay at a path, whose user is our own.

    Raises:
        RelayUnavailableError: There is none.
        UnsafePlaceError: Our own user has no number here.
    """
    sock = NativeSocket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK)
    try:
        sock.setsockopt(SOL_SOCKET, SO_SNDBUF, packets.SEND_BUFFER)
        with trust.reachable(path) as name:
            sock.connect(name)
        ours = trust.peer_user(sock) == trust.own_user()
    except BlockingIOError:  # its backlog is full
        sock.close()
        raise RelayUnavailableError("busy", 0.05) from None
    except OSError as error:
        sock.close()
        raise RelayUnavailableError("absent" if error.errno in _ABSENT else "unreachable") from None
    except trust.UnsafePlaceError:
        sock.close()
        raise
    if not ours:
        sock.close()
        raise RelayUnavailableError("foreign_user", 60.0)
    return sock


_ABSENT = frozenset({errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR})


def native_lock() -> Lock:
    """Return a lock of the operating system's threads, whatever gevent has put in its place."""
    monkey: Any = sys.modules.get("gevent.monkey")
    if monkey is not None:
        allocate: Callable[[], Lock] = monkey.get_original("_thread", "allocate_lock")
        return allocate()
    import _thread  # noqa: PLC0415  # documented as the low-level threading interface

    return _thread.allocate_lock()


class Link:
    """A connection to the relay.

    Args:
        path: The relay's socket.
        hello: The first packet.

    Attributes:
        heard: What the relay said beside what is settled, for the client to act on when the lock is free: in gevent,
            what it does may let others run.

    Raises:
        RelayUnavailableError: There is no relay to connect to.
    """

    __slots__ = (
        "_secret",
        "_sends",
        "_sock",
        "dead",
        "done",
        "heard",
        "kept",
        "kept_bytes",
        "leaving",
        "lock",
        "lost",
        "number",
    )

    def __init__(self, path: str, hello: bytes) -> None:
        self._sock = connect(path)
        self._secret = os.urandom(16)
        try:
            self._sock.send(packets.order(packets.HELLO, hello, self._secret))
        except OSError:
            self._sock.close()
            raise RelayUnavailableError("absent", 0.05) from None
        self._sends = 0
        self.lock = native_lock()
        self.dead = False
        self.leaving = False
        self.number = 0
        self.heard: deque[tuple[str, Any, Any]] = deque()
        self.kept: dict[int, tuple[Any, int]] = {}
        self.kept_bytes = 0
        self.done = 0
        """How many events the relay has delivered or put on disk."""
        self.lost: Counter[str] = Counter()
        """Events that the relay took and dropped, by reason."""

    # ---- under the lock

    def send(self, item: object, encoded: Encoded) -> str:
        """Hand one event over; return `TAKEN` or why it was not."""
        size, kind, token, meta, first, second, first_bytes, second_bytes = encoded
        number = self.number + 1
        head = packets.HEAD.pack(kind, len(token), len(meta), first_bytes, second_bytes, number)
        try:
            self._sock.sendmsg((head, token, meta, *first, *second))
        except OSError as error:
            return self._failed(error)
        self.number = number
        size += ITEM_BYTES
        self.kept[number] = (item, size)
        self.kept_bytes += size
        self._sends += 1
        if self._sends % LOOK_EVERY == 0:
            self.look()
        return TAKEN

    def send_many(self, batch: Sequence[tuple[object, Encoded]]) -> str:
        """Hand several events over in one packet; return `TAKEN` or why none of them was."""
        pieces: list[bytes] = []
        number = self.number
        for _, (_, kind, token, meta, first, second, first_bytes, second_bytes) in batch:
            number += 1
            head = packets.HEAD.pack(kind, len(token), len(meta), first_bytes, second_bytes, number)
            pieces += (head, token, meta, *first, *second)
        failure = self._send([b"".join(pieces)] if len(pieces) > _MOST_PIECES else pieces)
        if failure:
            return failure
        for item, encoded in batch:
            self.number += 1
            size = encoded.size + ITEM_BYTES
            self.kept[self.number] = (item, size)
            self.kept_bytes += size
        self.look()
        return TAKEN

    def order(self, kind: int, meta: bytes) -> bool:
        """Send a frame without bodies; return whether that could be done."""
        return not self._send((packets.order(kind, meta),))

    def _send(self, pieces: Sequence[bytes]) -> str:
        try:
            self._sock.sendmsg(pieces)
        except OSError as error:
            return self._failed(error)
        return TAKEN

    def _failed(self, error: OSError) -> str:
        """Return what it means that a packet could not be sent."""
        if error.errno in _FULL:
            return FULL
        if error.errno == errno.EMSGSIZE:
            return TOO_LARGE
        self._end()
        return DEAD

    def look(self) -> None:
        """Read what the relay has to say, without waiting for it."""
        resets = 0
        while True:
            try:
                packet = self._sock.recv(_READ_BYTES)
            except BlockingIOError:
                return
            except ConnectionResetError:  # comes before the messages that are still there
                resets += 1
                if resets > 1:
                    break
                continue
            except OSError:
                break
            if not packet:
                break
            self._take(packet)
        self._close()

    def _take(self, packet: bytes) -> None:
        kind, content = packet[:1], memoryview(packet)[packets.MESSAGE_HEAD :]
        if kind == packets.SETTLED:
            for number in content.cast("Q"):
                self.done += self._release(number) is not None
            return
        if kind == packets.LEAVING:
            self.leaving = True
            return
        try:
            told = decode(content)
            if kind == packets.LOST:
                reason, numbers = told
                self.lost[reason] += sum(self._release(number) is not None for number in numbers)
                self.heard.append(("lost", None, None))
            elif kind == packets.TOKEN:
                self.heard.append(("token", *told))
            elif kind == packets.STORED:
                number, name = told
                if number in self.kept:
                    self.heard.append(("stored", self.kept[number][0], name))
            elif kind == packets.REFUSED:
                self.heard.append(("refused", told, None))
        except Exception:  # of another program; report_internal_error logs it
            report_internal_error("relay.message")

    def _release(self, number: int) -> object:
        """Keep an event no longer; return it, or None when it is not kept."""
        found = self.kept.pop(number, None)
        if found is None:
            return None
        self.kept_bytes -= found[1]
        return found[0]

    def _end(self) -> None:
        """Read the relay's last messages; the link is dead."""
        self.look()
        self._close()

    def _close(self) -> None:
        self.dead = True
        self._sock.close()

    # ---- anywhere

    def abandon(self) -> None:
        """Close this process's copy of the socket of another process, and forget what that one keeps."""
        self.dead = True
        self.kept = {}
        self._sock.close()  # and no `shutdown`, which would end the other's connection

    def take_back(self) -> deque[Any]:
        """Return what a dead link kept, oldest first; it is the caller's to deliver."""
        kept, self.kept, self.kept_bytes = self.kept, {}, 0
        for number, (item, _) in kept.items():
            if getattr(item, "event_id", None) == "":
                item.event_id = event_id(self._secret, number)  # as the relay calls it, which may have delivered it
        return deque(item for item, _ in kept.values())


_MOST_PIECES = 1000
"""The system takes 1,024 at once."""
