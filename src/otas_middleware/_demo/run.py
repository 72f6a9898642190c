"""The demo's story: start everything, play the agent, compare what it did with what Brain holds."""

from __future__ import annotations

import time
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from otas_middleware._demo.agent import UnansweredError, play
from otas_middleware._demo.checks import differences
from otas_middleware._demo.console import Console
from otas_middleware._demo.processes import ProcessError
from otas_middleware._demo.report import event_table, masked_places
from otas_middleware._demo.scenario import steps
from otas_middleware._demo.sentinels import Secrets
from otas_middleware._demo.signals import Interrupted, Interruptions
from otas_middleware._demo.stage import stage_set
from otas_middleware._http import httpx
from otas_middleware._session import TOKEN_HEADER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otas_middleware._demo.agent import Exchange
    from otas_middleware._demo.checks import Event
    from otas_middleware._demo.stage import Stage

PACKAGES = ("django", "fastapi", "flask", "gunicorn", "starlette", "uvicorn")
DELIVERY_SECONDS = 20.0
WATCH_SECONDS = 0.5


def run(*, keep: bool) -> int:
    """Run the demo; `otas_middleware._demo.main` tells the rest."""
    console = Console()
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if missing:
        console.say(f"The demo needs packages that are not installed; run: pip install {' '.join(missing)}")
        return 1
    with Interruptions() as interruptions:
        try:
            return _run(console, interruptions, keep=keep)
        except Interrupted as interruption:
            console.say(f"\nEnded by {interruption}; nothing is left running.")
            return interruption.exit_status


def _run(console: Console, interruptions: Interruptions, *, keep: bool) -> int:
    try:
        with TemporaryDirectory(prefix="otas-demo-") as folder:
            return _play(console, interruptions, Path(folder), keep=keep)
    except (ProcessError, UnansweredError, FileNotFoundError, httpx.HTTPError) as error:
        console.say(f"\nThe demo cannot go on: {error}")
        return 1


def _play(console: Console, interruptions: Interruptions, folder: Path, *, keep: bool) -> int:
    began = time.monotonic()
    secrets = Secrets()
    console.say("Starting a local Brain and the three example applications:\n")
    with stage_set(interruptions, folder, secrets) as stage:
        console.say("\n".join(stage.lines()))
        session = stage.brain.create_session({"task": "demo"})
        secrets |= {"session token": session.token, **stage.brain.keys}
        exchanges = list(play(steps(secrets), stage.addresses, session.token, secrets))
        by_agent = sum(exchange.step.by_agent for exchange in exchanges)
        others = len(exchanges) - by_agent
        console.say(f"\nSent {by_agent} requests as an agent, and {others} without a session token.")
        events = stage.brain.settled_events(session, by_agent, DELIVERY_SECONDS)
        problems = differences(exchanges, events, secrets)
        _tell(console, exchanges, events)
        _judge(console, problems, secrets, time.monotonic() - began)
        if problems:
            console.say("".join(f"\n  {line}" for line in stage.warnings()))
        if keep:
            _keep(console, stage, session.token)
    return 1 if problems else 0


def _tell(console: Console, exchanges: Sequence[Exchange], events: Sequence[Event]) -> None:
    console.say(f"Brain holds {len(events)} events of the session:\n")
    console.say(event_table(exchanges, events, console))
    console.say("\nWhat became of the secrets in them, one place of each kind:\n")
    console.say("\n".join(masked_places(events)))


def _judge(console: Console, problems: Sequence[str], secrets: Secrets, seconds: float) -> None:
    if problems:
        console.say(f"\nNot as it should be ({len(problems)} differences, {seconds:.1f} s):\n")
        console.say("\n".join(f"  {problem}" for problem in problems))
    else:
        console.say(
            "\nAs it should be: each request of the agent is there exactly once, with its status and sizes;\n"
            f"no other request is; and no event holds any of the {len(secrets)} secrets. It took {seconds:.1f} s."
        )


def _keep(console: Console, stage: Stage, token: str) -> None:
    """Leave everything running until a signal comes, which here is the good end."""
    settings = "\n".join(f"  export {name}={value}" for name, value in stage.brain.environ.items())
    console.say("\nEverything goes on running until Ctrl-C:\n")
    console.say("\n".join(stage.lines()))
    console.say(f"\nFor other programs that shall report to this Brain or act as its agent:\n\n{settings}")
    console.say(f"\nA request as the agent:\n\n  curl -H '{TOKEN_HEADER}: {token}' {stage.addresses['orders']}/orders")
    try:
        while all(server.status() is None for server in stage.servers.values()):
            time.sleep(WATCH_SECONDS)
    except Interrupted:
        console.say("\nStopping everything.")
    else:
        console.say("\nOne of the servers has ended; stopping the others.")
