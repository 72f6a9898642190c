"""Everything that runs during the demo: a local Brain, and the three applications that report to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otas_middleware._demo.applications import APPLICATIONS, Launcher, address, examples_folder
from otas_middleware._demo.brain import Brain

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from otas_middleware._demo.processes import Child, Children

SET_UP_SECONDS = 60.0


@dataclass(frozen=True)
class Stage:
    """What was started, and where it is."""

    brain: Brain
    servers: Mapping[str, Child]
    """Application's name → its server."""
    addresses: Mapping[str, str]
    """Application's name → its URL."""

    def lines(self) -> list[str]:
        """Say what runs where."""
        applications = [
            f"  {each.name:<16} {self.addresses[each.name]}  {each.framework} under {each.server}"
            for each in APPLICATIONS
        ]
        return [f"  {'Brain':<16} {self.brain.url}", *applications]


def set_up(brains: Children, servers: Children, data: Path, secrets: Mapping[str, str]) -> Stage:
    """Start everything, as much as possible at the same time; returns when all of it answers.

    Args:
        brains: Where the local Brain is to be a child.
        servers: Where the applications are to be children.
        data: A folder for everything that is written.
        secrets: What the applications' settings refer to.

    Raises:
        ProcessError: Something did not start.
        FileNotFoundError: The example applications are not there.
    """
    launcher = Launcher(servers, examples_folder(), data, secrets)
    preparations = [launcher.prepare(application) for application in APPLICATIONS]
    brain = Brain.start(brains, data)
    for preparation in preparations:
        if preparation is not None:
            preparation.finished(SET_UP_SECONDS)
    running = {application.name: launcher.serve(application, brain.for_backends) for application in APPLICATIONS}
    return Stage(brain, running, {name: address(server) for name, server in running.items()})
