"""Where events go: the destinations that the settings name, and Brain's two log endpoints; a module for each other.

In comes an envelope, out comes a request; in comes an answer, out comes a verdict. Nothing here sends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware._delivery.protocols import (
    DELIVERED,
    Outcome,
    Request,
    Response,
    Verdict,
    as_object,
    fields_of,
    json_headers,
    load,
)
from otas_middleware._delivery.retry import PASSED_ON, retry_after
from otas_middleware._errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._delivery.protocols import Destination
    from otas_middleware._event import Envelope, EventSource

BOTH: frozenset[EventSource] = frozenset(("backend", "agent"))


@dataclass(frozen=True)
class Site:
    """One destination of one account.

    Attributes:
        destination: The service.
        account: What tells this account's events on disk from those of others; a secret may be part of it.
        sources: Which events go there.
    """

    destination: Destination
    account: str
    sources: frozenset[EventSource]


def sites(settings: OtasSettings) -> list[Site]:
    """Make the destinations that the settings name, for one process.

    Raises:
        ConfigurationError: A destination of the user's own cannot be imported or is none.
    """
    found: list[Site] = []
    for key, source in ((settings.sdk_key, "backend"), (settings.agent_key, "agent")):
        if key is not None:
            secret = key.get_secret_value()
            brain = BrainDestination(settings.brain_url, secret, cast("EventSource", source))
            account = f"{settings.brain_url} {settings.project_id or secret}"
            found.append(Site(brain, account, frozenset((cast("EventSource", source),))))
    if settings.agnost_org_id is not None:
        from otas_middleware._delivery.destinations.agnost import AgnostDestination  # noqa: PLC0415  # for those who use it

        organisation = str(settings.agnost_org_id)
        agnost = AgnostDestination(settings.agnost_url, organisation, settings.spool_dir)
        found.append(Site(agnost, f"{settings.agnost_url} {organisation}", BOTH))
    for path in settings.destinations:
        own = _users_own(path, settings)
        found.append(Site(own, f"{path} {own.name}", BOTH))
    names = [site.destination.name for site in found]
    if len(set(names)) < len(names):
        raise ConfigurationError(f"otas_middleware: two destinations have the same name: {', '.join(sorted(names))}.")
    return found


def _users_own(path: str, settings: OtasSettings) -> Destination:
    made = load(path, "destination")
    if not hasattr(made, "request") or isinstance(made, type):
        if not callable(made):
            raise ConfigurationError(
                f"otas_middleware: {path!r} is neither a destination nor a function that makes one."
            )
        try:
            made = cast("Callable[[OtasSettings], object]", made)(settings)
        except Exception as error:  # the user's code; its message may hold anything
            raise ConfigurationError(
                f"otas_middleware: making the destination {path!r} raised {type(error).__name__}."
            ) from error
    if not all(hasattr(made, part) for part in ("name", "request", "outcome")):
        raise ConfigurationError(f"otas_middleware: {path!r} is no destination: it needs name, request and outcome.")
    return cast("Destination", made)


NIL_PROJECT = "00000000-0000-0000-0000-000000000000"
"""What an event says that does not know its project (`_event.NIL_PROJECT`, which would import pydantic here)."""

BACKEND_PATH = "/api/v1/backend/log/sdk/"

_ENDPOINTS = {
    "backend": ("brain", BACKEND_PATH, "X-OTAS-SDK-KEY"),
    "agent": ("brain-agent", "/api/v1/backend/log/agent/", "X-OTAS-AGENT-KEY"),
}

_LONGEST_ID = 200
"""Characters; an id is a UUID, and is handed on."""

_OUR_BUG = "This is a fault of otas_middleware; please report it with the reason."
_KEY = "Check that the key is the project's current one and that UASAM is up: Brain gives this answer in both cases."
_ADDRESS = "Check OTAS_BRAIN_URL: what answers there does not know Brain's log endpoint."

_BUSY = "Brain, or a proxy before it, has too much to do: see the operations guide on capacity."
_ITS_LOG = "Brain, or a proxy or firewall before it, fails or refuses; its log says why."

# This table and the next are the contract's: an answer rejects the event, asks for patience, or refuses us. Brain says
# `invalid_sdk_key` also while its neighbour UASAM is down, so that never ends anything for good.
_BY_DESCRIPTION = {
    "missing_sdk_key": (Verdict.MISCONFIGURED, "A proxy on the way may remove the key's header."),
    "invalid_sdk_key": (Verdict.MISCONFIGURED, _KEY),
    "missing_agent_key": (Verdict.MISCONFIGURED, "A proxy on the way may remove the key's header."),
    "invalid_or_expired_agent_key": (Verdict.MISCONFIGURED, _KEY),
    "missing_agent_session_token": (Verdict.REJECTED, "A proxy on the way may remove the token's header."),
    "invalid_or_expired_token": (Verdict.BAD_TOKEN, ""),
    "session_agent_mismatch": (Verdict.BAD_TOKEN, "The session was made by another agent than the key's."),
    "missing_required_fields": (Verdict.REJECTED, _OUR_BUG),
    "invalid_json": (Verdict.REJECTED, _OUR_BUG),
    "event_capture_failed": (Verdict.RETRYABLE, "Brain could not save it; its log says why."),
}

_BY_STATUS = {
    401: (Verdict.MISCONFIGURED, _KEY),
    404: (Verdict.MISCONFIGURED, _ADDRESS),
    405: (Verdict.MISCONFIGURED, _ADDRESS),
    407: (Verdict.MISCONFIGURED, "A proxy asks for authentication."),
    408: (Verdict.UNAVAILABLE, _BUSY),
    410: (Verdict.MISCONFIGURED, _ADDRESS),
    413: (Verdict.REJECTED, "A proxy before Brain limits the size of requests; allow 2.5 MiB."),
    425: (Verdict.UNAVAILABLE, _BUSY),
    429: (Verdict.UNAVAILABLE, _BUSY),
    431: (Verdict.REJECTED, "The session token is larger than Brain's server takes."),
    502: (Verdict.UNAVAILABLE, "Brain is down behind its proxy."),
    503: (Verdict.UNAVAILABLE, _BUSY),
    504: (Verdict.UNAVAILABLE, "Brain is too slow for the proxy before it."),
}


class BrainDestination:
    """One of Brain's log endpoints.

    Args:
        url: Brain's base URL, without a trailing slash.
        key: The SDK key or, for `agent`, the agent key.
        source: Which endpoint.
    """

    def __init__(self, url: str, key: str, source: EventSource = "backend") -> None:
        self.name, path, key_header = _ENDPOINTS[source]
        self.source = source
        self.project_id: str | None = None
        """The key's project, once it has been learnt; for events that do not know theirs."""
        self._status_suffices = source == "backend"  # the agent's endpoint says the event's id
        self._url = url + path
        self._headers = json_headers((key_header, key))

    def request(self, envelope: Envelope) -> Request:
        """Return the POST of one event, as plain UTF-8 JSON."""
        event = envelope.event
        if self.project_id is not None and event.project_id == NIL_PROJECT:
            event = event.model_copy(update={"project_id": self.project_id})
        headers = (*self._headers, (TOKEN_HEADER, envelope.token))
        return Request(self._url, headers, event.to_json(), status_suffices=self._status_suffices)

    def learn_project(self, project: UUID) -> None:
        """Take note of the key's project."""
        self.project_id = str(project)

    def outcome(self, response: Response) -> Outcome:
        """Judge an answer, by `status_description` where there is one, else by status. The body is not kept."""
        status = response.status
        if status == 201:
            return _delivered(response)
        wait = retry_after(response.headers.get("retry-after"))
        description = _description(response)
        if description == "event_captured" and 200 <= status < 300:
            return DELIVERED
        known = _BY_DESCRIPTION.get(description)
        if known is not None:
            return Outcome(known[0], description, known[1], wait)
        reason = f"http_{status}"
        known = _BY_STATUS.get(status)
        if known is not None:
            return Outcome(known[0], reason, known[1], wait, ambiguous=status in PASSED_ON)
        if 200 <= status < 400:
            return Outcome(Verdict.MISCONFIGURED, reason, _ADDRESS, wait)
        return Outcome(Verdict.RETRYABLE, reason, _ITS_LOG, wait)


def _delivered(response: Response) -> Outcome:
    """Return the success, with the event's id where the answer holds it: the agent's endpoint says it."""
    if b'"event_id"' not in response.body:
        return DELIVERED
    event_id = as_object(_fields(response).get("response")).get("event_id")
    if not isinstance(event_id, str) or not event_id.isascii() or len(event_id) > _LONGEST_ID:
        return DELIVERED
    return Outcome(Verdict.DELIVERED, "delivered", stored_as=event_id)


def _description(response: Response) -> str:
    """Return the answer's `status_description`, or nothing for pages and garbage."""
    description = _fields(response).get("status_description")
    return description if isinstance(description, str) else ""


def _fields(response: Response) -> dict[str, object]:
    return fields_of(response) if response.headers.get("content-type", "").startswith("application/json") else {}
