"""The agent's side: one session per process, its calls outside the domain as events, its tools as events.

Comes in: what the instrumented clients (`_outbound`) tell of their requests, tools, and what the agent itself
describes. Goes out: envelopes, by the pipeline of `_delivery`. May import `_outbound`, `_event`, `_delivery`,
`_capture` and `_config`.

`Core`, here, is the outbound policy and holds the rest together: settings, domain, manager, exporter. `session_manager`
creates and renews the session, by `uasam`; `clients` makes HTTP clients; `calls` and `tools` are what is recorded,
`events` (with `llm`) makes events of it in the worker; `exporter` delivers, and holds what happened before there was a
session.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, cast

from otas_middleware._agent.calls import Call, Note
from otas_middleware._agent.exporter import NO_SESSION, PendingQueue, exporter_for
from otas_middleware._agent.session_manager import SessionManager, SessionState
from otas_middleware._agent.tools import enclosing
from otas_middleware._agent.uasam import DEFAULT_URL, MissingAgentKeyError, create_session
from otas_middleware._capture.context import delivering
from otas_middleware._capture.values import snapshot
from otas_middleware._config.origins import Domain
from otas_middleware._errors import ConfigurationError, report_internal_error, swallowing
from otas_middleware._outbound import Scope, Secrets, register
from otas_middleware._runtime import SharedWeakSet, runtime, this_process

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otas_middleware._agent.calls import Item
    from otas_middleware._capture import Capture
    from otas_middleware._capture.session import SessionInfo
    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._event import BackendEvent, Envelope
    from otas_middleware._outbound import OutgoingRequest

    Issue = Callable[[OtasSettings, Mapping[str, Any] | None, float], SessionInfo]
    """Creates a session, given the settings, its meta and the seconds that it may take."""

logger = logging.getLogger("otas_middleware")


class Core:
    """The working part of an agent session; it outlives the `with` block for as long as its calls are on their way.

    Args:
        settings: Checked settings.
        meta: What UASAM is to keep of the session.
        logged: Told of each event that Brain has stored, with its id there. Called in a delivery thread.

    Raises:
        ConfigurationError: `meta` is not a JSON object.
    """

    may_wait = True
    exclusive = True

    def __init__(
        self, settings: OtasSettings, meta: Mapping[str, Any] | None, logged: Callable[[Envelope, str], None]
    ) -> None:
        self.settings = settings
        self.meta = _checked(meta)
        self.closed = not settings.enabled
        self._logged = logged
        self._domain = Domain(settings.project_domain)
        self._ours = Domain(f"{url}/*" for url in _own_urls(settings))
        self.manager = SessionManager(self._create, settings.max_retry_delay, self._introduce)
        self.token_at_hand = self.manager.token_at_hand
        self.exporter = exporter_for(settings)
        self._waiting = PendingQueue(self.manager, self.exporter.forward, settings.queue_max_events)
        self.exporter.pending.add(self._waiting)
        self._issue: Issue = create_session
        self._laid_aside: dict[Issue, SessionState] = {}
        """The sessions of other issuers: they go on when these stand in no more."""
        self._keys = tuple(key.get_secret_value() for key in (settings.agent_key, settings.sdk_key) if key is not None)
        self._secrets_inside = Secrets(self._keys)
        self._secrets_outside: tuple[tuple[str, ...], Secrets] = ((), self._secrets_inside)
        _cores.add(self)
        register(self)
        self.follow()

    # ---- the policy (`_outbound.OutboundPolicy`)

    def scope(self, scheme: str, host: bytes, port: int | None, target: bytes) -> Scope:
        """Say where a request goes."""
        if self.closed:
            return Scope.EXEMPT
        if self._domain.covers(scheme, host, port, target):
            return Scope.INSIDE
        return Scope.EXEMPT if self._ours.covers(scheme, host, port, target) else Scope.OUTSIDE

    def token(self) -> str | None:
        """Return the token, creating a session if there is none; None when there is none to be had. May block."""
        session = self.manager.for_call()
        return None if session is None else session.token

    def secrets(self, scope: Scope) -> Secrets:
        """Return what must not be in the head of a request: keys, and outside the domain the tokens too."""
        if scope is Scope.INSIDE:
            return self._secrets_inside
        tokens = self.manager.tokens
        known, secrets = self._secrets_outside
        if tokens is not known:
            secrets = Secrets((*tokens, *self._keys))
            self._secrets_outside = (tokens, secrets)
        return secrets

    def begin(self, outgoing: OutgoingRequest) -> Capture | None:
        """Start the record of a request outside."""
        if not self._records or delivering.get():
            return None
        try:
            call = Call(
                self._submit,
                self.manager.at_hand() or NO_SESSION,
                outgoing,
                enclosing(),
                limit=self.settings.max_body_bytes,
                with_traceback=self.settings.capture_traceback,
            )
        except Exception:
            report_internal_error("agent.begin")
            return None
        self.exporter.under_way.add(call)
        return call

    # ---- what is recorded

    def note(self, event: BackendEvent, event_id: str, parent_id: str | None, captured_at: float) -> None:
        """Queue a described event."""
        if self._records and not self.closed and not delivering.get():
            said = {name: snapshot(getattr(event, name)) for name in ("custom_properties", "metadata")}
            session = self.manager.at_hand() or NO_SESSION
            self._put(Note(event.model_copy(update=said), event_id, session, parent_id, captured_at))

    def _submit(self, capture: Capture) -> None:
        if isinstance(capture, Call):
            self.exporter.under_way.discard(capture)
            if capture.process == this_process():
                self._put(capture)

    @swallowing("agent.put")
    def _put(self, item: Item) -> None:
        if item.session is NO_SESSION:
            self._waiting.add(item)
        else:
            self.exporter.put(item)

    # ---- what the exporter tells (`_agent.exporter.Owner`)

    def refused(self, token: str) -> None:
        """Take note that Brain refused a token: the next use creates a session."""
        self.manager.discard(token)

    def logged(self, envelope: Envelope, event_id: str) -> None:
        """Take note that Brain stored an event under an id of its own."""
        self.manager.accepted()
        try:
            self._logged(envelope, event_id)
        except KeyboardInterrupt:
            raise
        except BaseException:  # it is the user's function, and the thread is ours
            logger.exception("otas: on_logged raised; the event was stored all the same.")

    # ---- the session's beginning

    def require_key(self) -> None:
        """Check that a session can be asked for.

        Raises:
            MissingAgentKeyError: There is no agent key.
        """
        if not self._records:
            raise MissingAgentKeyError

    def _create(self, previous: SessionInfo | None, patience: float) -> SessionInfo:
        meta = self.meta
        if previous is not None:
            meta = {"previous_session_id": previous.session_id, **(meta or {})}
        return self._issue(self.settings, meta, min(patience, self.settings.request_timeout))

    def _introduce(self, session: SessionInfo) -> None:
        self.exporter.introduce(session, self)

    def follow(self) -> None:
        """Have sessions of whoever issues them now: UASAM, or what stands in for it, with or without a key."""
        stand_in: Issue | None = runtime.behaviour.issue if self.settings.enabled else None
        issue = stand_in or create_session
        if issue != self._issue:
            laid_aside = self._laid_aside.pop(issue, None)
            before = self.manager.change(laid_aside)
            if laid_aside is None:
                self._laid_aside[self._issue] = before
        self._issue, self._records = issue, bool(stand_in or self.settings.agent_key)
        if stand_in:
            self.manager.attempt()  # at once, so that nothing has to wait for it


# ---- the sessions of this process, for what stands in for UASAM (the test kit)

_cores: SharedWeakSet[Core] = SharedWeakSet()


def sessions() -> list[Core]:
    """Return the agent sessions of this process."""
    return list(_cores)


runtime.lead("issue", sessions)


def _own_urls(settings: OtasSettings) -> list[str]:
    agnost = [settings.agnost_url] if settings.agnost_org_id is not None else []
    return [settings.brain_url, settings.uasam_url or DEFAULT_URL, *agnost]


def _checked(meta: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if meta is None:
        return None
    try:
        copied: object = json.loads(json.dumps(dict(meta), allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        raise ConfigurationError("meta= must be a JSON object: names with texts, numbers, lists and objects.") from None
    return cast("dict[str, Any]", copied)
