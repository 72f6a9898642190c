"""Where calls wait that were made before there was a session: without a token Brain takes nothing."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

from otas_middleware import _internal_errors
from otas_middleware._delivery.process import start_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._agent.session_manager import SessionManager
    from otas_middleware._capture.session import SessionInfo


class Item(Protocol):
    """Something that the agent did, waiting to become an event."""

    session: SessionInfo

    @property
    def weight(self) -> int:
        """Bytes that it holds on to, estimated."""
        ...


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
        if start and not start_thread(lambda: self._run(state), "otas-session"):
            state.running = False  # `settle` is what remains

    def settle(self, deadline: float) -> bool:
        """Try now, in the calling thread, to get a session and to send everything on; return whether nothing waits.

        Args:
            deadline: `time.monotonic` seconds.
        """
        state = self._of_this_process()
        if state.items:
            self._empty(state, max(0.0, deadline - time.monotonic()))
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
        if state.pid != os.getpid():  # a forked child: what waits here is the parent's
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
            _internal_errors.report_internal_error("agent.waiting")

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
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.items: deque[Item] = deque()
        self.running = False
        self.lost = 0
