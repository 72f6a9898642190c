"""The front of delivery: takes what was captured, hands it to every exporter, and answers for all of them."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from otas_middleware._capture.context import deferring_interruptions
from otas_middleware._delivery import process
from otas_middleware._delivery.factory import PipelineFactory
from otas_middleware._delivery.queue_item import BuiltOnce
from otas_middleware._errors import report_internal_error
from otas_middleware._runtime import Deadline, monotonic, this_process

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._delivery.exporter import Exporter
    from otas_middleware._delivery.factory import Build, State
    from otas_middleware._delivery.protocols import Outcome, Weighted
    from otas_middleware._event import Envelope, EventSource


class Pipeline(process.ForkAware):
    """Delivers events in the background. Making one starts nothing: no thread, no connection, no file.

    A forked child starts with an empty pipeline of its own; what the parent had queued is sent by the parent, once.

    Args:
        settings: Where to send, limits and times.
        build: Makes an event of an item that was `put`; called in the worker.
        on_bad_token: Told of each session token that Brain refused, so that its requests need not be recorded.
        on_delivered: Told of each event that a destination has stored; called in the worker.
        trusting: The signature of each session token has been checked elsewhere.

    Raises:
        ConfigurationError: A setting names something that cannot be used.
        MissingExtraError: A setting needs a package that is not installed.
    """

    def __init__(
        self,
        settings: OtasSettings,
        build: Build,
        on_bad_token: Callable[[str], object] = lambda _token: None,
        on_delivered: Callable[[Envelope, Outcome], object] = lambda _parcel, _outcome: None,
        *,
        trusting: bool = False,
    ) -> None:
        self.settings = settings
        self._build = build
        self._durable = settings.durability == "spool" or (
            settings.durability == "relay" and settings.spool_dir is not None
        )  # what the relay does not take
        self._factory = PipelineFactory(settings, build, on_bad_token, on_delivered, trusting=trusting)
        self._state = self._factory.state()
        self._states = {this_process(): self._state}
        process.register(self)

    def put(
        self,
        item: Weighted,
        source: EventSource = "backend",
        done: Collection[str] = (),
    ) -> None:
        """Queue what the request path captured. Never raises; costs about a microsecond and waits for nothing.

        With `durability="spool"` it returns when the event is on disk.

        Args:
            item: What `build` makes an event of.
            source: Which of Brain's log endpoints it is for.
            done: The names of destinations that are done with it.
        """
        state = self._state
        if state.pid != os.getpid():
            state = self.renew()
        exporters: Sequence[Exporter] = state.agent if source == "agent" else state.backend
        if done:
            exporters = [exporter for exporter in exporters if exporter.name not in done]
        if self._durable and self._put_durably(item, exporters):
            pass
        elif len(exporters) == 1:
            exporters[0].offer(item, getattr(item, "receipt", None))
        else:
            try:
                shared = BuiltOnce(item, [exporter.name for exporter in exporters])
            except Exception:  # whatever the application put into a request
                for exporter in exporters:
                    exporter.refuse("internal_error")
                report_internal_error("delivery.weigh")
                return
            for exporter in exporters:
                exporter.offer(shared, shared.receipt_of(exporter.name))
        if process.over_since:
            self._end_late()

    def _put_durably(self, item: Weighted, exporters: Sequence[Exporter]) -> bool:
        """Build an event and write it to the spool before anything else (`durability="spool"`).

        Returns:
            False when it cannot be built, as where the application left no stack for it: a worker tries once more, and
            counts and tells it.
        """
        try:
            envelope = self._build(item, self.settings)
        except Exception:  # see above
            return False
        for exporter in exporters:
            if envelope is None:
                exporter.refuse("filtered")
            else:
                exporter.offer_built(envelope, durably=True)
        return True

    def put_envelope(self, envelope: Envelope, done: Collection[str] = ()) -> None:
        """Queue a finished event (the agent's side, user code), but for destinations that are done with it."""
        state = self._current()
        for exporter in state.agent if envelope.source == "agent" else state.backend:
            if exporter.name not in done:
                exporter.offer_built(envelope)
        if process.over_since:
            self._end_late()

    @property
    def crowded(self) -> bool:
        """Whether a queue is more than half full. Looks without a lock: a figure of a moment ago does as well."""
        return any(exporter.crowded for exporter in self._state.backend)

    def flush(self, timeout: float) -> bool:
        """Wait until everything queued by now has been delivered, spooled or counted as lost.

        Args:
            timeout: The longest wait, in seconds.

        Returns:
            False when the time was up first.
        """
        deadline = Deadline(timeout)
        done = True
        with deferring_interruptions():
            for exporter in self._current().exporters:
                done = exporter.flush(deadline) and done
        return done

    def stats(self) -> dict[str, Any]:
        """Return the counters of this process (see `DeliveryStats`), the first destination's at the top level."""
        exporters = self.stats_by_destination()
        counters: dict[str, Any] = {}
        for first in exporters.values():
            counters.update(first)
            break
        if len(exporters) > 1:
            counters["destinations"] = exporters
        return counters

    def stats_by_destination(self) -> dict[str, dict[str, Any]]:
        """Return each destination's counters, by its name."""
        with deferring_interruptions():
            return {exporter.name: exporter.stats() for exporter in self._current().exporters}

    def close(self, timeout: float | None = None) -> None:
        """Deliver within `timeout` seconds (`shutdown_timeout` when left out), write the rest to the spool.

        What then remains is counted as lost. No thread is started if the interpreter is ending. The pipeline can be
        used again afterwards.
        """
        self.end(Deadline(self.settings.shutdown_timeout if timeout is None else timeout))

    def dispose(self) -> None:
        """End it for good: nothing waits in it, and nobody will put anything in."""
        self.close(0.0)
        process.unregister(self)

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits, in memory or on disk. Looks at the disk."""
        return not any(exporter.waiting() for exporter in self._current().exporters)

    def store(self, timeout: float) -> None:
        """Write to disk what waits and what is being sent, if there is a disk; what there is no time for stays.

        Args:
            timeout: The longest it may take, in seconds.
        """
        deadline, state = Deadline(timeout), self._current()
        with state.ending:
            for exporter in state.exporters:
                exporter.store(deadline)

    def _end_late(self) -> None:
        """Deliver what comes after the end of the process began, within what is left of its time."""
        self.end(Deadline(process.over_since + self.settings.shutdown_timeout - monotonic()))

    # ---- the life of the process (`_delivery/process.py`)

    def deadline(self) -> Deadline:
        """Return until when the end of the process may take."""
        return Deadline(self.settings.shutdown_timeout)

    def end(self, deadline: Deadline) -> None:
        """Deliver or spool until the deadline."""
        state = self._state
        if state.pid == os.getpid():  # else it was forked and never used: what lies here is the parent's
            # Of two that end it at once, both would write what is in flight.
            with deferring_interruptions(), state.ending, ExitStack() as todo:
                todo.callback(state.maintenance.stop)
                for exporter in reversed(state.exporters):
                    todo.callback(exporter.end, deadline)

    def before_fork(self) -> None:
        """Close the spool's files, and keep them closed."""
        for exporter in self._state.exporters:
            exporter.before_fork()

    def after_fork(self) -> None:
        """Let the parent's exporters use their files again."""
        for exporter in self._state.exporters:
            exporter.after_fork()

    def renew(self) -> State:
        """Start anew in a forked child: empty queues, new locks, no thread, no connection.

        The parent's state stays referenced: finalising its connections and files is the parent's business.
        """
        key = this_process()
        state = self._states.get(key)
        if state is None:
            for exporter in self._state.exporters:
                exporter.forget()
            # setdefault: where Python did not see the fork, two threads of the child may come here at once
            state = self._states.setdefault(key, self._factory.state())
        self._state = state
        return state

    def _current(self) -> State:
        state = self._state
        return state if state.pid == os.getpid() else self.renew()
