"""Everything that runs during the demo: a local Brain, and the three applications that report to it."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from uuid import UUID

from pydantic import SecretStr

from otas_middleware._cli.demo.applications import (
    APPLICATIONS,
    READY_SECONDS,
    Launcher,
    address,
    clean_environ,
    examples_folder,
)
from otas_middleware._cli.demo.processes import Children
from otas_middleware._compat import httpx
from otas_middleware._config.settings import OtasSettings

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    from otas_middleware._cli.demo.checks import AgnostRecord, Event
    from otas_middleware._cli.demo.processes import Child, Interruptions

SET_UP_SECONDS = 60.0


@dataclass(frozen=True)
class Environment:
    """What was started, and where it is."""

    brain: Brain
    servers: Mapping[str, Child]
    """Application's name → its server."""
    addresses: Mapping[str, str]
    """Application's name → its URL."""
    spool: Path
    """Where events wait that cannot be sent, and where all processes remember which sessions Agnost knows."""

    def lines(self) -> list[str]:
        """Say what runs where."""
        applications = [
            f"  {each.name:<16} {self.addresses[each.name]}  {each.framework} under {each.server}"
            for each in APPLICATIONS
        ]
        return [f"  {'Brain':<16} {self.brain.url}", *applications]

    def warnings(self) -> list[str]:
        """Return what the middleware logged in the applications."""
        return [
            f"{name} logged: {line}"
            for name, server in self.servers.items()
            for line in server.log.read_text(errors="replace").splitlines()
            if line.startswith("otas")
        ]


@contextmanager
def environment_set_up(
    interruptions: Interruptions, folder: Path, secrets: Mapping[str, str]
) -> Generator[Environment]:
    """Start everything, as much as possible at the same time, and stop all of it at the end.

    Args:
        interruptions: Where signals are held back while a child is being started or reaped.
        folder: Where everything is written that is written.
        secrets: What the applications' settings refer to.

    Raises:
        ProcessError: Something did not start.
        FileNotFoundError: The example applications are not there.
    """
    # The last to be entered is the first to be left: the servers still deliver to Brain while they end.
    with Children(interruptions, folder) as brains, Children(interruptions, folder) as servers:
        launcher = Launcher(servers, examples_folder(), folder, secrets)
        preparations = [launcher.prepare(application) for application in APPLICATIONS]
        with Brain.start(brains, folder) as brain:
            for preparation in preparations:
                if preparation is not None:
                    preparation.finished(SET_UP_SECONDS)
            spool = folder / "spool"
            environ = {**brain.for_backends, "OTAS_SPOOL_DIR": str(spool)}
            running = {each.name: launcher.serve(each, environ) for each in APPLICATIONS}
            yield Environment(brain, running, {name: address(server) for name, server in running.items()}, spool)


SETTLE_SECONDS = 0.3
POLL_SECONDS = 0.05
_SETTING = re.compile(r"^(?:# )?export (OTAS_\w+)=(\S+)$", re.MULTILINE)
_HEADER = re.compile(r"^# (X-OTAS-[\w-]+): (\S+)$", re.MULTILINE)
_LAST_HEADER = re.compile(r"^# X-OTAS-PROJECT-ID: \S+\n", re.MULTILINE)


class Brain:
    """A client of the local Brain; a context manager that closes its connections.

    Args:
        environ: The variables that point applications and agents at it.
        headers: What a dashboard sends to read the events.
    """

    def __init__(self, environ: Mapping[str, str], headers: Mapping[str, str]) -> None:
        self.environ = environ
        self._headers = headers
        self._http = httpx.Client(base_url=self.url, timeout=10.0, trust_env=False)

    @classmethod
    def start(cls, children: Children, data: Path) -> Brain:
        """Start a local Brain on a free port, its database in `data`; returns when it answers.

        Raises:
            ProcessError: It did not start.
        """
        arguments = ("-m", "otas_middleware", "brain", "--port", "0", "--db", str(data / "brain.sqlite3"))
        child = children.start("Brain", arguments, clean_environ(), data)
        child.logged(_LAST_HEADER, READY_SECONDS)
        introduction = child.log.read_text()
        return cls(dict(_SETTING.findall(introduction)), dict(_HEADER.findall(introduction)))

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
        """The part of the environment that a backend needs: Brain's, and Agnost's beside it."""
        names = ("OTAS_BRAIN_URL", "OTAS_SDK_KEY", "OTAS_AGNOST_ORG_ID", "OTAS_AGNOST_URL")
        return {name: self.environ[name] for name in names}

    def settings_for_agent(self, domain: Sequence[str], spool: Path) -> OtasSettings:
        """Return the settings of an agent; complete, so that the environment of the demo changes nothing."""
        return OtasSettings(
            agent_key=SecretStr(self.environ["OTAS_AGENT_KEY"]),
            brain_url=self.url,
            uasam_url=self.environ["OTAS_UASAM_URL"],
            project_domain=tuple(domain),
            agnost_org_id=UUID(self.environ["OTAS_AGNOST_ORG_ID"]),
            agnost_url=self.environ["OTAS_AGNOST_URL"],
            spool_dir=spool,
        )

    def events(self, session_id: str) -> list[Event]:
        """Return the events of a session in the order of their arrival; of more than 200, the first 200."""
        response = self._http.get(
            "/api/v1/agent/session/events/",
            params={"session_id": session_id},
            headers=self._headers,
        )
        response.raise_for_status()
        events: list[Event] = response.json()["events"]
        return events

    def agnost(self) -> AgnostRecord:
        """Return what arrived at Agnost's endpoints."""
        response = self._http.get("/_local/agnost")
        response.raise_for_status()
        record: AgnostRecord = response.json()
        return record

    def settled_events(self, session_id: str, count: int, timeout: float) -> list[Event]:
        """Wait until `count` events have arrived, at Agnost too, and no further one comes, or the time is up.

        Args:
            session_id: Whose events to return.
            count: How many are expected, of all sessions.
            timeout: The longest wait for them, in seconds.
        """
        deadline = time.monotonic() + timeout
        while self._stored() < count and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        time.sleep(SETTLE_SECONDS)  # one event too many would come now
        return self.events(session_id)

    def _stored(self) -> int:
        """Return how many events there are at both destinations."""
        response = self._http.get("/_local/state")
        response.raise_for_status()
        stored: dict[str, int] = response.json()["stored"]
        return min(stored["event"], stored["agnost_event"])
