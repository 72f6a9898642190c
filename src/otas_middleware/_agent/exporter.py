"""From the agent's calls to delivery: one pipeline for all sessions with the same settings.

Every session of a process that has the same settings shares queue, threads and connections. What an answer of Brain
says of an event is for the session that the event belongs to, which is found again by its token or its id. What was
done before there was a session waits: without a token Brain takes nothing.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Literal, Protocol

from otas_middleware import _errors
from otas_middleware._capture.context import in_delivery, run_or_defer
from otas_middleware._capture.session import SessionInfo
from otas_middleware._delivery import open_delivery
from otas_middleware._delivery import process as _process
from otas_middleware._runtime import Deadline, ForkSafeLock, SharedWeakSet, Source, runtime, this_process

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._agent.calls import Call, Item
    from otas_middleware._agent.session_manager import SessionManager
    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._delivery import Outcome
    from otas_middleware._event import Envelope

NO_SESSION = SessionInfo(
    agent_id="", session_id="", verified=False, fingerprint="", issued_at=None, expires_at=None, token=""
)
"""Stands for the session of what happened before there was one."""


class Owner(Protocol):
    """The agent's session object that an event belongs to."""

    def refused(self, token: str) -> None:
        """Take note that Brain refused a token."""
        ...

    def logged(self, envelope: Envelope, event_id: str) -> None:
        """Take note that Brain stored an event under an id of its own."""
        ...


class Delivery(Source, Protocol):
    """Where an exporter's items go: the background pipeline, or the memory of the test kit."""

    def put(self, item: Item, source: Literal["agent"], /) -> None:
        """Queue an item. Never blocks, never raises."""
        ...


class AgentExporter:
    """The way of all items with the same settings into delivery.

    Args:
        settings: Where to send, limits and times.
    """

    def __init__(self, settings: OtasSettings) -> None:
        self.settings = settings
        self.pending: SharedWeakSet[PendingQueue] = SharedWeakSet()
        self.under_way: set[Call] = set()
        """Calls whose answers have not come to an end."""
        self._owners: weakref.WeakValueDictionary[str, Owner] = weakref.WeakValueDictionary()
        self.delivery: Delivery
        self._in_background: Delivery | None = None
        self.follow()

    def follow(self) -> None:
        """Deliver as the process does now: in the background, or into the memory of a test."""
        make = runtime.behaviour.deliver_agent
        if make is not None:
            self.delivery = make(self)
            return
        if self._in_background is None:
            self._in_background = in_background(self)
        self.delivery = self._in_background

    def put(self, item: Item) -> None:
        """Queue an item. Never blocks."""
        run_or_defer(self.forward, item)

    def forward(self, item: Item) -> None:
        """Queue an item; from code that nothing of delivery's can have called, or been interrupted by."""
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
        if in_delivery.get():
            return False  # a signal's handler, in the middle of what it would wait for
        deadline = Deadline(timeout)
        settled = [queue.settle(deadline) for queue in self.pending]
        return self.delivery.flush(deadline.left()) and all(settled)

    def stats(self) -> dict[str, Any]:
        """Return the counters of delivery, those that never got there for want of a session included."""
        counters = self.delivery.stats()
        pending = list(self.pending)
        waiting, lost = sum(queue.waiting for queue in pending), sum(queue.lost for queue in pending)
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


def in_background(exporter: AgentExporter) -> Delivery:
    """Deliver by the pipeline: what agents get."""

    def delivered(envelope: Envelope, outcome: Outcome) -> None:
        if outcome.stored_as:
            exporter.delivered(envelope, outcome.stored_as)

    def learn(verdict: str, token: str) -> None:
        if verdict == "rejected":
            exporter.refused(token)

    return open_delivery(exporter.settings, _build, raw=False, on_token=learn, on_delivered=delivered)


def _build(item: Item, settings: OtasSettings) -> Envelope | None:
    from otas_middleware._agent.events import envelope_of  # noqa: PLC0415  # heavy, in the worker only

    return envelope_of(item, settings)


logger = logging.getLogger("otas_middleware")


