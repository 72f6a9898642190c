"""A UASAM whose sessions last as long as a test wants, and that can be taken away."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Self
from uuid import uuid4

from agent.host import DropError, Host, response

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from agent.host import Received
    from otas_middleware.localbrain import LocalBrain

PATH = "/api/agent/v1/session/create/"


class Uasam:
    """Creates sessions that Brain accepts.

    Args:
        brain: Signs the tokens.
        life: How long each session lasts, in seconds.
    """

    def __init__(self, brain: LocalBrain, life: float = 3600.0) -> None:
        self._brain = brain
        self.life = life
        self.away = False
        """Whether connections are dropped."""
        self.answers = threading.Event()
        """Cleared while it hangs."""
        self.answers.set()
        self.delay = 0.0
        """Seconds before an answer."""
        self.clock = 0.0
        """Seconds by which its clock is ahead of Brain's and ours; behind, when negative."""
        self._host = Host()
        self._host.on(PATH, self._create)
        self.url = self._host.url

    def __enter__(self) -> Self:
        self._host.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._host.__exit__(kind, error, traceback)

    @property
    def metas(self) -> list[object]:
        """What each session was created with."""
        return [json.loads(request.body).get("meta") for request in self._host.requests]

    def _create(self, request: Received) -> Iterator[bytes]:
        time.sleep(self.delay)
        assert self.answers.wait(10)
        if self.away:
            raise DropError
        now = time.time() + self.clock
        claims = {
            "agent_session_id": str(uuid4()),
            "agent_id": self._brain.agent_id,
            "iat": now,
            "exp": now + self.life,
        }
        token = self._brain.sign(claims)
        answer = {
            "status": 1,
            "status_description": "agent_session_created",
            "response": {"Header_value": "X-OTAS-AGENT-SESSION-TOKEN", "jwt_token": token},
        }
        yield response(json.dumps(answer).encode(), content_type="application/json")
