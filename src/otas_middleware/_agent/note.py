"""An event that was described and not observed: a tool's run, or what the agent logs by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from otas_middleware._capture.session import SessionInfo
    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._event.model import BackendEvent, Envelope

_BASE_WEIGHT = 4096


class Note:
    """A described event on its way to the worker.

    Args:
        event: As described; `metadata` is completed here.
        event_id: Its id, made when it began.
        session: The session, or `NO_SESSION`.
        parent_id: The event of the tool in which it happened.
        captured_at: When it began, in Unix seconds.
    """

    __slots__ = ("_captured_at", "_event", "_event_id", "_parent_id", "session", "weight")

    def __init__(
        self,
        event: BackendEvent,
        event_id: str,
        session: SessionInfo,
        parent_id: str | None,
        captured_at: float,
    ) -> None:
        self._event = event
        self._event_id = event_id
        self._parent_id = parent_id
        self._captured_at = captured_at
        self.session = session
        self.weight = _BASE_WEIGHT + len(event.request_body) + len(event.response_body)

    def envelope(self, settings: OtasSettings) -> Envelope | None:
        """Make the event, in the worker; None when `before_send` withheld it."""
        from otas_middleware._event.build import ask_before_send, finish_event  # noqa: PLC0415  # heavy, in the worker only
        from otas_middleware._event.metadata import timestamp  # noqa: PLC0415  # as above
        from otas_middleware._event.model import Envelope  # noqa: PLC0415  # as above

        session = self.session
        metadata: dict[str, Any] = {
            **self._event.metadata,
            "event_id": self._event_id,
            "captured_at": timestamp(self._captured_at),
            "framework": "agent",
            "session": {"fingerprint": session.fingerprint, "verified": session.verified},
        }
        if self._parent_id is not None:
            metadata["parent_id"] = self._parent_id
        event = finish_event(self._event.model_copy(update={"metadata": metadata}), settings, session.token)
        if settings.before_send is not None:
            decided = ask_before_send(settings.before_send, event, settings, session.token)
            if decided is None:
                return None
            event = decided
        return Envelope(
            event=event, token=session.token, session_id=session.session_id, agent_id=session.agent_id, source="agent"
        )
