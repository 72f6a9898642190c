"""The relay's main thread: accepts hosts, reads their packets, and tells them what became of their events.

While there is something to do it looks every few milliseconds instead of being woken by each event: a host then
need not wake it, which is a third of what handing over costs. Otherwise it sleeps until somebody comes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
import time
from typing import TYPE_CHECKING, Any

from otas_middleware import _errors
from otas_middleware._delivery.relay import packets
from otas_middleware._delivery.relay.hello import RefusedError, introduced
from otas_middleware._delivery.relay.listener import Listener
from otas_middleware._delivery.relay.packets import decode
from otas_middleware._delivery.relay.tenant import Connection, Tenant
from otas_middleware._errors import OtasError
from otas_middleware._runtime import monotonic

if TYPE_CHECKING:
    from socket import socket

    from otas_middleware._delivery.relay.tenant import MakeBuild

logger = logging.getLogger("otas_middleware.relay")

TICK, LONGEST_TICK = 0.003, 0.024
"""Seconds between two looks while there is something to do: twice as many after each that found no packet, since every
look takes Python's lock from those that deliver."""

REPORT_SECONDS = 0.02
"""How long a host may wait to be told of events that are settled while there are others."""

QUIET_TICKS = 10
"""After so many looks without anything to do it sleeps."""

LONGEST_SLEEP = 1.0
GIVE_UP = 40
"""So many times as long as without an event it stays for events of hosts that have gone and that nobody takes."""

DRAIN_SECONDS = 10.0
"""How long a relay that is told to end goes on for hosts that are gone; those that live take over what is theirs."""

_PACKETS_AT_ONCE = 256
"""How many packets of one connection are read before the next one's turn."""


