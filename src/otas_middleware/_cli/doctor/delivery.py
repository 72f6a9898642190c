"""The checks of delivery itself: can it be put together, and does one event arrive."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from otas_middleware._capture.session import SessionInfo, TokenGate
from otas_middleware._cli.doctor.report import Check
from otas_middleware._delivery import Pipeline, TransportError, Verdict
from otas_middleware._delivery.destinations.brain import BrainDestination
from otas_middleware._delivery.transports import FORMER, transport_factory
from otas_middleware._errors import OtasError
from otas_middleware._event.metadata import timestamp
from otas_middleware._event.model import NIL_PROJECT, BackendEvent, Envelope

if TYPE_CHECKING:
    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._delivery import Outcome

PATH = "/otas-middleware/doctor"
"""The path of the test event."""

_REFUSED = {
    "malformed": "it is not a session token: three parts with dots between them, the second one JSON",
    "too_long": "it is longer than any session token",
    "missing_claims": "it names no agent and session (agent_id, agent_session_id)",
    "expired": "it has expired",
}
_NEW_SESSION = "open a new session as the agent (POST /api/agent/v1/session/create/ of UASAM) and give its token"


def check_transport(settings: OtasSettings) -> Check:
    """Put delivery together as the application does; that starts nothing."""
    from otas_middleware._event.build import build  # noqa: PLC0415  # heavy

    try:
        Pipeline(settings, build)
    except OtasError as error:
        return Check("transport", "failed", str(error).removeprefix("otas_middleware: "), "correct OTAS_TRANSPORT")
    return Check("transport", "ok", _in_use(settings))


def _in_use(settings: OtasSettings) -> str:
    """Name the transport that carries events, whatever it was called formerly."""
    name = settings.transport
    return f"direct (OTAS_TRANSPORT={name})" if name in FORMER else name


def new_token(settings: OtasSettings, uasam_url: str | None, timeout: float) -> str:
    """Open a session with the agent's key.

    Args:
        settings: The application's, with an agent's key.
        uasam_url: Where UASAM is, if the settings do not say.
        timeout: Seconds for the answer.

    Raises:
        OtasError: UASAM gives none; the message says why.
    """
    from otas_middleware._agent.uasam import create_session  # noqa: PLC0415  # the agent's side, for --send only

    asked = settings if uasam_url is None else settings.replace(uasam_url=uasam_url)
    return create_session(asked, {"made_by": "otas-middleware doctor"}, timeout).token


def check_send(settings: OtasSettings, token: str, brain_ahead: tuple[float, float] | None) -> Check:
    """Deliver one test event, once, by the transport that the application uses.

    Args:
        settings: The application's, with an SDK key.
        token: A session token, which is never shown.
        brain_ahead: By how many seconds Brain's clock is ahead of ours, at least and at most, where that is known.
    """
    gate = TokenGate()
    session = gate.admit(token, time.time())
    if session is None:
        reason = next(iter(gate.refused))
        return Check("send", "failed", f"the token is not sent: {_REFUSED.get(reason, reason)}", _NEW_SESSION)
    try:
        outcome, event_id = _deliver(settings, session)
    except TransportError as error:
        return Check(
            "send", "failed", f"the test event was not delivered: {error.cause}", "see the check of Brain above"
        )
    if outcome.verdict is Verdict.DELIVERED:
        text = f"one test event is stored: {PATH} in session {session.session_id}"
        return Check("send", "ok", text, data={"session_id": session.session_id, "event_id": event_id})
    if outcome.verdict is Verdict.BAD_TOKEN:
        ahead = -(session.issued_at or 0.0) + time.time() + (sum(brain_ahead) / 2 if brain_ahead else 0.0)
        if session.issued_at is not None and ahead < 0:
            text = f"Brain refuses the token: by its clock it was issued {-ahead:.0f} s in the future"
            return Check("send", "failed", text, "set the clocks of Brain and UASAM by NTP; see the check of the clock")
        return Check("send", "failed", f"Brain refuses the token ({outcome.reason})", _NEW_SESSION)
    return Check("send", "failed", f"Brain does not take the test event ({outcome.reason})", outcome.advice)


def _deliver(settings: OtasSettings, session: SessionInfo) -> tuple[Outcome, str]:
    """Send the event and return what came of it, and its id."""
    from otas_middleware._event.build import finish_event  # noqa: PLC0415  # heavy

    key = settings.sdk_key.get_secret_value() if settings.sdk_key is not None else ""
    event = BackendEvent(
        project_id=str(settings.project_id) if settings.project_id is not None else NIL_PROJECT,
        path=PATH,
        method="GET",
        status_code=200,
        latency_ms=0.0,
        custom_properties={"otas_doctor": True},
        metadata={
            "captured_at": timestamp(time.time()),
            "framework": "doctor",
            "session": {"fingerprint": session.fingerprint, "verified": session.verified},
        },
    )
    event = finish_event(event, settings, session.token)
    destination = BrainDestination(settings.brain_url, key)
    transport = transport_factory(settings)()
    try:
        request = destination.request(Envelope(event, session.token, session.session_id, session.agent_id))
        outcome = destination.outcome(transport(request, settings.request_timeout))
    finally:
        close = getattr(transport, "close", None)
        if close is not None:
            close()
    return outcome, str(event.metadata["event_id"])
