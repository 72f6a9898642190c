"""From a finished request to an event that may leave the process: render → redact → fit.

Runs in the worker. `before_send`, the user's last word, gets a redacted event; what it returns is redacted and fitted
again, so that nothing it adds can leak or be refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otas_middleware._event.assemble import assemble, plan_for
from otas_middleware._event.limits import coerce, fit
from otas_middleware._event.metadata import SDK, new_event_id
from otas_middleware._event.model import BackendEvent, Envelope
from otas_middleware._event.redact import Masker, redactor_for
from otas_middleware._internal_errors import report_internal_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._capture.capture import Capture
    from otas_middleware._config.settings import OtasSettings


def build(capture: Capture, settings: OtasSettings) -> Envelope | None:
    """Turn one request's copy into the envelope that is sent, or None when `before_send` withheld it."""
    session = capture.session
    event = assemble(capture, plan_for(settings))
    if settings.before_send is not None:
        decided = ask_before_send(settings.before_send, event, settings, session.token)
        if decided is None:
            return None
        event = decided
    return Envelope(event=event, token=session.token, session_id=session.session_id, agent_id=session.agent_id)


def finish_event(event: BackendEvent, settings: OtasSettings, token: str = "") -> BackendEvent:
    """Redact and fit an event that holds text already: made by the agent side, by user code, or by `before_send`.

    Args:
        event: The event; it is left as it is.
        settings: What is sensitive beyond the defaults.
        token: The raw session token, so that it can be masked wherever it was echoed.

    Returns:
        An event that holds no secret and that Brain can store, with an `event_id`.
    """
    fields = dict(event.__dict__)
    coerce(fields)
    Masker(redactor_for(settings), token).fields(fields)
    fields["metadata"] = {"event_id": new_event_id(), "sdk": SDK, **fields["metadata"]}
    return fit(fields)


def ask_before_send(
    before_send: Callable[[BackendEvent], object], event: BackendEvent, settings: OtasSettings, token: str
) -> BackendEvent | None:
    """Ask the user's function. When it fails, the event is withheld: it may be what would have taken something out."""
    try:
        decided = before_send(event)
        if decided is None:
            return None
        if not isinstance(decided, BackendEvent):
            raise TypeError(f"before_send returned {type(decided).__name__}, not a BackendEvent or None")  # noqa: TRY301
    except Exception:
        report_internal_error("before_send")
        return None
    return finish_event(decided, settings, token)
