"""What Brain holds of an agent's session."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from support.agent import PATIENCE

if TYPE_CHECKING:
    from otas_middleware.agent import AgentSession
    from otas_middleware.localbrain import LocalBrain, StoredEvent


class Record:
    """The events of a session, as Brain stored them.

    Args:
        session: The session; it has been created.
        brain: Where they are.
    """

    def __init__(self, session: AgentSession, brain: LocalBrain) -> None:
        self._session = session
        self._brain = brain

    def events(self) -> list[StoredEvent]:
        """Return all events in the order in which they happened, those that are on their way included."""
        assert self._session.flush(PATIENCE), f"not all was delivered: {self._session.stats()}"
        session_id = self._session.session_id
        assert session_id is not None
        events = sorted(self._brain.events(session_id), key=lambda event: str(event["metadata"]["captured_at"]))
        assert "eyJ" not in json.dumps(events), "an event holds a token"
        return events

    def one(self) -> StoredEvent:
        """Return the only event."""
        events = self.events()
        assert len(events) == 1, [(event["method"], event["path"]) for event in events]
        return events[0]
