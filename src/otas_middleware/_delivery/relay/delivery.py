"""The host's side of the relay: a delivery that hands over, and delivers by itself what the relay does not take.

The pipeline that it stands before is the one that hosts without a relay have. Nothing is lost on the way between them:
at any moment captured = acknowledged + kept + delivered here + spooled + dropped + queued.
"""

from __future__ import annotations

import logging
import os
from collections import Counter, deque
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, NamedTuple

from otas_middleware._capture.context import deferring_interruptions, delivering
from otas_middleware._delivery import process
from otas_middleware._delivery.log import DeliveryLog
from otas_middleware._delivery.protocols import Outcome, Verdict
from otas_middleware._delivery.relay import Feedback, start
from otas_middleware._delivery.relay.batch import BatchSender
from otas_middleware._delivery.relay.client import RelayClient
from otas_middleware._delivery.relay.hello import builds_here, hello
from otas_middleware._delivery.relay.packets import encode_event, encode_request
from otas_middleware._errors import log, report_internal_error
from otas_middleware._event import Envelope, EventSource
from otas_middleware._runtime import Deadline, this_process

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._delivery.factory import Build
    from otas_middleware._delivery.pipeline import Pipeline
    from otas_middleware._delivery.protocols import Weighted
    from otas_middleware._delivery.relay import Account
    from otas_middleware._delivery.relay.packets import Encoded


_OUT_OF_REACH = {"absent", "unreachable", "foreign_user", "unsafe_user"}
_BY_ITSELF = (
    "otas: no relay serves at the path in OTAS_RELAY (%s); this process delivers by itself until one does. "
    "otas-middleware doctor says why."
)
_ONLY_IN_MEMORY = (
    "otas: durability='relay', and the relay does not take events now (%s): until it does they are only in "
    "this process's memory. Set OTAS_SPOOL_DIR to have them written to disk meanwhile."
)


