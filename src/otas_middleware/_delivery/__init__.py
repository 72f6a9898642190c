"""Background delivery: a bounded queue, threads that send, retries, and an account of every event.

In come captures and finished envelopes; out go requests to destinations, and counters that balance at any moment. May
import `_event`, `_capture` and `_config`; start with `pipeline`, then `exporter`. `open_delivery` chooses between
a pipeline of this process and one behind a relay.
"""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING

from otas_middleware._delivery.pipeline import Pipeline
from otas_middleware._delivery.protocols import (
    DELIVERED,
    Destination,
    Outcome,
    Request,
    Response,
    Transport,
    TransportError,
    Verdict,
    Weighted,
)
from otas_middleware._errors import ConfigurationError, MissingExtraError
from otas_middleware._runtime import runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._delivery.factory import Build
    from otas_middleware._delivery.relay.delivery import RelayDelivery
    from otas_middleware._event import Envelope

__all__ = [
    "DELIVERED",
    "Destination",
    "Outcome",
    "Pipeline",
    "Request",
    "Response",
    "Transport",
    "TransportError",
    "Verdict",
    "Weighted",
    "open_delivery",
]


def open_delivery(
    settings: OtasSettings,
    build: Build,
    *,
    raw: bool,
    on_token: Callable[[str, str], object],
    on_delivered: Callable[[Envelope, Outcome], object] = lambda _envelope, _outcome: None,
) -> Pipeline | RelayDelivery:
    """Return the delivery that the settings ask for. Starts nothing.

    Args:
        settings: Where to send, limits and times.
        build: Makes an event of an item.
        raw: Items are captures, which a relay can build.
        on_token: Gets what was found out about a session token (`rejected`, `bad_signature`, `confirmed`), and it.
        on_delivered: Told of each event that a destination has stored.

    Raises:
        ConfigurationError: A setting names something that cannot be used.
        MissingExtraError: A setting needs a package that is not installed.
    """

    def pipeline() -> Pipeline:
        return Pipeline(settings, build, lambda token: on_token("rejected", token), on_delivered)

    if settings.relay is None:
        if settings.durability == "relay":
            raise ConfigurationError(
                "otas_middleware: durability='relay' needs a relay; set OTAS_RELAY to its socket, or to auto."
            )
        return pipeline()
    from otas_middleware._delivery.relay import trust  # noqa: PLC0415  # for those who have one, as all below

    level = logging.WARNING if settings.durability == "relay" else logging.INFO  # then a promise depends on it
    if not trust.SUPPORTED:
        _say("OTAS_RELAY has no effect here: the relay needs Linux. Events are delivered by this process.", level)
        return pipeline()
    if find_spec("msgspec") is None:
        raise MissingExtraError("OTAS_RELAY", "relay")
    from otas_middleware._delivery.relay import hello  # noqa: PLC0415  # as above
    from otas_middleware._delivery.relay.delivery import RelayDelivery  # noqa: PLC0415  # as above

    here = hello.setting_against_relay(settings)
    if here:
        _say(
            f"OTAS_RELAY has no effect with {here}: that code is this process's, and so it delivers its events itself.",
            level,
        )
        return pipeline()
    builds = hello.builds_here(settings)
    if builds:
        _say(f"with {builds} events are built in this process, by a thread, and handed over to the relay finished.")
    return RelayDelivery(settings, pipeline, build, raw=raw, on_token=on_token, on_delivered=on_delivered)


def _say(line: str, level: int = logging.INFO) -> None:
    runtime.log_once(level, f"otas: {line}")
