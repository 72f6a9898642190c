"""This process's connections to its relay: up to eight, opened when one is full or in use.

Nothing here waits on the request path: a lock that is taken, a full buffer, a relay that is not there mean that the
event is not taken, with the reason. What a connection kept when it died is given back, and delivered by this process.
"""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections import Counter, deque
from typing import TYPE_CHECKING

from otas_middleware._delivery import process
from otas_middleware._delivery.relay import Account, packets, trust
from otas_middleware._delivery.relay.link import (
    DECIDED,
    FULL,
    HELD,
    TOO_BIG,
    Link,
    RelayUnavailableError,
    native_lock,
)
from otas_middleware._delivery.relay.packets import encode
from otas_middleware._delivery.stats import LONGEST_LOOK
from otas_middleware._errors import log, report_internal_error
from otas_middleware._runtime import monotonic

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from otas_middleware._delivery.relay import Feedback
    from otas_middleware._delivery.relay.packets import Encoded, Returned
    from otas_middleware._delivery.relay.start import Finder
    from otas_middleware._runtime import Deadline

MAX_LINKS = 8

FULL_PAUSE = 0.002
"""Seconds for which no socket is tried after all were full: eight vain tries cost more than they gain."""

_AT_ONCE = 32
"""Items that one request gives back from a dead connection; a thread does the rest."""

_POLL, _LONGEST_POLL = 0.002, 0.02
"""Seconds between two looks for the relay's answers, for those who wait for them: as many as they have waited."""


