"""From the agent's calls to delivery: one pipeline for all sessions with the same settings.

Every session of a process that has the same settings shares queue, threads and connections. What an answer of Brain
says of an event is for the session that the event belongs to, which is found again by its id.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Protocol

from otas_middleware._delivery import Pipeline, _process
from otas_middleware._recorder import other_sources
from otas_middleware._session import AgentSession

if TYPE_CHECKING:
    from otas_middleware._agent.call import Call
    from otas_middleware._agent.waiting import WaitingRoom
    from otas_middleware._delivery import Outcome
    from otas_middleware._event import Parcel
    from otas_middleware._settings import OtasSettings

logger = logging.getLogger("otas_middleware")

NO_SESSION = AgentSession(
    agent_id="", session_id="", verified=False, fingerprint="", issued_at=None, expires_at=None, token=""
)
"""Stands for the session of what happened before there was one."""


class Item(Protocol):
    """Something that the agent did, waiting to become an event."""

    session: AgentSession

    @property
    def weight(self) -> int:
        """Bytes that it holds on to, estimated."""
        ...

    def parcel(self, settings: OtasSettings) -> Parcel | None:
        """Make the event, redacted and fitted; None when `before_send` withheld it."""
        ...


class Owner(Protocol):
    """The agent's session object that an event belongs to."""

    def refused(self, token: str) -> None:
        """Take note that Brain refused a token."""
        ...

    def logged(self, parcel: Parcel, event_id: str) -> None:
        """Take note that Brain stored an event under an id of its own."""
        ...


class Outbox:
    """The way of all items with the same settings into delivery.

    Args:
        settings: Where to send, limits and times.
    """

    def __init__(self, settings: OtasSettings) -> None:
        self.settings = settings
        self.rooms: weakref.WeakSet[WaitingRoom] = weakref.WeakSet()
        self.under_way: set[Call] = set()
        """Calls whose answers have not come to an end."""
        self._owners: weakref.WeakValueDictionary[str, Owner] = weakref.WeakValueDictionary()
        self._pipeline = Pipeline(settings, _build, self._refused, self._delivered)

    def put(self, item: Item) -> None:
        """Queue an item. Never blocks."""
        self._pipeline.put(item, "agent")

    def introduce(self, session: AgentSession, owner: Owner) -> None:
        """Remember whose session it is, for as long as its owner lives."""
        self._owners[session.session_id] = owner
        self._owners[session.token] = owner

    def flush(self, timeout: float) -> bool:
        """Wait until everything that happened so far has been delivered, spooled or counted as lost.

        Args:
            timeout: The longest wait, in seconds.

        Returns:
            False when the time was up first, or when there was no session to deliver in.
        """
        deadline = time.monotonic() + timeout
        settled = [room.settle(deadline) for room in list(self.rooms)]
        return self._pipeline.flush(max(0.0, deadline - time.monotonic())) and all(settled)

    def stats(self) -> dict[str, Any]:
        """Return the counters of delivery, those that never got there for want of a session included."""
        counters = self._pipeline.stats()
        rooms = list(self.rooms)
        waiting, lost = sum(room.waiting for room in rooms), sum(room.lost for room in rooms)
        counters["captured"] = counters.get("captured", 0) + waiting + lost
        counters["queued"] = counters.get("queued", 0) + waiting
        if lost:
            dropped = dict(counters.get("dropped", {}))
            counters["dropped"] = {**dropped, "no_session": dropped.get("no_session", 0) + lost}
        return counters

    def _refused(self, token: str) -> None:
        owner = self._owners.get(token)
        if owner is not None:
            owner.refused(token)

    def _delivered(self, parcel: Parcel, outcome: Outcome) -> None:
        owner = self._owners.get(parcel.session_id)
        if owner is not None and outcome.stored_as:
            owner.logged(parcel, outcome.stored_as)


def _build(item: Item, settings: OtasSettings) -> Parcel | None:
    return item.parcel(settings)


class _LastCall:
    """At the end of the process, before the pipelines end: takes in what is unfinished or waits for a session."""

    def before_fork(self) -> None:
        """Nothing is open."""

    def after_fork(self) -> None:
        """Nothing was closed."""

    def renew(self) -> None:
        """What belongs to a process knows it by itself."""

    def deadline(self) -> float:
        """Return until when it may take, in `time.monotonic` seconds."""
        longest = max((outbox.settings.shutdown_timeout for outbox in outboxes()), default=0.0)
        return time.monotonic() + longest

    def end(self, deadline: float) -> None:
        """Send on what waits; what cannot be is counted and logged."""
        for outbox in outboxes():
            for call in list(outbox.under_way):
                call.cut_off()
            for room in list(outbox.rooms):
                if not room.settle(deadline):
                    logger.warning("otas: %d calls were not recorded, for want of a session.", room.give_up())


_outboxes: dict[OtasSettings, Outbox] = {}
_lock = threading.Lock()
if hasattr(os, "register_at_fork"):  # no child may find the lock held by a thread that it does not have
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
_process.register(_LastCall())  # before any pipeline of ours, since they end in this order


def outbox_for(settings: OtasSettings) -> Outbox:
    """Return the process's outbox for these settings; what concerns only one session's calls makes no difference."""
    settings = settings.replace(project_domain=(), propagate_to=(), sdk_key=None)
    with _lock:
        outbox = _outboxes.get(settings)
        if outbox is None:
            outbox = _outboxes[settings] = Outbox(settings)
            other_sources.append(outbox)
    return outbox


def outboxes() -> list[Outbox]:
    """Return all outboxes of this process."""
    with _lock:
        return list(_outboxes.values())
