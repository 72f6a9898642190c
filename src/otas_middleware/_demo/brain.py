"""The local Brain as the demo uses it: a process of its own, spoken to over HTTP as the real one is."""

from __future__ import annotations

import json
import re
import time
from base64 import urlsafe_b64decode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from otas_middleware._demo.applications import READY_SECONDS, clean_environ
from otas_middleware._http import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from otas_middleware._demo.checks import Event
    from otas_middleware._demo.processes import Children

SETTLE_SECONDS = 0.3
POLL_SECONDS = 0.05
_READY = re.compile(r"^{.*}$", re.MULTILINE)


@dataclass(frozen=True)
class Session:
    """An agent's session, as its token tells of it."""

    token: str = field(repr=False)

    @property
    def id(self) -> str:
        """The session's id."""
        return self._claims["agent_session_id"]

    @property
    def agent_id(self) -> str:
        """The agent's id."""
        return self._claims["agent_id"]

    @property
    def _claims(self) -> dict[str, str]:
        payload = self.token.split(".")[1]
        claims: dict[str, str] = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return claims


class Brain:
    """A client of the local Brain; a context manager that closes its connections.

    Args:
        environ: What points applications and agents at it, by the names of the variables.
        user_token: Who reads the events.
    """

    def __init__(self, environ: Mapping[str, str], user_token: str) -> None:
        self.environ = environ
        self._user_token = user_token
        self._http = httpx.Client(base_url=self.url, timeout=10.0, trust_env=False)

    @classmethod
    def start(cls, children: Children, data: Path) -> Brain:
        """Start a local Brain on a free port, its database in `data`; returns when it answers.

        Raises:
            ProcessError: It did not start.
        """
        arguments = ("-m", "otas_middleware._demo.brain_process", str(data / "brain.sqlite3"))
        child = children.start("Brain", arguments, clean_environ(), data)
        return cls(**json.loads(child.logged(_READY, READY_SECONDS).group()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    @property
    def url(self) -> str:
        """The address of Brain, and of UASAM, which is the same process here."""
        return self.environ["OTAS_BRAIN_URL"]

    @property
    def keys(self) -> dict[str, str]:
        """The keys of the project and the agent."""
        return {name: self.environ[name] for name in ("OTAS_SDK_KEY", "OTAS_AGENT_KEY")}

    @property
    def for_backends(self) -> dict[str, str]:
        """The part of the environment that a backend needs."""
        return {name: self.environ[name] for name in ("OTAS_BRAIN_URL", "OTAS_SDK_KEY")}

    def create_session(self, meta: Mapping[str, object]) -> Session:
        """Create a session, as an agent does at its start."""
        response = self._http.post(
            "/api/agent/v1/session/create/",
            headers={"X-OTAS-AGENT-KEY": self.environ["OTAS_AGENT_KEY"]},
            json={"meta": dict(meta)},
        )
        response.raise_for_status()
        return Session(response.json()["response"]["jwt_token"])

    def events(self, session: Session) -> list[Event]:
        """Return the events of a session in the order of their arrival; of more than 200, the first 200."""
        response = self._http.get(
            "/api/v1/agent/session/events/",
            params={"session_id": session.id},
            headers={
                "X-OTAS-USER-TOKEN": self._user_token,
                "X-OTAS-AGENT-ID": session.agent_id,
                "X-OTAS-PROJECT-ID": self.environ["OTAS_PROJECT_ID"],
            },
        )
        response.raise_for_status()
        events: list[Event] = response.json()["events"]
        return events

    def stored(self) -> int:
        """Return how many events there are, of whatever session."""
        response = self._http.get("/_local/state")
        response.raise_for_status()
        count: int = response.json()["stored"]["event"]
        return count

    def settled_events(self, session: Session, count: int, timeout: float) -> list[Event]:
        """Wait until `count` events have arrived and no further one comes, or the time is up; return what is there.

        Args:
            session: Whose events.
            count: How many are expected.
            timeout: The longest wait for them, in seconds.
        """
        deadline = time.monotonic() + timeout
        while self.stored() < count and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        time.sleep(SETTLE_SECONDS)  # one event too many would come now
        return self.events(session)
