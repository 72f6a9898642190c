"""UASAM's check of an SDK key: unlike Brain, it tells a bad key from an outage, and it names the key's project."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from otas_middleware._delivery.protocols import Request, TransportError, as_object, fields_of, json_headers
from otas_middleware._delivery.transports import send_once

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._delivery.log import DeliveryLog
    from otas_middleware._delivery.protocols import Outcome, Response, Transport

KEY_PATH = "/api/project/v1/sdk/backend/key/authenticate/"

TIMEOUT = 10.0
"""Seconds for one question."""

AGAIN = 60.0
"""Seconds until the project is asked for again when UASAM did not say."""

_NEVER = 86_400.0


KeyState = Literal["good", "bad", "unknown"]
"""What a service says of a key; `unknown` where it is away itself, or is another service."""

_MEANINGS: dict[KeyState, str] = {
    "bad": "UASAM says that it is not a valid key: it is unknown, expired or revoked. Create a new one for the "
    "project and restart with it. Until then events are kept as far as there is room",
    "good": "UASAM says that the key is valid. Brain refuses keys while it cannot reach UASAM: look there. "
    "Events are kept and sent when it is over",
    "unknown": "UASAM does not answer either, so it is most likely an outage of UASAM and not a bad key. "
    "Events are kept and sent when it is over",
}


def key_state(response: Response) -> tuple[KeyState, dict[str, Any]]:
    """Return what the answer says of the key, and its project where it is good."""
    fields = fields_of(response)
    if response.status == 200 and fields.get("status") == 1:
        return "good", as_object(as_object(fields.get("response")).get("project"))
    # UASAM's own 403 is JSON with an `error`; a proxy's is a page.
    return "bad" if response.status == 403 and isinstance(fields.get("error"), str) else "unknown", {}


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
        self._request = Request(url + KEY_PATH, json_headers(("X-OTAS-SDK-KEY", key)), b"{}")
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
        self._next = now + AGAIN
        state, project = self._ask()
        if state == "bad":
            self._say(state)
        pause = AGAIN if project is None else _NEVER
        self._next = now + pause
        return pause

    def _say(self, state: KeyState) -> None:
        level = logging.ERROR if state == "bad" else logging.WARNING
        self._log.say("key", level, "otas: OTAS_SDK_KEY is refused. %s.", _MEANINGS[state])

    def _ask(self) -> tuple[KeyState, UUID | None]:
        try:
            state, project = key_state(send_once(self._make_transport, self._request, TIMEOUT))
        except TransportError:
            return "unknown", None
        try:
            project_id = UUID(str(project.get("id")))
        except ValueError:
            return state, None
        self._on_project(project_id)
        return state, project_id
