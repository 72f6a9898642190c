"""The checks of delivery itself: can it be put together, and does one event arrive."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
import time
from configparser import ConfigParser
from configparser import Error as IniError
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otas_middleware._capture.session import SessionInfo, TokenGate
from otas_middleware._cli.doctor import Check, counted
from otas_middleware._cli.doctor.recording import verifier
from otas_middleware._delivery import TransportError, Verdict, open_delivery
from otas_middleware._delivery.destinations import BrainDestination
from otas_middleware._delivery.process import uwsgi_without_threads
from otas_middleware._delivery.relay import trust
from otas_middleware._delivery.transports import FORMER, send_once, transport_factory
from otas_middleware._errors import OtasError
from otas_middleware._event import NIL_PROJECT, BackendEvent, Envelope
from otas_middleware._event.metadata import timestamp
from otas_middleware._event.redact import Masker, redactor_for
from otas_middleware._version import SETTINGS_URL

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
    "bad_signature": "its signature does not hold by OTAS_SESSION_SECRET or OTAS_SESSION_JWKS_URL, so that the "
    "application records none of its requests",
}
_OTHER_KEY = "give the secret or the keys of the UASAM that made the session, or take the setting out"
_NEW_SESSION = "open a new session as the agent (POST /api/agent/v1/session/create/ of UASAM) and give its token"


def check_transport(settings: OtasSettings, timeout: float) -> Check:
    """Put delivery together as the application does; that starts nothing, and asks no service but Celery's broker.

    Args:
        settings: The application's.
        timeout: Seconds for the broker's answer.
    """
    try:
        open_delivery(settings, lambda _item, _settings: None, raw=True, on_token=lambda _found, _token: None)
        return (
            Check("transport", "ok", _in_use(settings))
            if settings.transport != "celery"
            else _broker(settings, timeout)
        )
    except OtasError as error:
        return Check("transport", "failed", error.problem_and_fix, f"all settings are explained at {SETTINGS_URL}")


def _broker(settings: OtasSettings, timeout: float) -> Check:
    """Load the Celery application, and connect to its broker once.

    Raises:
        OtasError: There is no such application.
    """
    from otas_middleware._delivery.transports.celery import connection_to_broker, load_app  # noqa: PLC0415  # an extra

    connection = connection_to_broker(load_app(settings), timeout, min(timeout, settings.connect_timeout))
    place = connection.as_uri()  # without the password
    try:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=timeout)
    except Exception as error:  # each broker's client has errors of its own
        text = f"celery: the broker at {place} cannot be reached ({type(error).__name__}); events wait in memory"
        return Check("transport", "failed", text, "start the broker, or correct the Celery application's broker_url")
    finally:
        connection.release()
    return Check(
        "transport",
        "ok",
        f"celery: the broker at {place} answers; workers of the queue {settings.celery_queue} deliver",
    )


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


_OWN_TRANSPORT = "correct it: it gets a Request and a number of seconds, and returns a Response"


def check_send(settings: OtasSettings, token: str, brain_ahead: tuple[float, float] | None) -> Check:
    """Deliver one test event, once, by the transport that the application uses.

    Args:
        settings: The application's, with an SDK key.
        token: A session token, which is never shown.
        brain_ahead: By how many seconds Brain's clock is ahead of ours, at least and at most, where that is known.
    """
    gate = TokenGate(verifier(settings))
    session = gate.admit(token, time.time())
    if session is None:
        reason = next(iter(gate.refused))
        fix = _OTHER_KEY if reason == "bad_signature" else _NEW_SESSION
        return Check("send", "failed", f"the token is not sent: {_REFUSED.get(reason, reason)}", fix)
    try:
        outcome, event_id = _deliver(settings, session)
    except Exception as error:  # a transport of the user's own may raise any
        said = Masker(redactor_for(settings), token).text(f"{type(error).__name__}: {error}")  # it may show the request
        why, fix = f"the transport {settings.transport} raised {said}", _OWN_TRANSPORT
        if isinstance(error, TransportError):
            why, fix = error.cause, "see the check of Brain above"
        return Check("send", "failed", f"the test event was not delivered: {why}", fix)
    if outcome.verdict == Verdict.DELIVERED:
        text = f"one test event is stored: {PATH} in session {session.session_id}"
        return Check("send", "ok", text, data={"session_id": session.session_id, "event_id": event_id})
    if outcome.verdict == Verdict.BAD_TOKEN:
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
    request = destination.request(Envelope(event, session.token, session.session_id, session.agent_id))
    response = send_once(transport_factory(settings), request, settings.request_timeout)
    return destination.outcome(response), str(event.metadata["event_id"])


_THREADS_BY_DEFAULT = (2, 0, 27)
_FIX = "add enable-threads = true, or update uWSGI to 2.0.27 or later, where threads are on by default"


def check_threads(uwsgi: Path | None) -> Check:
    """Check that events can be delivered in the background.

    Args:
        uwsgi: The configuration (ini) with which uWSGI runs the application, if it does.
    """
    if "uwsgi" in sys.modules:
        if uwsgi_without_threads():
            return Check("threads", "failed", "this uWSGI runs without threads: events wait until it ends", _FIX)
        return Check("threads", "ok", "uWSGI runs threads")
    if uwsgi is not None:
        return _uwsgi_file(uwsgi)
    try:
        thread = threading.Thread(target=bool, name="otas-doctor", daemon=True)
        thread.start()
        thread.join(5.0)
    except RuntimeError as error:
        return Check(
            "threads", "failed", f"no thread can be started: {error}", "raise the limit of processes (ulimit -u)"
        )
    return Check("threads", "ok", "a thread can be started (with uWSGI, name its configuration: --uwsgi FILE)")


def _uwsgi_file(path: Path) -> Check:
    parser = ConfigParser(strict=False, interpolation=None, allow_no_value=True)
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
        options = dict(parser["uwsgi"])
    except (OSError, KeyError, IniError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not an ini file with a section [uwsgi]"
        text = f"{path} cannot be read as uWSGI's configuration: {why}"
        fix = "or run this inside of uWSGI: uwsgi [your options] --pyrun $(which otas-middleware) --pyargv doctor"
        return Check("threads", "failed", text, fix)
    if any(options.get(name, "false") not in {"false", "0", "no"} for name in ("enable-threads", "threads")):
        return Check("threads", "ok", f"{path} starts uWSGI with threads")
    version = _uwsgi_version()
    if version is not None and version >= _THREADS_BY_DEFAULT:
        return Check("threads", "ok", f"uWSGI {'.'.join(map(str, version))} runs threads by default")
    known = f"uWSGI {'.'.join(map(str, version))}" if version is not None else "uWSGI before 2.0.27"
    return Check("threads", "failed", f"{path} starts {known} without threads: events wait until a worker ends", _FIX)


def _uwsgi_version() -> tuple[int, ...] | None:
    """Return the version of the uWSGI that would be started, or None when there is none."""
    program = shutil.which("uwsgi") or shutil.which("uwsgi", path=str(Path(sys.executable).parent))
    if program is None:
        return None
    try:
        output = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"^(\d+)\.(\d+)\.(\d+)", output, re.MULTILINE)
    return tuple(map(int, found.groups())) if found is not None else None


def check_relay(settings: OtasSettings) -> Check:
    """Check the relay that the settings name, without handing anything over and without starting one."""
    if not trust.SUPPORTED:
        return Check("relay", "warning", "OTAS_RELAY has no effect here: the relay needs Linux", "leave it out")
    if find_spec("msgspec") is None:
        return Check("relay", "failed", "OTAS_RELAY needs msgspec", "pip install 'otas-middleware[relay]'")
    return _look(settings)


def _look(settings: OtasSettings) -> Check:
    from otas_middleware._delivery.relay import hello, start  # noqa: PLC0415  # an extra

    here = hello.setting_against_relay(settings)
    if here:
        return Check("relay", "warning", f"not used with {here}: the application delivers by itself", "leave it out")
    try:
        path = start.automatic_path() if settings.relay == "auto" else settings.relay or ""
    except start.NoRelayError as error:
        return Check("relay", "failed", str(error), "set XDG_RUNTIME_DIR to a directory of the application's user")
    try:
        return _running(path, start.state_of(path))
    except start.NoRelayError as error:
        if settings.relay == "auto":
            return Check("relay", "ok", f"none runs at {path} yet: the first recorded event starts one")
        return Check("relay", "failed", f"{error}; until then the application delivers by itself", "start it")


def _running(path: str, state: dict[str, Any]) -> Check:
    from otas_middleware._delivery.relay.packets import PROTOCOL  # noqa: PLC0415  # as above

    if state.get("version") != PROTOCOL:
        text = f"the relay at {path} is {state.get('version')}, and this is {PROTOCOL}"
        return Check("relay", "failed", text, "deploy both in one version")
    connections = counted(state["connections"] - 1, "connection", "connections")  # without this one
    waiting = counted(state["waiting"], "event waits", "events wait")
    return Check("relay", "ok", f"process {state['pid']} at {path}: {connections}, {waiting}")