class Server:
    """Serves hosts until it is told to end.

    Args:
        listener: A listening socket.
        path: Where it is.
        make_build: See `tenant.MakeBuild`.
        idle_seconds: After so long without a host and without an event it ends, and with events that nobody takes
            after `GIVE_UP` times as long; None for never.
        lock: A descriptor that is closed when others may take its place.
    """

    def __init__(
        self,
        listener: socket,
        path: str,
        make_build: MakeBuild,
        *,
        idle_seconds: float | None = None,
        lock: int | None = None,
    ) -> None:
        self._listener: Listener | None = Listener(listener, path, lock)
        self._make_build = make_build
        self._idle_seconds = idle_seconds
        self._tenants: dict[bytes, Tenant] = {}
        self._connections: dict[int, Connection] = {}
        self._paused: list[Connection] = []
        self._buffer = bytearray(packets.MAX_PACKET)
        self._sleeping = False
        self._tick = TICK
        self._alarm = _Alarm()
        self._epoll = select.epoll()
        self._ending = False
        self._busy_at = self._looked_at = self._reported_at = monotonic()
        self._epoll.register(listener.fileno(), select.EPOLLIN)
        self._epoll.register(self._alarm.number, select.EPOLLIN)

    def end(self) -> None:
        """Have it end soon: from a signal handler or another thread."""
        self._ending = True
        self._alarm.ring()

    def run(self) -> None:
        """Serve until the end."""
        quiet = 0
        while not (self._ending or self._is_over()):
            moved = self._turn(0.0 if quiet < QUIET_TICKS else LONGEST_SLEEP)
            quiet = 0 if moved else quiet + 1
            if moved:
                self._busy_at = monotonic()
            if quiet < QUIET_TICKS:
                time.sleep(self._tick)
                self._tick = min(2 * self._tick, LONGEST_TICK)
        self._drain()

    # ---- one look

    def _turn(self, longest: float) -> bool:
        """Do what there is to do, sleeping for it if there is nothing; return whether there was anything."""
        moved = self._report()
        self._sleeping = longest > 0 and not moved
        found = self._epoll.poll(0.0 if not self._sleeping or self._report() else longest)
        self._sleeping = False
        for number, events in found:
            if number == self._alarm.number:
                self._alarm.silence()
            elif self._listener is not None and number == self._listener.fileno():
                self._accept()
                moved = True
            else:
                connection = self._connections.get(number)
                gone = bool(events & select.EPOLLHUP)
                moved = (connection is not None and self._serve(connection, gone=gone)) or moved
        return self._report() or moved

    def wake(self) -> None:
        """Let it look now, if it sleeps. Called in any thread."""
        if self._sleeping:
            self._sleeping = False
            self._alarm.ring()

    def _report(self, *, ended: bool = False) -> bool:
        moved = False
        due = ended or monotonic() - self._reported_at > REPORT_SECONDS
        if due:
            self._reported_at = monotonic()
        for tenant in self._tenants.values():
            now = due or not tenant.waiting
            moved = (tenant.report(ended=ended) if now else tenant.has_news) or moved
        if self._paused:
            waiting, self._paused = self._paused, []
            for connection in waiting:
                self._resume(connection)
        return moved

    def _accept(self) -> None:
        for sock in () if self._listener is None else self._listener.accept():
            try:
                self._epoll.register(sock.fileno(), select.EPOLLIN)
            except OSError:  # the system watches no more descriptors; this host delivers by itself
                sock.close()
            else:
                self._connections[sock.fileno()] = Connection(sock, self._buffer)

    def _serve(self, connection: Connection, *, gone: bool) -> bool:
        """Read what a host has sent, as far as there is room; return whether there was anything.

        Args:
            connection: The host's.
            gone: The host has ended: what it left is read to its end, since nothing follows, and nobody else has it.
        """
        try:
            for count in range(_PACKETS_AT_ONCE):
                if connection.tenant is not None and not (connection.tenant.room or gone):
                    self._pause(connection)
                    return True
                packet = connection.read()
                if packet is None:
                    return count > 0
                self._tick = TICK
                for frame in packets.frames(packet):
                    self._take(connection, frame)
        except EOFError:
            self._close(connection)
        except RefusedError as error:
            connection.tell(packets.REFUSED, str(error))
            logger.warning("otas relay: a host was refused: %s", error)
            self._close(connection)
        except Exception:  # what a host sends is foreign; report_internal_error logs it
            self._close(connection)
            _errors.report_internal_error("relay.serve")
        return True

    def _take(self, connection: Connection, frame: memoryview) -> None:
        kind = frame[0]
        if kind == packets.STATUS:
            connection.tell(packets.STATE, self.state())
            raise EOFError
        if kind == packets.HELLO:
            parts = packets.read(frame)
            connection.secret = bytes(parts.first[:64])
            self._admit(connection, parts.meta)
            return
        if connection.tenant is None:
            raise packets.PacketError("a host did not introduce itself")
        if kind in {packets.REQUEST, packets.EVENT}:
            connection.tenant.put(frame, connection)
        elif kind == packets.FLUSH:
            seconds, ending = decode(packets.read(frame).meta)
            connection.tenant.flush(min(float(seconds), 300.0), ending=bool(ending))

    def _admit(self, connection: Connection, meta: memoryview) -> None:
        host = introduced(meta)
        tenant = self._tenants.get(host.key)
        if tenant is None:
            try:
                tenant = Tenant(host.settings, self._make_build, self.wake, trusting=host.trusting)
            except OtasError as error:  # such as an extra that is not installed here
                raise RefusedError(f"its settings cannot be used: {error}") from None
            self._tenants[host.key] = tenant
        connection.pid, connection.tenant = host.pid, tenant
        tenant.connections.add(connection)
        if self._listener is None:
            connection.tell(packets.LEAVING)

    def _pause(self, connection: Connection) -> None:
        self._epoll.modify(connection.fileno(), 0)  # it tells of the host's end only
        self._paused.append(connection)

    def _resume(self, connection: Connection) -> None:
        if connection.tenant is not None and not connection.tenant.room:
            self._paused.append(connection)
        else:
            self._epoll.modify(connection.fileno(), select.EPOLLIN)

    def _close(self, connection: Connection) -> None:
        self._connections.pop(connection.fileno(), None)
        if connection in self._paused:
            self._paused.remove(connection)
        with contextlib.suppress(OSError, ValueError):
            self._epoll.unregister(connection.fileno())
        if connection.tenant is not None:
            connection.tenant.connections.discard(connection)
        connection.close()

    # ---- its end

    def _is_over(self) -> bool:
        """Say whether there is nobody left to serve, or our place is gone; looked at now and then."""
        now = monotonic()
        if now - self._looked_at < LONGEST_SLEEP:
            return False
        self._looked_at = now
        for key, tenant in list(self._tenants.items()):
            if tenant.is_deserted(now):
                del self._tenants[key]
                tenant.pipeline.dispose()
        if self._listener is not None and not self._listener.is_in_place:
            logger.warning("otas relay: its socket was removed; it serves those whom it has and ends.")
            self._retire()
        if self._listener is None and not self.waiting:
            return True  # its hosts have been told, and hand over to another one
        if self._connections or self._idle_seconds is None:
            return False
        if now - self._busy_at < self._idle_seconds * (GIVE_UP if self.waiting else 1):
            return False
        if self.waiting:
            logger.warning("otas relay: ends with %d events that its hosts left and that nobody takes.", self.waiting)
        self._retire()
        return not self._connections  # somebody may have come just before

    def _retire(self) -> None:
        """Take no new hosts; those that are here are told to look for another relay."""
        if self._listener is None:
            return
        self._listener.leave()
        self._accept()  # whoever connected before the socket was gone
        self._epoll.unregister(self._listener.fileno())
        self._listener.close()
        self._listener = None
        for connection in list(self._connections.values()):
            if connection.tenant is not None:
                connection.tell(packets.LEAVING)

    def _drain(self) -> None:
        """Deliver for as long as the hosts would wait themselves; then leave the rest to them, or to disk."""
        self._retire()
        begun = monotonic()
        patience = max((tenant.settings.shutdown_timeout for tenant in self._tenants.values()), default=0.0)
        while self.waiting or self._turn(0.0):
            elapsed = monotonic() - begun
            if elapsed > max(patience, 0.0 if self._connections else DRAIN_SECONDS):
                break
            self._turn(0.0)
            time.sleep(TICK)
        if self.waiting and self._connections:
            logger.info(
                "otas relay: ends; what it does not deliver any more is left to the applications, which have it."
            )
        for tenant in self._tenants.values():
            tenant.pipeline.close(patience if tenant.settings.spool_dir is not None else 0.0)
        self._report(ended=True)
        for connection in list(self._connections.values()):
            self._close(connection)
        self._epoll.close()
        self._alarm.close()
        logger.info("otas relay: ended.")

    @property
    def waiting(self) -> int:
        """How many events are not settled."""
        return sum(tenant.waiting for tenant in self._tenants.values())

    def state(self) -> dict[str, Any]:
        """Return the counters, for `--status`."""
        return {
            "version": packets.PROTOCOL,
            "pid": os.getpid(),
            "connections": len(self._connections),
            "waiting": self.waiting,
            "tenants": [tenant.stats() for tenant in self._tenants.values()],
        }


class _Alarm:
    """Wakes the main thread; may be rung by any thread, also when all is over."""

    def __init__(self) -> None:
        self.number = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = threading.RLock()  # a signal handler may ring while this thread does
        self._open = True

    def ring(self) -> None:
        with self._lock:
            if self._open:
                os.eventfd_write(self.number, 1)

    def silence(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.number)

    def close(self) -> None:
        with self._lock:
            self._open = False
            os.close(self.number)
