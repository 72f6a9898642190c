"""One thread of the host that hands over many events at once: for throughput, or because it builds them.

It waits a moment for company once it was woken, so that a busy host pays for one packet instead of fifty. What is
queued here is lost when the process is killed.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from otas_middleware import _errors
from otas_middleware._delivery import process
from otas_middleware._delivery.relay import packets
from otas_middleware._runtime import Deadline, monotonic, runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._delivery.relay.client import RelayClient
    from otas_middleware._delivery.relay.packets import Encoded

BATCH_DELAY = 0.03
"""Seconds that the woken thread waits for more events before it hands over."""

_LOOKS = 3
"""How often it looks meanwhile whether somebody flushes."""

_PACKET_BYTES = 131_072
_PACKET_EVENTS = 64
_IDLE = 10.0
_LAST_SECONDS = 0.1
"""For the thread to hand over what it is at, when the process ends."""

_LOOK = 0.05
"""Seconds between two looks for the relay's messages while it has events of ours."""


class BatchSender:
    """Queues items, and hands them over in a thread of its own.

    Args:
        client: The way to the relay.
        prepare: Makes a frame of an item and its number, together with what `here` gets if the relay does not take it,
            or if there is no frame; called in the thread. None means that there is nothing to deliver.
        here: Delivers in this process what the relay does not take; gets the reason.
        max_events: How many items may wait.
        tell: Called now and then in the thread, which reads the relay's messages while there are any to come.
    """

    def __init__(
        self,
        client: RelayClient,
        prepare: Callable[[Any, int], tuple[object, Encoded | None] | None],
        here: Callable[[Any, str], object],
        max_events: int,
        tell: Callable[[], object],
    ) -> None:
        self._client = client
        self._prepare = prepare
        self._here = here
        self._max_events = max_events
        self._tell = tell
        self._items: deque[Any] = deque()
        self._work = threading.Condition()
        self._sending = threading.Lock()
        self._under_way: list[object] = []
        """What somebody is preparing or handing over now, each as `here` would get it."""
        self._running = False
        self._asleep = False
        self._flushing = 0

    def put(self, item: object) -> str:
        """Queue an item; return "" or why it is not taken."""
        if len(self._items) >= self._max_events:
            return "full"
        self._items.append(item)
        if self._asleep or not self._running:
            self._wake()
        return ""

    def _wake(self) -> None:
        with self._work:
            if self._running:
                self._asleep = False
                self._work.notify()
                return
            self._running = True
        process.hook_pool_worker()
        if not process.start_thread(self._run, "otas-relay-batch"):
            self._running = False
            self.send_now()

    def _run(self) -> None:
        try:
            while self._wait():
                self.send_now()
        except BaseException:  # also `sys.exit` in an extension: the next item starts a new thread
            self._running = self._asleep = False
            _errors.report_internal_error("relay.batch")

    def _wait(self) -> bool:
        """Wait for items, and for company; return False when there were none for long."""
        idle = 0.0
        while not self._items:
            pause = _LOOK if self._client.kept else _IDLE
            with self._work:
                self._asleep = True
                if not self._items and not self._work.wait(pause):
                    idle += pause
                self._asleep = False
                if idle >= _IDLE:
                    self._running = False  # before the last look: who puts something in now either wakes us or is seen
                    if not self._items:
                        return False
                    self._running = True
            self._client.look()
            self._tell()
        for _ in range(_LOOKS):  # and no clock, which a test may hold still
            if self._flushing:
                break
            time.sleep(BATCH_DELAY / _LOOKS)
        return True

    def send_now(self, deadline: Deadline | None = None) -> bool:
        """Hand over what is queued, in the calling thread; return False when the time was up first.

        Args:
            deadline: Until when.
        """
        deadline = deadline or Deadline(math.inf)
        if not self._sending.acquire(timeout=deadline.left()):
            return False
        batch: list[tuple[object, Encoded]] = []
        ours: list[object] = []
        self._under_way = ours
        try:
            return self._send_all(batch, ours, deadline)
        finally:
            try:
                if self._under_way is ours:
                    self._send(batch)
            finally:
                if self._under_way is ours:
                    self._under_way = []
                self._sending.release()

    def _send_all(self, batch: list[tuple[object, Encoded]], ours: list[object], deadline: Deadline) -> bool:
        """Hand over what is queued but for the last ones, which are left in the batch."""
        size, begun = 0, monotonic()
        while deadline.left():
            try:
                item = self._items.popleft()
            except IndexError:
                return True
            ours.append(item)
            found = self._prepared(item)
            if self._under_way is not ours:
                return False  # the end of the process has taken it over
            if found is None:
                ours.pop()
                continue
            ours[-1] = found[0]
            full = size + found[1][1] > _PACKET_BYTES or len(batch) == _PACKET_EVENTS
            if full or monotonic() - begun > BATCH_DELAY:  # what is built slowly is not held back
                self._send(batch)
                batch.clear()
                del ours[:-1]
                size, begun = 0, monotonic()
            batch.append(found)
            size += found[1][1]
        return not self._items

    def _prepared(self, item: object) -> tuple[object, Encoded] | None:
        try:
            with runtime.no_fork:  # it imports what it needs
                prepared = self._prepare(item, self._client.next_number())
        except BaseException as error:  # report_internal_error logs it; this process tries once more
            self._here(item, "unencodable")
            if not isinstance(error, Exception):
                raise
            _errors.report_internal_error("relay.prepare")
            return None
        if prepared is None:
            return None
        kept, encoded = prepared
        if encoded is None or encoded[1] > packets.MAX_PACKET:
            self._here(kept, "unencodable" if encoded is None else "too_large")
            return None
        return kept, encoded

    def _send(self, batch: list[tuple[object, Encoded]]) -> None:
        if not batch:
            return
        reason = "internal_error"
        try:
            reason = self._client.hand_over([encoded for _, encoded in batch])
        except Exception:  # such as want of memory; this process tries itself
            _errors.report_internal_error("relay.hand_over")
        finally:
            if reason:
                for kept, _ in batch:
                    self._here(kept, reason)

    def send(self, item: object) -> None:
        """Prepare an item and hand it over, in the calling thread."""
        found = self._prepared(item)
        if found is not None:
            self._send([found])

    def flush(self, deadline: Deadline, *, ending: bool = False) -> bool:
        """Hand over now what was queued before; return False when the time was up first.

        Args:
            deadline: Until when.
            ending: The process ends: what there was no time for is delivered here, as far as there is.
        """
        self._flushing += 1
        try:
            if self.send_now(deadline):
                return True
            if ending:
                with contextlib.suppress(IndexError):  # the thread may be taking the same ones
                    while True:
                        self._here(self._items.popleft(), "late")
                if not self.send_now(Deadline(_LAST_SECONDS)):  # what that one has prepared
                    taken, self._under_way = self._under_way, []
                    for item in tuple(taken):
                        self._here(item, "late")
            return False
        finally:
            self._flushing -= 1

    @property
    def waiting(self) -> int:
        """How many items are queued here."""
        return len(self._items) + len(self._under_way)
