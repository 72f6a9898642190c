"""The agent's side of a test: a session of its own, and what Brain holds of it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import otas_middleware as otas
from otas_middleware._capture.session import TOKEN_HEADER, read_claims

if TYPE_CHECKING:
    from otas_middleware.localbrain import LocalBrain, StoredEvent

PATIENCE = 30.0
"""Seconds that a test waits for what comes from another process or thread."""


class Agent:
    """An agent with a fresh session; no other test's events are in it."""

    def __init__(self, brain: LocalBrain) -> None:
        self._brain = brain
        self.token = brain.create_session()
        claims = read_claims(self.token)
        assert claims is not None
        self.session_id = str(claims["agent_session_id"])

    @property
    def header(self) -> tuple[str, str]:
        """The header by which an agent is recognised."""
        return (TOKEN_HEADER, self.token)

    def events(self) -> list[StoredEvent]:
        """Return this session's events in Brain, all that this process has recorded so far among them."""
        assert otas.flush(PATIENCE), f"not all events were delivered: {otas.stats()}"
        return self._brain.events(self.session_id)

    def event(self) -> StoredEvent:
        """Return the one event of this session that this process recorded."""
        events = self.events()
        assert len(events) == 1, f"{len(events)} events instead of one"
        self.keeps_its_token_secret(events[0])
        return events[0]

    def event_from_elsewhere(self, count: int = 1) -> StoredEvent:
        """Wait for this session's event, which another thread or process records; return the last one.

        Args:
            count: How many events there are to be.
        """
        deadline = time.monotonic() + PATIENCE
        while len(events := self._brain.events(self.session_id)) < count:
            assert time.monotonic() < deadline, f"{len(events)} events instead of {count}; {otas.stats()}"
            time.sleep(0.005)
        assert len(events) == count, f"{len(events)} events instead of {count}"
        self.keeps_its_token_secret(events[-1])
        return events[-1]

    def keeps_its_token_secret(self, event: StoredEvent) -> None:
        """Check that the token is nowhere in an event."""
        secret: Any = json.dumps(event)
        assert self.token not in secret
        assert self.token.rpartition(".")[2] not in secret
