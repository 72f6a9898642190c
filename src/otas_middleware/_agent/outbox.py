"""From the agent's calls to delivery: one pipeline for all sessions with the same settings.

Every session of a process that has the same settings shares queue, threads and connections. What an answer of Brain
says of an event is for the session that the event belongs to, which is found again by its token or its id.
"""

from __future__ import annotations

import time
import weakref
from typing import TYPE_CHECKING, Any, Literal, Protocol

from otas_middleware._capture.session import SessionInfo
from otas_middleware._delivery.opening import open_delivery
from otas_middleware._runtime import Source

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._agent.call import Call
    from otas_middleware._agent.waiting import WaitingRoom
    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._delivery import Outcome
    from otas_middleware._event.model import Envelope

NO_SESSION = SessionInfo(
    agent_id="", session_id="", verified=False, fingerprint="", issued_at=None, expires_at=None, token=""
)
"""Stands for the session of what happened before there was one."""


class Item(Protocol):
    """Something that the agent did, waiting to become an event."""

    session: SessionInfo

    @property
    def weight(self) -> int:
        """Bytes that it holds on to, estimated."""
        ...

    def envelope(self, settings: OtasSettings) -> Envelope | None:
        """Make the event, redacted and fitted; None when `before_send` withheld it."""
        ...


class Owner(Protocol):
    """The agent's session object that an event belongs to."""

    def refused(self, token: str) -> None:
        """Take note that Brain refused a token."""
        ...

    def logged(self, envelope: Envelope, event_id: str) -> None:
        """Take note that Brain stored an event under an id of its own."""
        ...


class Delivery(Source, Protocol):
    """Where an outbox's items go: the background pipeline, or the memory of the test kit."""

    def put(self, item: Item, source: Literal["agent"], /) -> None:
        """Queue an item. Never blocks, never raises."""
        ...


class Outbox:
    """The way of all items with the same settings into delivery.

    Args:
        settings: Where to send, limits and times.
        deliver: Makes the delivery.
    """

    def __init__(self, settings: OtasSettings, deliver: Callable[[Outbox], Delivery]) -> None:
        self.settings = settings
        self.rooms: weakref.WeakSet[WaitingRoom] = weakref.WeakSet()
        self.under_way: set[Call] = set()
        """Calls whose answers have not come to an end."""
        self._owners: weakref.WeakValueDictionary[str, Owner] = weakref.WeakValueDictionary()
        self.delivery = deliver(self)

    def put(self, item: Item) -> None:
        """Queue an item. Never blocks."""
        self.delivery.put(item, "agent")

    def introduce(self, session: SessionInfo, owner: Owner) -> None:
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
        return self.delivery.flush(max(0.0, deadline - time.monotonic())) and all(settled)

    def stats(self) -> dict[str, Any]:
        """Return the counters of delivery, those that never got there for want of a session included."""
        counters = self.delivery.stats()
        rooms = list(self.rooms)
        waiting, lost = sum(room.waiting for room in rooms), sum(room.lost for room in rooms)
        counters["captured"] = counters.get("captured", 0) + waiting + lost
        counters["queued"] = counters.get("queued", 0) + waiting
        if lost:
            dropped = dict(counters.get("dropped", {}))
            counters["dropped"] = {**dropped, "no_session": dropped.get("no_session", 0) + lost}
        return counters

    def refused(self, token: str) -> None:
        """Take note that Brain refused a token."""
        owner = self._owners.get(token)
        if owner is not None:
            owner.refused(token)

    def delivered(self, envelope: Envelope, event_id: str) -> None:
        """Take note that Brain stored an event under an id of its own."""
        owner = self._owners.get(envelope.token) or self._owners.get(envelope.session_id)
        if owner is not None:
            owner.logged(envelope, event_id)


def in_background(outbox: Outbox) -> Delivery:
    """Deliver by the pipeline: what agents get."""

    def delivered(envelope: Envelope, outcome: Outcome) -> None:
        if outcome.stored_as:
            outbox.delivered(envelope, outcome.stored_as)

    def learn(verdict: str, token: str) -> None:
        if verdict == "rejected":
            outbox.refused(token)

    return open_delivery(outbox.settings, _build, raw=False, on_token=learn, on_delivered=delivered)


def _build(item: Item, settings: OtasSettings) -> Envelope | None:
    return item.envelope(settings)