class RelayClient:
    """The way of all events to the relay, in one process.

    Args:
        path: The relay's socket, or who finds it.
        hello: The packet that introduces this host.
        feedback: Who is told of what.
        max_events: How many events may be kept until they are settled.
        max_bytes: How many bytes these may hold.
    """

    def __init__(self, path: str | Finder, hello: bytes, feedback: Feedback, max_events: int, max_bytes: int) -> None:
        self.pid = os.getpid()
        self.fell_back: Counter[str] = Counter()
        """Events that the relay did not take, by reason."""
        self.returned = 0
        """Events that a relay took and did not settle before it ended."""
        self._place = path
        self._hello = hello
        self._feedback = feedback
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._retry_at = 0.0
        self._full_until = 0.0
        self._why = "absent"
        self._links: tuple[Link, ...] = ()
        self._leaving: tuple[Link, ...] = ()
        self._control = native_lock()
        self._done = 0
        self._lost: Counter[str] = Counter()
        self._back: deque[Returned] = deque()
        self._rest: deque[Returned] = deque()
        """Settled, but for other destinations than the first one."""
        self._giving: deque[None] = deque()  # one for each thread that is giving back
        self.next_number = itertools.count(1).__next__
        """Returns the number of the next event."""
        self._ending = False

    # ---- the request path

    def hand_over(self, batch: Sequence[Encoded]) -> str:
        """Hand events over in one packet; return `TAKEN`, or why this process must deliver them. Waits for nothing.

        Args:
            batch: One event, or several that together are no larger than `packets.MAX_PACKET`.
        """
        if len(batch) == 1 and batch[0][1] > packets.MAX_PACKET:
            return TOO_BIG
        if self._back or self._rest:
            self.give_back(_AT_ONCE)
        for leaving in self._leaving[:1]:  # nothing is sent over it, which would tell that its relay has ended
            self._look_at(leaving)
        if self._full_until and monotonic() < self._full_until:
            return FULL
        full = 0
        for link in self._links:
            reason = link.send(batch)
            if reason or link.heard or link.dead or link.leaving:
                reason = self._after(link, reason, batch)
            if reason in DECIDED:
                return reason
            full += reason == FULL
        opened = self._open()
        if opened is not None:
            return self._after(opened, opened.send(batch), batch)
        self._full_until = monotonic() + FULL_PAUSE if full >= MAX_LINKS else 0.0
        return FULL if self._links else self._why

    def _after(self, link: Link, reason: str, batch: Sequence[Encoded]) -> str:
        """Do what follows from an attempt to hand over; return how it went in the end."""
        if reason == HELD and self._allow_more(link):
            reason = link.send(batch)
        self._act(link)
        return reason

    def _act(self, link: Link) -> None:
        """Do what follows from what a link has heard or become."""
        self._act_on_messages(link)
        if link.dead or link.leaving:
            self._remove(link)

    def _allow_more(self, link: Link) -> bool:
        """Let a link keep its share of what is left of the bounds; return whether anything is left."""
        links = self._everywhere()
        events = self._max_events - sum(len(each.kept) for each in links)
        size = self._max_bytes - sum(each.kept_bytes for each in links)
        if events <= 0 or size <= 0:
            return False
        link.may_keep = len(link.kept) + max(1, events // MAX_LINKS)
        link.may_keep_bytes = link.kept_bytes + max(1, size // MAX_LINKS)
        return True

    def _open(self) -> Link | None:
        """Connect once more, if that is possible and allowed now; return the link with its lock held."""
        if len(self._links) >= MAX_LINKS or monotonic() < self._retry_at:
            return None
        path = self._place if isinstance(self._place, str) else self._found(self._place)
        if path is None:
            return None
        try:
            link = Link(path, self._hello)
        except RelayUnavailableError as error:
            self._why, pause = error.reason, error.retry
        except trust.UnsafePlaceError:
            self._why, pause = "unsafe_user", packets.REFUSED_PAUSE
        else:
            link.acquire()  # nobody else knows it yet
            self._allow_more(link)
            with self._control:
                if len(self._links) < MAX_LINKS:
                    self._links = (*self._links, link)
                    return link
            link.abandon()  # others were quicker
            return None
        if self._why == "absent" and not isinstance(self._place, str):
            self._place.forget()
            pause = 0.0
        self._retry_at = monotonic() + pause
        return None

    def _found(self, finder: Finder) -> str | None:
        if finder.known() is None:
            finder.look()
            self._why = finder.trouble or "absent"
        return finder.path

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
            back, rest = link.take_back()
            self._done += link.done
            self._lost += link.lost
            self.returned += len(back)
            self._back += back
            self._rest += rest
            if self._why != "refused":
                self._why = "absent"
        if link.lost:
            self._feedback.lost()
        self.give_back(_AT_ONCE)
        if (self._back or self._rest) and not self._ending:
            process.start_thread(self.give_back, "otas-relay-return")

    def give_back(self, most: int = 1_000_000) -> None:
        """Have this process deliver what dead connections kept, as far as it is not yet."""
        self._giving.append(None)
        try:
            for _ in range(most):
                waiting = self._back or self._rest
                returned = waiting.popleft()
                try:
                    self._feedback.returned(returned.item(), returned.done)
                except Exception:  # such as want of memory
                    if waiting is self._back:
                        self._lost["internal_error"] += 1
                    report_internal_error("relay.give_back")
        except IndexError:  # nothing is left
            pass
        finally:
            self._giving.pop()

    # ---- what the relay says

    def _act_on_messages(self, link: Link) -> None:
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
        self._retry_at = monotonic() + packets.REFUSED_PAUSE
        line = "otas: the relay does not serve this process: %s. It delivers by itself meanwhile."
        log(logging.WARNING, line, reason)

    # ---- waiting

    def flush(self, deadline: Deadline, *, ending: bool = False) -> bool:
        """Wait until the relay has settled what it was given; return False when the time was up first.

        Args:
            deadline: Until when.
            ending: The process ends: what cannot be delivered in time is to go to disk, if there is one.
        """
        self._ending = ending
        try:
            return self._wait(deadline, ending=ending)
        finally:
            self._ending = False

    def _wait(self, deadline: Deadline, *, ending: bool) -> bool:
        self.give_back()
        mark, links = self.next_number(), self._everywhere()
        untold, pause = links, _POLL
        while True:
            order = encode((deadline.left(), ending))
            untold = tuple(link for link in untold if not self._tell_waiting(link, order))
            settled = self._settled(links, mark)
            self.give_back()
            settled = settled and not self._giving
            if settled or not deadline.left():
                return settled
            time.sleep(min(deadline.left(), pause))
            pause = min(2 * pause, _LONGEST_POLL)

    @staticmethod
    def _tell_waiting(link: Link, order: bytes) -> bool:
        """Tell the relay that somebody waits for what it has; return False when that cannot be done now."""
        if not link.acquire():
            return False
        try:
            return link.dead or not link.kept or link.order(packets.FLUSH, order)
        finally:
            link.release()

    def _settled(self, links: Iterable[Link], mark: int) -> bool:
        seen = [(link, self._look_at(link, mark)) for link in links]
        return all(oldest is not None and (link.dead or oldest >= mark) for link, oldest in seen)

    def look(self) -> None:
        """Read what the relay has said by now."""
        for link in self._everywhere():
            self._look_at(link)

    def _look_at(self, link: Link, none: int = 0) -> int | None:
        """Read what a link brought; return the oldest number that it keeps or `none`, and None if its lock is taken."""
        if not link.acquire():
            return None
        try:
            if not link.dead:
                link.look()
            oldest = next(iter(link.kept), none)  # they stand in the order in which they were handed over
        finally:
            link.release()
        self._act(link)
        return oldest

    def _everywhere(self) -> tuple[Link, ...]:
        return (*self._links, *self._leaving)

    # ---- the account

    def account(self) -> Account:
        """Return what became of all events that the relay was given."""
        held = self._control.acquire(timeout=LONGEST_LOOK)
        try:
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
        finally:
            if held:
                self._control.release()

    @property
    def kept(self) -> int:
        """About how many events are kept."""
        return sum(len(link.kept) for link in self._everywhere()) + len(self._back)

    @property
    def state(self) -> str:
        """`connected`, or why it is not."""
        if self._links:
            return "connected"
        return self._why if isinstance(self._place, str) else self._place.trouble or self._why

    @property
    def connections(self) -> int:
        """How many sockets are open."""
        return len(self._links)

    def abandon(self) -> None:
        """In a forked child: let go of the parent's connections, which stay the parent's."""
        for link in self._everywhere():
            link.abandon()
