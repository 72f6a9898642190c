"""Asks UASAM about the SDK key: to learn its project, and to tell the operator whether the key or a service is bad."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from otas_middleware._delivery import process
from otas_middleware._delivery.destinations.uasam import KeyState, key_request, key_state
from otas_middleware._delivery.protocols import TransportError

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from otas_middleware._delivery.log import DeliveryLog
    from otas_middleware._delivery.protocols import Outcome, Transport

TIMEOUT = 10.0
"""Seconds for one question."""

AGAIN = 60.0
"""Seconds until the project is asked for again when UASAM did not say."""

_NEVER = 86_400.0

_MEANINGS = {
    KeyState.BAD: "UASAM says that it is not a valid key: it is unknown, expired or revoked. Create a new one for the "
    "project and restart with it. Until then events are kept as far as there is room",
    KeyState.GOOD: "UASAM says that the key is valid. Brain refuses keys while it cannot reach UASAM: look there. "
    "Events are kept and sent when it is over",
    KeyState.UNKNOWN: "UASAM does not answer either, so it is most likely an outage of UASAM and not a bad key. "
    "Events are kept and sent when it is over",
}


class KeyWatch:
    """Knows where to ask about one SDK key. Called in worker threads.

    Args:
        url: UASAM's base URL.
        key: The key.
        make_transport: Makes the transport for one question.
        log: Who tells the operator.
        on_project: Told of the key's project.
    """

    def __init__(
        self,
        url: str,
        key: str,
        make_transport: Callable[[], Transport],
        log: DeliveryLog,
        on_project: Callable[[UUID], object],
    ) -> None:
        self._request = key_request(url, key)
        self._make_transport = make_transport
        self._log = log
        self._on_project = on_project
        self._next = 0.0

    def refused(self, outcome: Outcome) -> None:
        """Find out what a refusal means, and say it."""
        if outcome.reason == "invalid_sdk_key":
            self._say(self._ask()[0])

    def learn(self, now: float) -> float:
        """Ask for the project until it is known (a maintenance task)."""
        if now < self._next:
            return self._next - now
        state, project = self._ask()
        if state is KeyState.BAD:
            self._say(state)
        pause = AGAIN if project is None else _NEVER
        self._next = now + pause
        return pause

    def _say(self, state: KeyState) -> None:
        level = logging.ERROR if state is KeyState.BAD else logging.WARNING
        self._log.say("key", level, "otas: OTAS_SDK_KEY is refused. %s.", _MEANINGS[state])

    def _ask(self) -> tuple[KeyState, UUID | None]:
        with process.no_fork:
            transport = self._make_transport()
        try:
            state, project = key_state(transport(self._request, TIMEOUT))
        except TransportError:
            return KeyState.UNKNOWN, None
        finally:
            close = getattr(transport, "close", None)
            if close is not None:
                close()
        if project is not None:
            self._on_project(project)
        return state, project
