"""This process's connections to its relay: up to eight, opened when one is full or in use.

Nothing here waits on the request path: a lock that is taken, a full buffer, a relay that is not there mean that the
event is not taken, with the reason. What a connection kept when it died is given back, and delivered by this process.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, NamedTuple

from otas_middleware._delivery import process
from otas_middleware._delivery.relay import packets, place
from otas_middleware._delivery.relay.frames import encode
from otas_middleware._delivery.relay.link import DEAD, FULL, TAKEN, TOO_LARGE, Link, RelayUnavailableError, native_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from otas_middleware._delivery.relay.frames import Encoded

logger = logging.getLogger("otas_middleware")

MAX_LINKS = 8

REFUSED_PAUSE = 30.0
"""Seconds until a relay that refused this host is asked again."""

_AT_ONCE = 32
"""Items that one request gives back from a dead connection; a thread does the rest."""

_POLL, _LONGEST_POLL = 0.002, 0.02
"""Seconds between two looks for the relay's answers, for those who wait for them: more the longer they have waited."""


class Account(NamedTuple):
    """What became of the events that a client handed over.

    Attributes:
        acknowledged: Delivered, or on disk.
        kept: Not settled yet; this process still has them.
        lost: Dropped by the relay, by reason.
        returned: Given back by a relay that ended, and delivered by this process.
    """

    acknowledged: int
    kept: int
    lost: Counter[str]
    returned: int


class Feedback:
    """What a client tells; each may be replaced. All are called where the relay's messages are read.

    Attributes:
        returned: Gets each item that the relay did not settle, to be delivered by this process.
        token: Gets what was found out about a session token, and the token.
        lost: Called after events were dropped by the relay; `RelayClient.account` has the counts.
        stored: Gets an item and the id that the destination gave it.
    """

    def __init__(self, returned: Callable[[Any], object]) -> None:
        self.returned = returned
        self.token: Callable[[str, str], object] = _ignore
        self.lost: Callable[[], object] = _ignore
        self.stored: Callable[[Any, str], object] = _ignore