class RelayDelivery(process.ForkAware):
    """Hands over to a relay what is put in, and to a pipeline of this process what that does not take.

    Args:
        settings: The host's settings, with `relay`.
        make_pipeline: Makes the pipeline; called after this delivery is registered, so that it ends before that.
        build: Makes an event of an item, where that must be done in the host.
        raw: Items of the request path cross as they are, unless the settings demand otherwise.
        on_token: Gets what the relay found out about a session token (`rejected`, `bad_signature`, `confirmed`), and
            the token.
        on_delivered: Told of each event to which the destination gave an id, as a pipeline tells it.
    """

    def __init__(
        self,
        settings: OtasSettings,
        make_pipeline: Callable[[], Pipeline],
        build: Build,
        *,
        raw: bool,
        on_token: Callable[[str, str], object],
        on_delivered: Callable[[Envelope, Outcome], object],
    ) -> None:
        self.settings = settings
        self._build = build
        self._raw = raw and not builds_here(settings)
        self._on_token = on_token
        self._on_delivered = on_delivered
        self._durable = settings.durability == "relay"
        self._batched = not self._durable and (settings.relay_batch or not self._raw)
        self._warned = False
        self._state = self._new_state()
        self._states = {this_process(): self._state}
        process.register(self)
        self.pipeline = make_pipeline()

    # ---- the request path

    def put(self, item: Weighted, source: EventSource = "backend") -> None:
        """Hand over what the request path captured, or have it delivered here. Never raises, waits for nothing."""
        state = self._state
        if state.client.pid != os.getpid():
            state = self.renew()
        given = item if self._raw else _Routed(item, source)
        if self._batched:
            reason = state.batch.put(given)
        elif self._raw:
            reason = self._hand_over(state, item)
        else:
            state.batch.send(given)
            return
        if reason:
            self._here(given, reason)

    def put_at_once(self, item: Weighted) -> bool:
        """Hand over what must not be lost any more, if that takes no waiting: for event loops.

        Returns:
            False when it was not taken: `put` it where waiting for a disk keeps nobody.
        """
        state = self._current()
        return self._durable and self._raw and not self._hand_over(state, item)

    @staticmethod
    def _hand_over(state: _State, item: Weighted) -> str:
        client = state.client
        try:
            encoded = encode_request(item, client.next_number())  # type: ignore[arg-type]  # raw items are captures
            return "unencodable" if encoded is None else client.hand_over((encoded,))
        except Exception:  # such as want of memory; this process tries itself
            report_internal_error("relay.hand_over")
            return "internal_error"

    def put_envelope(self, envelope: Envelope) -> None:
        """Hand over a finished event (the agent's side, user code)."""
        reason = self._current().batch.put(envelope)
        if reason:
            self._here(envelope, reason)

    def _here(self, item: Any, reason: str) -> None:
        """Deliver in this process what the relay did not take."""
        self._current().client.fell_back[reason] += 1
        exposed = self._durable and self.settings.spool_dir is None
        if not self._warned and (exposed or (reason in _OUT_OF_REACH and self.settings.relay != "auto")):
            self._warned = True
            log(logging.WARNING, _ONLY_IN_MEMORY if exposed else _BY_ITSELF, reason)
        self._deliver(item)

    def _deliver(self, item: Any, done: Collection[str] = ()) -> None:
        if isinstance(item, _Routed):
            self.pipeline.put(item.item, item.source, done)
        elif isinstance(item, Envelope):
            self.pipeline.put_envelope(item, done)
        else:
            self.pipeline.put(item, done=done)

    # ---- the batch thread

    def _prepare(self, item: Any, number: int) -> tuple[object, Encoded | None] | None:
        if isinstance(item, Envelope):
            return item, encode_event(item, number)
        if self._raw:
            return item, encode_request(item, number)
        try:
            envelope = self._build(item.item, self.settings)
        except Exception:  # the pipeline fails on it too, and then counts and tells it
            return item, None
        if envelope is None:
            self._current().withheld["filtered"] += 1
            return None
        return envelope, encode_event(envelope, number)

    # ---- what the relay says

    def _lost(self) -> None:
        state = self._current()
        if state.telling:
            return
        state.telling = True
        if self.settings.on_loss is None or not process.start_thread(self._tell_losses, "otas-relay-losses"):
            self._tell_losses()

    def _tell_losses(self) -> None:
        state = self._current()
        state.telling = False  # before the count: who comes from now on may not be in it
        state.log.losses(state.client.account().lost)

    def _stored(self, envelope: object, name: str) -> None:
        self._current().stored.append((envelope, name))  # for a thread in which nothing is recorded

    def _tell_stored(self) -> None:
        """Tell whoever wants to know it which ids events have got; what that one does is not recorded."""
        stored = self._current().stored
        if stored:
            copy_context().run(self._tell_each, stored)

    def _tell_each(self, stored: deque[tuple[object, str]]) -> None:
        delivering.set(True)
        while stored:
            envelope, name = stored.popleft()
            if isinstance(envelope, Envelope):
                self._on_delivered(envelope, Outcome(Verdict.DELIVERED, "delivered", stored_as=name))

    # ---- the account

    @property
    def crowded(self) -> bool:
        """Whether more than half of what may be kept or queued is: what need not be recorded should be left out."""
        return self.pipeline.crowded or 2 * self._current().client.kept > self.settings.queue_max_events

    def flush(self, timeout: float) -> bool:
        """Wait until everything handed over is delivered or on disk, and everything here has been delivered too.

        Args:
            timeout: The longest wait, in seconds.

        Returns:
            False when the time was up first.
        """
        deadline = Deadline(timeout)
        state = self._current()
        with deferring_interruptions():
            settled = state.batch.flush(deadline)
            settled = state.client.flush(deadline) and settled
        self._tell_stored()
        return self.pipeline.flush(deadline.left()) and settled

    def stats(self) -> dict[str, Any]:
        """Return the pipeline's counters with what went to the relay, and under `relay` how that went."""
        state = self._current()
        client = state.client
        with deferring_interruptions():
            client.look()
        counters = self.pipeline.stats()
        account = client.account()
        acknowledged, kept, lost, returned = account
        lost = lost + state.withheld
        waiting = state.batch.waiting
        counters["captured"] = counters.get("captured", 0) + acknowledged + kept + waiting + lost.total()
        counters["queued"] = counters.get("queued", 0) + waiting
        dropped: dict[str, int] = counters.get("dropped", {})
        counters["dropped"] = dict(lost + Counter(dropped))
        counters["possible_duplicates"] = counters.get("possible_duplicates", 0) + returned
        counters["acknowledged"] = acknowledged
        counters["kept"] = kept
        counters["relay"] = self._relay_stats(account)
        return counters

    def relay_stats(self) -> dict[str, Any]:
        """Return how it went with the relay."""
        client = self._current().client
        with deferring_interruptions():
            client.look()
        return self._relay_stats(client.account())

    def _relay_stats(self, account: Account) -> dict[str, Any]:
        client = self._state.client
        acknowledged, kept, lost, returned = account
        return {
            "handed_over": acknowledged + kept + lost.total() + returned,
            "acknowledged": acknowledged,
            "kept": kept,
            "returned": returned,
            "dropped": dict(lost),
            "fell_back": dict(client.fell_back),
            "connections": client.connections,
            "state": client.state,
        }

    def close(self, timeout: float | None = None) -> None:
        """Wait `timeout` seconds (`shutdown_timeout` when left out) for the relay, and close the pipeline."""
        deadline = Deadline(self.settings.shutdown_timeout if timeout is None else timeout)
        self.end(deadline)
        self.pipeline.end(deadline)

    # ---- the life of the process (`process.py`)

    def deadline(self) -> Deadline:
        """Return until when the end of the process may take."""
        return Deadline(self.settings.shutdown_timeout)

    def end(self, deadline: Deadline) -> None:
        """Wait for the relay's answer until the deadline; the pipeline ends after this."""
        state = self._state
        if state.client.pid != os.getpid():
            return
        with deferring_interruptions():
            state.batch.flush(deadline, ending=True)
            settled = state.client.flush(deadline, ending=True)
        self._tell_stored()
        if not settled:
            state.log.say(
                "kept",
                logging.WARNING,
                "otas: this process ends while the relay has %d of its events and has not said they are delivered.",
                state.client.account().kept,
            )

    def renew(self) -> _State:
        """Start anew in a forked child: what the parent handed over is the parent's, and so are its connections."""
        key = this_process()
        state = self._states.get(key)
        if state is None:
            self._state.client.abandon()
            # setdefault: where Python did not see the fork, two threads of the child may come here at once
            state = self._states.setdefault(key, self._new_state())
        self._state = state
        return state

    def _new_state(self) -> _State:
        settings = self.settings
        feedback = Feedback(self._deliver)
        feedback.token, feedback.lost, feedback.stored = self._on_token, self._lost, self._stored
        most, size = settings.queue_max_events, settings.queue_max_bytes
        path = settings.relay or ""
        found = start.Finder(settings.relay_log) if path == "auto" else path
        client = RelayClient(found, hello(settings), feedback, most, size)  # which names this process
        batch = BatchSender(client, self._prepare, self._here, most, self._tell_stored)
        return _State(client, batch, DeliveryLog("the relay", settings.on_loss, lambda: client.kept))

    def _current(self) -> _State:
        state = self._state
        return state if state.client.pid == os.getpid() else self.renew()


class _Routed(NamedTuple):
    """An item, and which of Brain's log endpoints its event is for."""

    item: Any
    source: EventSource


class _State:
    """What belongs to one process."""

    def __init__(self, client: RelayClient, batch: BatchSender, log: DeliveryLog) -> None:
        self.client = client
        self.batch = batch
        self.log = log
        self.telling = False
        """A thread is about to tell losses."""
        self.withheld: Counter[str] = Counter()
        """Events that were built here and are not to be sent."""
        self.stored: deque[tuple[object, str]] = deque()
        """Events, and the ids that they have got."""
