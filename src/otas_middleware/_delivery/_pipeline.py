"""The front of delivery: takes what was captured, hands it to every destination's lane, and answers for all of them."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from otas_middleware._delivery import _process
from otas_middleware._delivery._lane import Lane
from otas_middleware._delivery._queue import Entry
from otas_middleware._delivery._sender import HttpAttempt
from otas_middleware._delivery._transports import transport_factory
from otas_middleware._destinations.brain import BrainDestination

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._delivery._protocols import Destination, Weighted
    from otas_middleware._event import Parcel
    from otas_middleware._settings import OtasSettings

    Build = Callable[[Any, OtasSettings], Parcel | None]
    """Makes a finished event of what the request path left; None leaves the request out."""

_PARCEL_WEIGHT = 4096


class Pipeline:
    """Delivers events in the background. Making one starts nothing: no thread, no connection, no file.

    A forked child starts with an empty pipeline of its own; what the parent had queued is sent by the parent, once.

    Args:
        settings: Where to send, limits and times.
        build: Makes an event of an item that was `put`; called in the worker.
        on_bad_token: Told of each session token that Brain refused, so that its requests need not be recorded.

    Raises:
        ConfigurationError: A setting names something that cannot be used.
    """

    def __init__(
        self, settings: OtasSettings, build: Build, on_bad_token: Callable[[str], None] = lambda _token: None
    ) -> None:
        self.settings = settings
        self.on_bad_token = on_bad_token
        self._build = build
        self._transport = transport_factory(settings)
        self._states = {os.getpid(): _State(self.make_lanes())}
        self._state = self._states[os.getpid()]
        _process.register(self)

    def put(self, item: Weighted) -> None:
        """Queue what the request path captured. Never blocks, never raises; costs about a microsecond."""
        state = self._state
        if state.pid != os.getpid():
            state = self.renew()
        for lane in state.backend:
            lane.offer(item)

    def put_parcel(self, parcel: Parcel) -> None:
        """Queue a finished event (the agent's side, user code)."""
        event = parcel.event
        weight = _PARCEL_WEIGHT + len(event.request_body) + len(event.response_body)
        state = self._current()
        for lane in state.agent if parcel.source == "agent" else state.backend:
            lane.offer(Entry(parcel=parcel, weight=weight))

    def flush(self, timeout: float) -> bool:
        """Wait until everything queued by now has been delivered, spooled or counted as lost.

        Args:
            timeout: The longest wait, in seconds.

        Returns:
            False when the time was up first.
        """
        deadline = time.monotonic() + timeout
        done = True
        for lane in self._current().lanes:
            done = lane.crew.flush(deadline) and done
        return done

    def stats(self) -> dict[str, Any]:
        """Return the counters of this process (see `Ledger`), the first destination's at the top level."""
        lanes = self._current().lanes
        counters = lanes[0].stats() if lanes else {}
        if len(lanes) > 1:
            counters["destinations"] = {lane.name: lane.stats() for lane in lanes}
        return counters

    def close(self, timeout: float | None = None) -> None:
        """Deliver within `timeout` seconds (`shutdown_timeout` when left out); what remains is counted as lost.

        No thread is started if the interpreter is ending. The pipeline can be used again afterwards.
        """
        self.end(time.monotonic() + (self.settings.shutdown_timeout if timeout is None else timeout))

    def deadline(self) -> float:
        """Return until when the end of the process may take, in `time.monotonic` seconds."""
        return time.monotonic() + self.settings.shutdown_timeout

    def end(self, deadline: float) -> None:
        """Deliver until the deadline (`time.monotonic` seconds); what remains is counted as lost."""
        state = self._state
        if state.pid == os.getpid():  # else it was forked and never used: what lies here is the parent's
            for lane in state.lanes:
                lane.end(deadline)

    def _current(self) -> _State:
        state = self._state
        return state if state.pid == os.getpid() else self.renew()

    def renew(self) -> _State:
        """Start anew in a forked child: empty queues, new locks, no thread, no connection.

        The parent's state stays referenced: finalising its connections and files is the parent's business.
        """
        pid = os.getpid()
        state = self._states.get(pid)
        if state is None:
            for lane in self._state.lanes:
                lane.queue.fresh.clear()
            # setdefault: where Python did not see the fork, two threads of the child may come here at once
            state = self._states.setdefault(pid, _State(self.make_lanes()))
        self._state = state
        return state

    def make_lanes(self) -> list[Lane]:
        """Make the lanes of one process."""
        settings = self.settings
        destinations: list[Destination] = []
        if settings.sdk_key is not None:
            destinations.append(BrainDestination(settings.brain_url, settings.sdk_key.get_secret_value()))
        return [self._lane(destination) for destination in destinations]

    def _lane(self, destination: Destination) -> Lane:
        settings, build = self.settings, self._build
        return Lane(
            destination.name,
            settings,
            lambda item: build(item, settings),
            lambda: HttpAttempt(destination, self._transport()),
            self.on_bad_token,
        )


class _State:
    """What belongs to one process."""

    __slots__ = ("agent", "backend", "lanes", "pid")

    def __init__(self, lanes: list[Lane]) -> None:
        self.pid = os.getpid()
        self.lanes = tuple(lanes)
        self.backend = tuple(lane for lane in lanes if lane.name != "brain-agent")
        self.agent = tuple(lane for lane in lanes if lane.name != "brain")
