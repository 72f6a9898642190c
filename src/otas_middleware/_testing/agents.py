"""The agent's side of a recording: sessions without UASAM, and what they log in memory."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from otas_middleware._agent.uasam import session_of
from otas_middleware._capture.context import delivering

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._agent.issuing import Issue
    from otas_middleware._agent.outbox import Item, Outbox
    from otas_middleware._capture.session import SessionInfo
    from otas_middleware._event.model import Envelope
    from otas_middleware._testing.memory import Memory


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


class MemoryOutlet:
    """One outbox's way into a memory."""

    def __init__(self, memory: Memory, outbox: Outbox) -> None:
        self._outbox = outbox
        self._memory = memory
        self._taken = 0
        memory.watch(outbox.under_way)

    def put(self, item: Item, _source: object = "agent", /) -> None:
        """Take what the agent did."""
        self._taken += 1
        self._memory.take(partial(self._make, item))

    def flush(self, _timeout: float, /) -> bool:
        """Make the events, so that `on_logged` is told of them."""
        self._memory.envelopes()
        return True

    def stats(self) -> dict[str, Any]:
        """Return counters as the pipeline does, everything being delivered at once."""
        return {"captured": self._taken, "delivered": self._taken, "queued": 0, "dropped": {}}

    def _make(self, item: Item) -> Envelope | None:
        envelope = item.envelope(self._outbox.settings)
        if envelope is not None:
            reset = delivering.set(True)  # as in the threads that deliver
            try:
                self._outbox.delivered(envelope, str(uuid4()))
            finally:
                delivering.reset(reset)
        return envelope
