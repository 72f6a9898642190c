"""Where events go: one module per service, and the list of those that the settings name.

In comes an envelope, out comes a request; in comes an answer, out comes a verdict. Nothing here sends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from otas_middleware._delivery.destinations.brain import BrainDestination
from otas_middleware._delivery.protocols import load
from otas_middleware._errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._delivery.protocols import Destination
    from otas_middleware._event import EventSource

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