class RelayClient:
    """The way of all events to the relay, in one process.

    Args:
        path: The relay's socket, or None where `find` is to say it.
        hello: The packet that introduces this host.
        feedback: Who is told of what.
        max_events: How many events may be kept until they are settled.
        max_bytes: How many bytes these may hold.
        find: Finds the relay's socket, or starts a relay; called in a thread of its own.
    """

    def __init__(
        self,
        path: str | None,
        hello: bytes,
        feedback: Feedback,
        max_events: int,
        max_bytes: int,
        find: Callable[[], str] | None = None,
    ) -> None:
        self.pid = os.getpid()
        self.fell_back: Counter[str] = Counter()
        """Events that the relay did not take, by reason."""
        self.returned = 0
        """Events that a relay took and did not settle before it ended."""
        self._path = path
        self._hello = hello
        self._feedback = feedback
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._find = find
        self._finding = False
        self._retry_at = 0.0
        self._why = "absent"
        self._links: tuple[Link, ...] = ()
        self._leaving: tuple[Link, ...] = ()
        self._control = native_lock()
        self._done = 0
        self._lost: Counter[str] = Counter()
        self._back: deque[Any] = deque()
        self._ending = False

    # ---- the request path

    def hand_over(self, item: object, encoded: Encoded) -> str:
        """Hand an event over; return `TAKEN`, or why this process must deliver it. Waits for nothing.

        Args:
            item: What is given back if the relay does not settle it.
            encoded: The event as a frame.
        """
        if encoded.size > packets.MAX_PACKET:
            return TOO_LARGE
        return self._through(Link.send, item, encoded)

    def hand_over_many(self, batch: Sequence[tuple[object, Encoded]]) -> str:
        """Hand several events over in one packet, which they must fit; return `TAKEN` or why none was."""
        return self._through(Link.send_many, batch)

    def _through(self, send: Callable[..., str], *what: object) -> str:
        reason = FULL
        for link in self._links:
            reason = self._try(link, send, what)
            if reason in _DECIDED:
                return reason
        opened = self._open()
        return self._try(opened, send, what) if opened is not None else self._why if not self._links else reason

    def _try(self, link: Link, send: Callable[..., str], what: tuple[object, ...]) -> str:
        if not link.lock.acquire(blocking=False):
            return FULL
        try:
            if link.dead or link.leaving:
                return DEAD
            if len(link.kept) * MAX_LINKS >= self._max_events or link.kept_bytes * MAX_LINKS >= self._max_bytes:
                link.look()
                if self._keeps_enough():
                    return "unsettled"
            return send(link, *what)
        finally:
            link.lock.release()
            if link.heard or link.dead or link.leaving:
                self._after(link)

    def _after(self, link: Link) -> None:
        """Do what follows from what a link has heard or become."""
        self._heed(link)
        if link.dead or link.leaving:
            self._remove(link)

    def _keeps_enough(self) -> bool:
        links = (*self._links, *self._leaving)
        return (
            sum(len(link.kept) for link in links) >= self._max_events
            or sum(link.kept_bytes for link in links) >= self._max_bytes
        )

    def _open(self) -> Link | None:
        """Connect once more, if that is possible and allowed now."""
        path = self._path
        if len(self._links) >= MAX_LINKS or (not self._links and time.monotonic() < self._retry_at):
            return None
        if path is None:
            self._look_for_relay()
            return None
        if not self._control.acquire(blocking=False):
            return None  # somebody else does
        try:
            link = Link(path, self._hello)
            self._links = (*self._links, link)
        except RelayUnavailableError as error:
            self._why, pause = error.reason, error.retry
        except place.UnsafePlaceError:
            self._why, pause = "unsafe_user", REFUSED_PAUSE
        else:
            return link
        finally:
            self._control.release()
        self._retry_at = time.monotonic() + pause
        if self._why == "absent":
            self._look_for_relay()
        return None

    def _remove(self, link: Link) -> None:
        """Use a link no more; give back what a dead one kept, and wait for the answers of one that is leaving."""
        with self._control:
            if link not in self._links and link not in self._leaving:
                return
            self._links = tuple(other for other in self._links if other is not link)
            self._leaving = tuple(other for other in self._leaving if other is not link)
            if not link.dead:
                self._leaving = (*self._leaving, link)
                return
            self._done += link.done
            self._lost += link.lost
            back = link.take_back()
            self.returned += len(back)
            self._back += back
            if self._why != "refused":
                self._why = "absent"
        self.give_back(_AT_ONCE)
        if self._back and not self._ending:
            process.start_thread(self.give_back, "otas-relay-return")

    def give_back(self, most: int = 1_000_000) -> None:
        """Have this process deliver what dead connections kept, as far as it is not yet."""
        for _ in range(most):
            try:
                item = self._back.popleft()
            except IndexError:
                return
            self._feedback.returned(item)

    # ---- what the relay says

    def _heed(self, link: Link) -> None:
        """Act on what a link has heard. Called without any lock."""
        while True:
            try:
                what, first, second = link.heard.popleft()
            except IndexError:
                return
            if what == "lost":
                self._feedback.lost()
            elif what == "token":
                self._feedback.token(first, second)
            elif what == "stored":
                self._feedback.stored(first, second)
            else:
                self._refused(first)

    def _refused(self, reason: str) -> None:
        self._why = "refused"
        self._retry_at = time.monotonic() + REFUSED_PAUSE
        logger.warning("otas: the relay does not serve this process: %s. It delivers by itself meanwhile.", reason)

    # ---- finding and starting one

    def _look_for_relay(self) -> None:
        """Find a relay, or start one, in a thread of its own, or here where there are no threads."""
        if self._finding or self._find is None or self._ending:
            return
        self._finding = True
        if not process.start_thread(self._found, "otas-relay-start"):
            self._found()

    def _found(self) -> None:
        try:
            if self._find is not None:
                self._path = self._find()
                self._retry_at = 0.0
        except place.UnsafePlaceError as error:
            self._why, self._retry_at = "unsafe_place", time.monotonic() + REFUSED_PAUSE
            _say_once(f"otas: no relay: {error}. This process delivers by itself.")
        except OSError as error:
            self._why, self._retry_at = "not_started", time.monotonic() + REFUSED_PAUSE
            _say_once(f"otas: no relay could be started ({error.strerror}). This process delivers by itself.")
        finally:
            self._finding = False

    # ---- waiting

    def flush(self, deadline: float, *, ending: bool = False) -> bool:
        """Wait until the relay has settled what it was given; return False when the time was up first.

        Args:
            deadline: `time.monotonic` seconds.
            ending: The process ends: what cannot be delivered in time is to go to disk, if there is one.
        """
        self._ending = ending
        try:
            return self._wait(deadline, ending=ending)
        finally:
            self._ending = False

    def _wait(self, deadline: float, *, ending: bool) -> bool:
        self.give_back()
        marks = [(link, link.number) for link in self._everywhere()]
        order = encode((max(0.0, deadline - time.monotonic()), ending))
        for link, _ in marks:
            with link.lock:
                if link.kept and not link.dead:
                    link.order(packets.FLUSH, order)
        begun = time.monotonic()
        while not self._settled(marks):
            now = time.monotonic()
            if now >= deadline:
                self.give_back()
                return False
            time.sleep(min(deadline - now, _LONGEST_POLL, _POLL + (now - begun) / 4))
        self.give_back()
        return True

    def _settled(self, marks: Iterable[tuple[Link, int]]) -> bool:
        settled = True
        for link, number in marks:
            with link.lock:
                if not link.dead:
                    link.look()
                oldest = next(iter(link.kept), None)
            self._after(link)
            if not link.dead and oldest is not None and oldest <= number:
                settled = False
        return settled

    def look(self) -> None:
        """Read what the relay has said by now."""
        for link in self._everywhere():
            if link.lock.acquire(blocking=False):
                if not link.dead:
                    link.look()
                link.lock.release()
                self._after(link)

    def _everywhere(self) -> tuple[Link, ...]:
        return (*self._links, *self._leaving)

    # ---- the account

    def account(self) -> Account:
        """Return what became of all events that the relay was given."""
        with self._control:
            links = self._everywhere()
            lost = self._lost.copy()
            for link in links:
                lost.update(link.lost)
            return Account(
                self._done + sum(link.done for link in links),
                sum(len(link.kept) for link in links) + len(self._back),
                lost,
                self.returned,
            )

    @property
    def kept(self) -> int:
        """About how many events are kept."""
        return sum(len(link.kept) for link in self._everywhere()) + len(self._back)

    @property
    def state(self) -> str:
        """`connected`, or why it is not."""
        return "connected" if self._links else self._why

    @property
    def connections(self) -> int:
        """How many sockets are open."""
        return len(self._links)

    def abandon(self) -> None:
        """In a forked child: let go of the parent's connections, which stay the parent's."""
        for link in self._everywhere():
            link.abandon()


_DECIDED = frozenset({TAKEN, TOO_LARGE, "unsettled"})

_said: set[str] = set()
_said_lock = threading.Lock()


def _say_once(line: str) -> None:
    with _said_lock:
        if line in _said:
            return
        _said.add(line)
    logger.warning(line)


def _ignore(*_: object) -> None:
    """Take the place of a hook that nobody has set."""
