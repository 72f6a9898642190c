"""The front of delivery: takes what was captured, hands it to every destination's lane, and answers for all of them."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Literal

from otas_middleware import _internal_errors
from otas_middleware._delivery import process
from otas_middleware._delivery.factory import Assembly
from otas_middleware._delivery.queue import Entry
from otas_middleware._delivery.shared import Shared

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._delivery.factory import Build, State
    from otas_middleware._delivery.protocols import Outcome, Weighted
    from otas_middleware._event.model import Parcel

_PARCEL_WEIGHT = 4096


class Pipeline:
    """Delivers events in the background. Making one starts nothing: no thread, no connection, no file.

    A forked child starts with an empty pipeline of its own; what the parent had queued is sent by the parent, once.

    Args:
        settings: Where to send, limits and times.
        build: Makes an event of an item that was `put`; called in the worker.
        on_bad_token: Told of each session token that Brain refused, so that its requests need not be recorded.
        on_delivered: Told of each event that a destination has stored; called in the worker.

    Raises:
        ConfigurationError: A setting names something that cannot be used.
        MissingExtraError: A setting needs a package that is not installed.
    """

    def __init__(
        self,
        settings: OtasSettings,
        build: Build,
        on_bad_token: Callable[[str], object] = lambda _token: None,
        on_delivered: Callable[[Parcel, Outcome], object] = lambda _parcel, _outcome: None,
    ) -> None:
        self.settings = settings
        self._build = build
        self._durable = settings.durability == "spool"
        self._assembly = Assembly(settings, build, on_bad_token, on_delivered)
        self._state = self._assembly.state()
        self._states = {self._state.pid: self._state}
        process.register(self)

    def put(self, item: Weighted, source: Literal["backend", "agent"] = "backend") -> None:
        """Queue what the request path captured. Never raises; costs about a microsecond and waits for nothing.

        With `durability="spool"` it returns when the event is on disk.

        Args:
            item: What `build` makes an event of.
            source: Which of Brain's log endpoints it is for.
        """
        if self._durable:
            self._put_durably(item, source)
            return
        state = self._state
        if state.pid != os.getpid():
            state = self.renew()
        lanes = state.agent if source == "agent" else state.backend
        if len(lanes) > 1:
            item = Shared(item)
        for lane in lanes:
            lane.offer(item)

    def _put_durably(self, item: Weighted, source: Literal["backend", "agent"]) -> None:
        """Build an event and write it to the spool before anything else (`durability="spool"`)."""
        state = self._current()
        lanes = state.agent if source == "agent" else state.backend
        try:
            parcel = self._build(item, self.settings)
        except Exception:  # swallow logs it
            for lane in lanes:
                lane.refuse("build_failed")
            _internal_errors.swallow("delivery.build")
            return
        for lane in lanes:
            if parcel is None:
                lane.refuse("filtered")
            else:
                lane.offer_durably(Entry(parcel=parcel, weight=item.weight), parcel)

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
            done = lane.flush(deadline) and done
        return done

    def stats(self) -> dict[str, Any]:
        """Return the counters of this process (see `Ledger`), the first destination's at the top level."""
        lanes = self.stats_by_destination()
        counters: dict[str, Any] = {}
        for first in lanes.values():
            counters.update(first)
            break
        if len(lanes) > 1:
            counters["destinations"] = lanes
        return counters

    def stats_by_destination(self) -> dict[str, dict[str, Any]]:
        """Return each destination's counters, by its name."""
        return {lane.name: lane.stats() for lane in self._current().lanes}

    def close(self, timeout: float | None = None) -> None:
        """Deliver within `timeout` seconds (`shutdown_timeout` when left out), write the rest to the spool.

        What then remains is counted as lost. No thread is started if the interpreter is ending. The pipeline can be
        used again afterwards.
        """
        self.end(time.monotonic() + (self.settings.shutdown_timeout if timeout is None else timeout))

    # ---- the life of the process (`_delivery/process.py`)

    def deadline(self) -> float:
        """Return until when the end of the process may take, in `time.monotonic` seconds."""
        return time.monotonic() + self.settings.shutdown_timeout

    def end(self, deadline: float) -> None:
        """Deliver or spool until the deadline (`time.monotonic` seconds)."""
        state = self._state
        if state.pid == os.getpid():  # else it was forked and never used: what lies here is the parent's
            for lane in state.lanes:
                lane.end(deadline)
            state.keeper.stop()

    def before_fork(self) -> None:
        """Close the spool's files, and keep them closed."""
        for lane in self._state.lanes:
            if lane.depot is not None:
                lane.depot.before_fork()

    def after_fork(self) -> None:
        """Let the parent's lanes use their files again."""
        for lane in self._state.lanes:
            if lane.depot is not None:
                lane.depot.after_fork()

    def renew(self) -> State:
        """Start anew in a forked child: empty queues, new locks, no thread, no connection.

        The parent's state stays referenced: finalising its connections and files is the parent's business.
        """
        pid = os.getpid()
        state = self._states.get(pid)
        if state is None:
            for lane in self._state.lanes:
                lane.queue.fresh.clear()
            # setdefault: where Python did not see the fork, two threads of the child may come here at once
            state = self._states.setdefault(pid, self._assembly.state())
        self._state = state
        return state

    def _current(self) -> State:
        state = self._state
        return state if state.pid == os.getpid() else self.renew()
