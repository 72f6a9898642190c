"""The demo's story: start everything, play the agent, compare what it did with what Brain holds."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware._cli.demo.agent import UnansweredError, play
from otas_middleware._cli.demo.checks import (
    agnost_differences,
    checkpoints,
    differences,
    event_ids,
    is_agents_own,
    task_differences,
)
from otas_middleware._cli.demo.environment import environment_set_up, settled_events
from otas_middleware._cli.demo.mcp_calls import CALLS, call_differences, is_call, make_calls
from otas_middleware._cli.demo.processes import Interrupted, Interruptions, ProcessError
from otas_middleware._cli.demo.report import console, event_table, masked_places
from otas_middleware._cli.demo.scenario import Secrets, steps
from otas_middleware._cli.demo.tasks import TASKS, MockService, nobody, run_tasks
from otas_middleware._compat import httpx
from otas_middleware.agent import AgentSession, SessionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from otas_middleware._cli.demo.agent import Exchange
    from otas_middleware._cli.demo.checks import AgnostRecord, Event
    from otas_middleware._cli.demo.environment import Environment

DELIVERY_SECONDS = 20.0
WATCH_SECONDS = 0.5


def run(*, keep: bool) -> int:
    """Run the demo; `otas_middleware._cli.demo.main` tells the rest."""
    output = console()
    with Interruptions() as interruptions:
        try:
            return _run(output, interruptions, keep=keep)
        except Interrupted as interruption:
            output.print(f"\nEnded by {interruption}; nothing is left running.")
            return interruption.exit_status


def _run(output: Console, interruptions: Interruptions, *, keep: bool) -> int:
    try:
        with TemporaryDirectory(prefix="otas-demo-") as folder:
            return _play(output, interruptions, Path(folder), keep=keep)
    except (ProcessError, UnansweredError, SessionError, FileNotFoundError, httpx.HTTPError) as error:
        output.print(f"\nThe demo cannot go on: {error}")
        return 1


def _play(output: Console, interruptions: Interruptions, folder: Path, *, keep: bool) -> int:
    began = time.monotonic()
    secrets = Secrets()
    output.print("Starting a local Brain and the three example applications:\n")
    with environment_set_up(interruptions, folder, secrets) as environment, MockService() as mock_service:
        output.print("\n".join(environment.lines()))
        brain = environment.brain
        with AgentSession(settings=environment.agent_settings, meta={"task": "demo"}) as session:
            token = session.headers_for(environment.addresses["orders"])[TOKEN_HEADER]
            secrets |= {"session token": token, "OTAS_SDK_KEY": brain.sdk_key, "OTAS_AGENT_KEY": brain.agent_key}
            exchanges = list(play(steps(secrets), environment.addresses, session, secrets))
            make_calls(session, environment.addresses["orders"])
            run_tasks(session, mock_service.url, nobody(), secrets)
            by_agent = sum(exchange.step.by_agent for exchange in exchanges)
            _tell_what_was_done(output, by_agent, len(exchanges) - by_agent)
            expected = by_agent + len(CALLS) + len(TASKS)
            events = settled_events(brain, str(session.session_id), expected, DELIVERY_SECONDS)
            record = environment.agnost
            problems = [
                *differences(
                    exchanges, [event for event in events if not (is_agents_own(event) or is_call(event))], secrets
                ),
                *call_differences([event for event in events if is_call(event)], secrets),
                *task_differences([event for event in events if is_agents_own(event)], mock_service.received, secrets),
                *agnost_differences(record, events, secrets),
            ]
            _tell(output, exchanges, events, record)
            _judge(output, problems, secrets, time.monotonic() - began)
            if problems:
                output.print("".join(f"\n  {line}" for line in environment.warnings()))
            if keep:
                _keep(output, environment, token)
    return 1 if problems else 0


def _tell_what_was_done(output: Console, by_agent: int, others: int) -> None:
    output.print(
        f"\nSent {by_agent} requests as an agent within its project's domain, and {others} without a session token;\n"
        f"called {len(CALLS)} operations by MCP, one of which fails with an HTTP status of 200.\n"
        f"Outside of it the agent ran {len(TASKS)} tasks: tools, a language model, a service that nobody runs."
    )


def _tell(output: Console, exchanges: Sequence[Exchange], events: Sequence[Event], record: AgnostRecord) -> None:
    output.print(f"Brain holds {len(events)} events of the session:\n")
    output.print(event_table(exchanges, events, event_ids(record), output.width), soft_wrap=False)
    output.print(
        f"\nAgnost, the second destination, holds {len(record['events'])} events of {len(record['sessions'])} session, "
        f"with {len(checkpoints(record))} checkpoints ({', '.join(sorted(set(checkpoints(record))))})."
    )
    output.print("\nWhat became of the secrets in them, one place of each kind:\n")
    output.print("\n".join(masked_places(events)))


def _judge(output: Console, problems: Sequence[str], secrets: Secrets, seconds: float) -> None:
    if problems:
        output.print(f"\nNot as it should be ({len(problems)} differences, {seconds:.1f} s):\n")
        output.print("\n".join(f"  {problem}" for problem in problems))
    else:
        output.print(
            "\nAs it should be: each request of the agent is there exactly once, with its status and sizes, at both\n"
            "destinations; no other request is; the token stayed within the domain; and no event holds any of the\n"
            f"{len(secrets)} secrets. It took {seconds:.1f} s."
        )


def _keep(output: Console, environment: Environment, token: str) -> None:
    """Leave everything running until a signal comes, which here is the good end."""
    settings = "\n".join(
        f"  export {name}={value}" for name, value in environment.brain.environment(agnost=True).items()
    )
    try:
        output.print("\nEverything goes on running until Ctrl-C:\n")
        output.print("\n".join(environment.lines()))
        output.print(f"\nFor other programs that shall report to this Brain or act as its agent:\n\n{settings}")
        output.print(
            f"\nA request as the agent:\n\n  curl -H '{TOKEN_HEADER}: {token}' {environment.addresses['orders']}/orders"
        )
        while all(server.status() is None for server in environment.servers.values()):
            time.sleep(WATCH_SECONDS)
    except Interrupted:
        output.print("\nStopping everything.")
    else:
        output.print("\nOne of the servers has ended; stopping the others.")
