"""One socket between a host and its relay, and what went over it and is not settled yet.

All of it is done under the link's own lock, which is tried and never waited for on the request path.
"""

from __future__ import annotations

import errno
import os
import sys
from _socket import socket as NativeSocket  # noqa: N812  # gevent and eventlet replace `socket.socket`; this never waits
from _thread import get_ident
from collections import Counter, deque
from socket import AF_UNIX, SO_SNDBUF, SOCK_NONBLOCK, SOCK_SEQPACKET, SOL_SOCKET
from typing import TYPE_CHECKING, Any

from otas_middleware._delivery.relay import packets, trust
from otas_middleware._delivery.relay.packets import Returned, decode
from otas_middleware._errors import report_internal_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from threading import Lock

    from otas_middleware._delivery.relay.packets import Encoded

LOOK_EVERY = 8
"""After so many events the relay's messages are read."""

FRAME_BYTES = 512
"""What a frame that is kept takes beside its bytes, estimated."""

_READ_BYTES = 65_536
_FULL = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS})

TAKEN = ""
FULL = "full"
BUSY = "busy"
HELD = "unsettled"
"""It keeps as much as it may."""
TOO_BIG = "too_large"
DEAD = "dead"
DECIDED = frozenset({TAKEN, TOO_BIG, HELD})
"""After these no other connection is tried."""


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
    try:
        sock = NativeSocket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK)
    except OSError:  # no descriptor left, or none allowed
        raise RelayUnavailableError("unreachable") from None
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
    """A connection to the relay, with a lock that is tried and never waited for, and that its thread may take again.

    A signal's handler may raise between taking a lock and the `try` that lets go of it: the thread takes what it has
    left so. Code that interrupts it in between puts nothing in (`_capture.context`).

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
        "_holder",
        "_partly",
        "_secret",
        "_sock",
        "_unheard",
        "dead",
        "done",
        "heard",
        "kept",
        "kept_bytes",
        "leaving",
        "lost",
        "may_keep",
        "may_keep_bytes",
    )

    def __init__(self, path: str, hello: bytes) -> None:
        self._sock = connect(path)
        self._secret = os.urandom(16)
        self._holder: dict[str, int] = {}
        self.dead = False
        self.leaving = False
        self._unheard = 0
        self.heard: deque[tuple[str, Any, Any]] = deque()
        self.kept: dict[int, Encoded] = {}
        """What is not settled, by its number."""
        self.kept_bytes = 0
        self.may_keep = self.may_keep_bytes = 0
        """So much may be kept before the client has to say whether more may."""
        self.done = 0
        """How many events the relay has delivered or put on disk."""
        self.lost: Counter[str] = Counter()
        """Events that the relay took and dropped, by reason."""
        self._partly: dict[int, dict[str, str]] = {}
        """Of what is kept, which destinations are done with it, and its disposition at the first one."""
        try:
            self._sock.send(packets.order(packets.HELLO, hello, self._secret))
        except OSError:
            self._end()
            refused = any(what == "refused" for what, _, _ in self.heard)
            pause = packets.REFUSED_PAUSE if refused else 0.05
            raise RelayUnavailableError("refused" if refused else "absent", pause) from None

    def acquire(self) -> bool:
        """Take the lock, unless another thread has it; return whether this one has it now."""
        me = get_ident()
        return self._holder.setdefault("thread", me) == me

    def release(self) -> None:
        """Let go of the lock."""
        self._holder.pop("thread", None)

    def send(self, batch: Sequence[Encoded]) -> str:
        """Hand events over in one packet, which they must fit; return `TAKEN` or why none of them was.

        Takes the lock itself, and lets go of it also where the caller had it.
        """
        holder, me = self._holder, get_ident()
        if holder.setdefault("thread", me) != me:  # as `acquire`, whose call each event would pay for
            return BUSY
        try:
            if self.dead or self.leaving:
                return DEAD
            if len(self.kept) >= self.may_keep or self.kept_bytes >= self.may_keep_bytes:
                self.look()  # what may be settled by now
                return HELD
            pieces = batch[0][2] if len(batch) == 1 else [piece for _, _, frame, _ in batch for piece in frame]
            try:
                for event in batch:
                    self.kept[event[0]] = event
                    self.kept_bytes += event[1] + FRAME_BYTES
                self._sock.sendmsg([b"".join(pieces)] if len(pieces) > _MOST_PIECES else pieces)
            except BaseException as error:  # raised again where it is not the socket's
                self._forget([event[0] for event in batch])
                if not isinstance(error, OSError):
                    raise
                return self._failed(error)
            self._unheard += len(batch)
            if self._unheard >= LOOK_EVERY:
                self._unheard = 0
                self.look()
            return TAKEN
        finally:
            holder.pop("thread", None)

    # ---- under the lock

    def order(self, kind: int, meta: bytes) -> bool:
        """Send a frame without bodies; return whether that could be done."""
        try:
            self._sock.send(packets.order(kind, meta))
        except OSError as error:
            self._failed(error)
            return False
        return True

    def _failed(self, error: OSError) -> str:
        """Return what it means that a packet could not be sent."""
        if error.errno in _FULL:
            return FULL
        if error.errno == errno.EMSGSIZE:
            return TOO_BIG
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
        try:
            if kind == packets.SETTLED:
                self.done += self._forget(content.cast("Q"))
                return
            if kind == packets.LEAVING:
                self.leaving = True
                return
            told = decode(content)
            if kind == packets.LOST:
                reason, numbers = told
                self.lost[reason] += self._forget(numbers)
                self.heard.append(("lost", None, None))
            elif kind == packets.PARTLY:
                name, disposition, numbers = told
                for number in numbers:
                    if number in self.kept:
                        self._partly.setdefault(number, {})[name] = disposition
            elif kind == packets.TOKEN:
                self.heard.append(("token", *told))
            elif kind == packets.STORED:
                number, name = told
                finished = self.kept[number][3] if number in self.kept else None
                if finished is not None:
                    self.heard.append(("stored", finished, name))
            elif kind == packets.REFUSED:
                self.heard.append(("refused", told, None))
        except Exception:  # of another program; report_internal_error logs it
            report_internal_error("relay.message")

    def _forget(self, numbers: Iterable[int]) -> int:
        """Keep these events no longer; return how many of them were kept."""
        released = [event for number in numbers if (event := self.kept.pop(number, None)) is not None]
        self.kept_bytes -= sum([event[1] + FRAME_BYTES for event in released])
        if self._partly:
            for event in released:
                self._partly.pop(event[0], None)
        return len(released)

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

    def take_back(self) -> tuple[list[Returned], list[Returned]]:
        """Return what a dead link kept, oldest first, which is the caller's to deliver.

        Returns:
            What the first destination may lack, and what only others do: that is counted here as settled.
        """
        kept, self.kept, self.kept_bytes = self.kept, {}, 0
        whole: list[Returned] = []
        rest: list[Returned] = []
        for number, _, frame, finished in kept.values():
            dispositions = self._partly.get(number, {})
            disposition = "".join(dispositions.values())  # one at most is not empty
            (rest if disposition else whole).append(Returned(finished, frame, self._secret, frozenset(dispositions)))
            if disposition in {"delivered", "spooled"}:
                self.done += 1
            elif disposition:
                self.lost[disposition] += 1
        return whole, rest


_MOST_PIECES = 1000
"""The system takes 1,024 at once."""