class _ExitHandler(_process.ForkAware):
    """Records at the end of the process, before the pipelines end, what is unfinished or waits for a session."""

    def deadline(self) -> Deadline:
        """Return until when it may take."""
        longest = max((exporter.settings.shutdown_timeout for exporter in exporters()), default=0.0)
        return Deadline(longest)

    def end(self, deadline: Deadline) -> None:
        """Send on what waits; what cannot be is counted and logged."""
        for exporter in exporters():
            for call in list(exporter.under_way):
                call.cut_off()
            for queue in exporter.pending:
                if not queue.settle(deadline):
                    logger.warning("otas: %d calls were not recorded, for want of a session.", queue.give_up())


_exporters: dict[OtasSettings, AgentExporter] = {}
_lock = ForkSafeLock()
_process.register(_ExitHandler())  # before any pipeline of ours, since they end in this order


def exporter_for(settings: OtasSettings) -> AgentExporter:
    """Return the process's exporter for these settings; what concerns only one session's calls makes no difference."""
    settings = settings.replace(project_domain=(), propagate_to=(), sdk_key=None)
    with _lock:
        exporter = _exporters.get(settings)
        if exporter is None:
            exporter = _exporters[settings] = AgentExporter(settings)
            runtime.sources.append(exporter)
    return exporter


def exporters() -> list[AgentExporter]:
    """Return all exporters of this process."""
    with _lock:
        return list(_exporters.values())


runtime.lead("deliver_agent", exporters)


class PendingQueue:
    """Holds items until there is a session, has one created in the background, and sends them on.

    Args:
        manager: Creates the session.
        forward: Takes the items when there is one.
        limit: How many items may wait; the oldest leave first and are counted.
    """

    def __init__(self, manager: SessionManager, forward: Callable[[Item], None], limit: int) -> None:
        self._manager = manager
        self._forward = forward
        self._limit = limit
        self._state = _State()

    def add(self, item: Item) -> None:
        """Take an item in. Never blocks."""
        state = self._of_this_process()
        with state.lock:
            state.items.append(item)
            if len(state.items) > self._limit:
                state.items.popleft()
                state.lost += 1
            start, state.running = not state.running, True
        if start and not _process.start_thread(lambda: self._run(state), "otas-session"):
            state.running = False  # `settle` is what remains

    def settle(self, deadline: Deadline) -> bool:
        """Try now, in the calling thread, to get a session and to send everything on; return whether nothing waits.

        Args:
            deadline: Until when.
        """
        state = self._of_this_process()
        if state.items:
            self._empty(state, deadline.left())
        return not state.items

    def give_up(self) -> int:
        """Count what still waits as lost, and return how many that are."""
        state = self._of_this_process()
        with state.lock:
            count = len(state.items)
            state.items.clear()
            state.lost += count
        return count

    @property
    def waiting(self) -> int:
        """How many items wait."""
        return len(self._of_this_process().items)

    @property
    def lost(self) -> int:
        """How many items have been lost for want of a session."""
        return self._of_this_process().lost

    def _of_this_process(self) -> _State:
        state = self._state
        if state.process != this_process():  # a forked child: what waits here is the parent's
            state = self._state = _State()
        return state

    def _run(self, state: _State) -> None:
        try:
            while True:
                self._empty(state)
                with state.lock:
                    if not state.items:
                        state.running = False
                        return
                time.sleep(max(0.05, self._manager.retry_in))
        except Exception:
            state.running = False
            _errors.report_internal_error("agent.waiting")

    def _empty(self, state: _State, patience: float | None = None) -> None:
        session = self._manager.attempt() if patience is None else self._manager.attempt(patience)
        while session is not None:
            with state.lock:
                if not state.items:
                    return
                item = state.items.popleft()
            item.session = session
            self._forward(item)


class _State:
    """What belongs to one process."""

    def __init__(self) -> None:
        self.process = this_process()
        self.lock = threading.RLock()  # a finalizer that finishes a call may interrupt who holds it
        self.items: deque[Item] = deque()
        self.running = False
        self.lost = 0
