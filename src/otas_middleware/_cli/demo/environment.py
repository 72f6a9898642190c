"""Everything that runs during the demo: a local Brain, and the three applications that report to it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from uuid import UUID

from pydantic import SecretStr

from otas_middleware._cli.demo.applications import APPLICATIONS, Launcher, address, examples_folder
from otas_middleware._cli.demo.processes import Children
from otas_middleware._config.settings import OtasSettings
from otas_middleware.localbrain import LocalBrain

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

    from otas_middleware._cli.demo.checks import AgnostRecord, Event
    from otas_middleware._cli.demo.processes import Child, Interruptions

SET_UP_SECONDS = 60.0
_FOR_BACKENDS = ("OTAS_BRAIN_URL", "OTAS_SDK_KEY", "OTAS_AGNOST_ORG_ID", "OTAS_AGNOST_URL")


@dataclass(frozen=True)
class Environment:
    """What was started, and where it is."""

    brain: LocalBrain
    servers: Mapping[str, Child]
    """Application's name → its server."""
    addresses: Mapping[str, str]
    """Application's name → its URL."""
    spool: Path
    """Where events wait that cannot be sent, and where all processes remember which sessions Agnost knows."""

    @property
    def agent_settings(self) -> OtasSettings:
        """The settings of an agent; complete, so that the environment of the demo changes nothing."""
        return OtasSettings(
            agent_key=SecretStr(self.brain.agent_key),
            brain_url=self.brain.url,
            uasam_url=self.brain.url,
            project_domain=tuple(self.addresses.values()),
            agnost_org_id=UUID(self.brain.agnost_org_id),
            agnost_url=self.brain.url,
            spool_dir=self.spool,
        )

    @property
    def agnost(self) -> AgnostRecord:
        """What arrived at Agnost's endpoints."""
        found = {"sessions": self.brain.agnost_sessions(), "events": self.brain.agnost_events()}
        return cast("AgnostRecord", found)

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
    with LocalBrain(db=folder / "brain.sqlite3") as brain, Children(interruptions, folder) as servers:
        launcher = Launcher(servers, examples_folder(), folder, secrets)
        for preparation in [launcher.prepare(application) for application in APPLICATIONS]:
            if preparation is not None:
                preparation.finished(SET_UP_SECONDS)
        spool = folder / "spool"
        known = brain.environment(agnost=True)
        environ = {name: known[name] for name in _FOR_BACKENDS} | {"OTAS_SPOOL_DIR": str(spool)}
        running = {each.name: launcher.serve(each, environ) for each in APPLICATIONS}
        yield Environment(brain, running, {name: address(server) for name, server in running.items()}, spool)


SETTLE_SECONDS = 0.3
POLL_SECONDS = 0.05


def settled_events(brain: LocalBrain, session_id: str, count: int, timeout: float) -> list[Event]:
    """Wait until `count` events have arrived, at Agnost too, and no further one comes, or the time is up.

    Args:
        brain: Where they arrive.
        session_id: Whose events to return, in the order of their arrival.
        count: How many are expected, of all sessions.
        timeout: The longest wait for them, in seconds.
    """
    deadline = time.monotonic() + timeout
    while min(len(brain.events()), len(brain.agnost_events())) < count and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    time.sleep(SETTLE_SECONDS)  # one event too many would come now
    return cast("list[Event]", brain.events(session_id))
