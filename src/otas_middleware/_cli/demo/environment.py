"""Everything that runs during the demo: a local Brain, and the three applications that report to it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otas_middleware._cli.demo.applications import APPLICATIONS, Launcher, address, examples_folder
from otas_middleware._cli.demo.brain import Brain
from otas_middleware._cli.demo.processes import Children

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

    from otas_middleware._cli.demo.processes import Child
    from otas_middleware._cli.demo.signals import Interruptions

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
