"""Delivery into memory: what recorders and agents get instead of the background pipeline while a test looks on."""

from __future__ import annotations

import gc
import threading
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from otas_middleware._agent.events import envelope_of
from otas_middleware._agent.uasam import session_of
from otas_middleware._capture import Capture
from otas_middleware._capture.context import delivering

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from otas_middleware._agent import Issue
    from otas_middleware._agent.calls import Item
    from otas_middleware._agent.exporter import AgentExporter
    from otas_middleware._capture.session import SessionInfo
    from otas_middleware._event import Envelope
    from otas_middleware._recorder import Recorder


class Memory:
    """What all recorders of the process have recorded since it was made.

    A capture is built into its event when a test looks, in the test's own thread: the request path does what it does
    in production, and an exception of the build step arrives where it can be read.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._begun: list[Capture] = []
        self._watched: list[tuple[Collection[Capture], frozenset[Capture]]] = []
        self._finished: list[Callable[[], Envelope | None]] = []
        self._envelopes: list[Envelope] = []
        self._building = threading.RLock()  # an agent's `on_logged` may look
        self.taken = 0
        """How many captures and events came in."""
        self.withheld = 0
        """How many captures the build step left out: by a pattern of `ignore_paths`, or as `before_send` said."""

    def begin(self, *arguments: Any, **options: Any) -> Capture:
        """Make a capture (see `Capture`) and remember it until it is finished."""
        capture = Capture(*arguments, **options)
        with self._changed:
            self._begun.append(capture)
        return capture

    def watch(self, under_way: Collection[Capture]) -> None:
        """Look there too for what begins from now on and is not over: a collection that changes by itself."""
        self._watched.append((under_way, frozenset(under_way)))

    def take(self, make: Callable[[], Envelope | None]) -> None:
        """Keep something finished.

        Args:
            make: Makes its event, when a test looks.
        """
        with self._changed:
            self._finished.append(make)
            self.taken += 1
            self._changed.notify_all()

    def envelopes(self) -> list[Envelope]:
        """Return the events of everything that has finished, in the order in which it did."""
        if self.unfinished():
            self._finish_abandoned()
        with self._building:
            while self._finished:
                envelope = self._finished.pop(0)()
                if envelope is None:
                    self.withheld += 1
                else:
                    self._envelopes.append(envelope)
            return list(self._envelopes)

    def unfinished(self) -> int:
        """Return how many requests, and calls of agents, have begun and are not over."""
        return len(self._unfinished())

    def _unfinished(self) -> list[Capture]:
        with self._changed:
            self._begun = [capture for capture in self._begun if not capture.finished]
            return [
                *self._begun,
                *(capture for under_way, before in self._watched for capture in {*under_way} - before),
            ]

    def _finish_abandoned(self) -> None:
        """Do what a server would have done: test clients leave responses unclosed, and unread if nobody looks."""
        for capture in self._unfinished():
            if _whole(capture):
                capture.ended()
                capture.finish()
        if self.unfinished():
            gc.collect()  # a response that was thrown away may wait for this to be closed

    def wait(self, count: int, timeout: float) -> bool:
        """Wait until so many captures have finished; return whether they have."""
        with self._changed:
            return self._changed.wait_for(lambda: self.taken >= count, timeout)

    def clear(self) -> None:
        """Forget everything."""
        with self._building, self._changed:
            self._begun.clear()
            self._finished.clear()
            self._envelopes.clear()
            self.taken = self.withheld = 0


class MemoryDelivery:
    """The way of one recorder, or one agent's exporter, into a memory.

    Args:
        memory: It.
        build: Makes an event of what is put in; None leaves it out.
        at_flush: Called by `flush`.
    """

    def __init__(
        self,
        memory: Memory,
        build: Callable[[Any], Envelope | None],
        at_flush: Callable[[], object] = lambda: None,
    ) -> None:
        self._memory = memory
        self._build = build
        self._at_flush = at_flush
        self._taken = 0

    def put(self, item: Any, _source: object = "", /) -> None:
        """Take a finished capture, or what an agent did."""
        self._take(partial(self._build, item))

    def put_envelope(self, envelope: Envelope, /) -> None:
        """Take a finished event."""
        self._take(lambda: envelope)

    def _take(self, make: Callable[[], Envelope | None]) -> None:
        self._taken += 1
        self._memory.take(make)

    @property
    def crowded(self) -> bool:
        """Say that there is room."""
        return False

    def flush(self, _timeout: float, /) -> bool:
        """Say that nothing is waiting."""
        self._at_flush()
        return True

    def stats(self) -> dict[str, Any]:
        """Return counters as the pipeline does, everything being delivered at once."""
        return {"captured": self._taken, "delivered": self._taken, "queued": 0, "dropped": {}}


def for_recorder(memory: Memory, recorder: Recorder) -> MemoryDelivery:
    """Return a recorder's way into a memory."""
    recorder.new_capture = memory.begin
    return MemoryDelivery(memory, lambda capture: recorder.build(capture, recorder.settings))


def for_agent(memory: Memory, exporter: AgentExporter) -> MemoryDelivery:
    """Return an exporter's way into a memory; its `flush` makes the events, so that `on_logged` is told of them."""
    memory.watch(exporter.under_way)

    def build(item: Item) -> Envelope | None:
        envelope = envelope_of(item, exporter.settings)
        if envelope is not None:
            reset = delivering.set(True)  # as in the threads that deliver
            try:
                exporter.delivered(envelope, str(uuid4()))
            finally:
                delivering.reset(reset)
        return envelope

    return MemoryDelivery(memory, build, memory.envelopes)


def _whole(capture: Capture) -> bool:
    """Say whether as much of the response was taken as its headers announce."""
    sizes = [
        int(value)
        for name, value in capture.response_headers
        if value.isdigit() and (name if isinstance(name, str) else name.decode("latin-1")).lower() == "content-length"
    ]
    return sizes == [capture.response.size]


def issuer(token: Callable[[], str]) -> Issue:
    """Return what gives agents sessions without UASAM.

    Args:
        token: Makes a token for each of them.
    """

    def issue(*_: object) -> SessionInfo:
        session = session_of(token())
        if session is None:
            raise ValueError("a session token needs an agent's and a session's id")
        return session

    return issue
