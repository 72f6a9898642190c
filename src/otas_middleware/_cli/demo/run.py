"""The demo: start everything, play the agent, compare what it did with what Brain holds, and show that."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

from rich.console import Console
from rich.table import Table
from rich.text import Text

from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware._cli import printable
from otas_middleware._cli.demo.agent import (
    CALLS,
    TASKS,
    UnansweredError,
    make_calls,
    mock_service,
    nobody,
    play,
    run_tasks,
)
from otas_middleware._cli.demo.checks import (
    agnost_differences,
    call_differences,
    checkpoints,
    differences,
    event_ids,
    is_agents_own,
    is_call,
    request_id,
    task_differences,
)
from otas_middleware._cli.demo.environment import ORDERS, environment_set_up, settled_events
from otas_middleware._cli.demo.processes import Interrupted, Interruptions, ProcessError
from otas_middleware._cli.demo.scenario import Secrets, steps
from otas_middleware._compat import httpx
from otas_middleware.agent import AgentSession, SessionError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from io import TextIOWrapper

    from otas_middleware._cli.demo.agent import Exchange
    from otas_middleware._cli.demo.environment import AgnostRecord, Environment, Event

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
    with environment_set_up(interruptions, folder, secrets) as environment, mock_service() as (service, received):
        output.print("\n".join(environment.lines()))
        brain = environment.brain
        with AgentSession(settings=environment.agent_settings, meta={"task": "demo"}) as session:
            token = session.headers_for(environment.addresses["orders"])[TOKEN_HEADER]
            secrets |= {"session token": token, "OTAS_SDK_KEY": brain.sdk_key, "OTAS_AGENT_KEY": brain.agent_key}
            exchanges = list(play(steps(secrets), environment.addresses, session, secrets))
            make_calls(session, environment.addresses["orders"])
            run_tasks(session, service, nobody(), secrets)
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
                *task_differences([event for event in events if is_agents_own(event)], received, secrets),
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


WIDTH = 120
MASK = "[REDACTED]"
TEXTS = ("request_headers", "query_params", "request_body", "post_data", "response_headers", "response_body")
CONTEXT = 36


def console() -> Console:
    """Return standard output; what it cannot show becomes a question mark."""
    cast("TextIOWrapper", sys.stdout).reconfigure(errors="replace")
    made = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    made.width = min(made.width, WIDTH) if made.is_terminal else WIDTH
    return made


_COLUMNS: dict[str, dict[str, Any]] = {
    "Where": {"no_wrap": True},
    "Told by": {"no_wrap": True},
    "Method": {"no_wrap": True},
    "Path or operation": {},
    "Status": {"justify": "right", "no_wrap": True},
    "Latency": {"justify": "right", "no_wrap": True},
    "Request": {"justify": "right", "no_wrap": True},
    "Response": {"justify": "right", "no_wrap": True},
    "Agnost": {"no_wrap": True},
    "Error or model": {"max_width": 17},
}
_WHERE_THERE_IS_ROOM = ("Told by", "Request", "Response", "Agnost")


def event_table(
    exchanges: Sequence[Exchange], events: Sequence[Event], at_agnost: Collection[str], width: int = WIDTH
) -> Table:
    """Return the stored events as a table: first what backends recorded, as it arrived; then what the agent logged.

    Args:
        exchanges: What was sent to backends.
        events: What Brain holds.
        at_agnost: The ids of the events that Agnost holds.
        width: How many characters a line may have; where that is little, some columns are left out.
    """
    applications = {exchange.request_id: exchange.step.application.name for exchange in exchanges}
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    shown = [heading for heading in _COLUMNS if width >= WIDTH or heading not in _WHERE_THERE_IS_ROOM]
    for heading in shown:
        table.add_column(heading, **_COLUMNS[heading])

    def add(where: str, teller: str, path: str, event: Event) -> None:
        cells = _row(where, teller, path, event, at_agnost)
        table.add_row(*(cells[heading] for heading in shown))

    for event in events:
        if not is_agents_own(event):
            where = ORDERS.name if is_call(event) else applications.get(request_id(event) or "", "?")
            called = event["metadata"].get("operation", {}).get("name") if is_call(event) else None
            add(where, "backend", called or event["path"], event)
    tasks = {(task.method, task.path): task.name for task in TASKS}
    for depth, event in _in_order([event for event in events if is_agents_own(event)]):
        where = tasks.get((event["method"], event["path"]), "?")
        add(where, "agent", "  " * depth + event["path"], event)
    return table


def _in_order(events: Sequence[Event], parent: str | None = None, depth: int = 0) -> Iterator[tuple[int, Event]]:
    """Yield events by the time at which they began, each tool's run before what was done within it."""
    for event in sorted(events, key=lambda event: str(event["metadata"]["captured_at"])):
        if event["metadata"].get("parent_id") == parent:
            yield depth, event
            yield from _in_order(events, event["metadata"]["event_id"], depth + 1)


def masked_places(events: Sequence[Event]) -> Iterator[str]:
    """Show, for each kind of text, the place of the first secret that was taken out of one."""
    for name in TEXTS:
        for event in events:
            before, mask, after = (event[name] or "").partition(MASK)
            if mask:
                start = "…" if len(before) > CONTEXT else ""
                end = "…" if len(after) > CONTEXT else ""
                yield f"  {name:<17} {start}{before[-CONTEXT:]}{mask}{after[:CONTEXT]}{end}"
                break


def size(count: int) -> str:
    """`312` → `312 B`, `52300` → `52.3 kB`."""
    return f"{count} B" if count < 1000 else f"{count / 1000:.1f} kB"


def _row(where: str, teller: str, path: str, event: Event, at_agnost: Collection[str]) -> dict[str, Text]:
    status = event["status_code"]
    texts = (
        where,
        teller,
        event["method"],
        path,
        str(status or "none"),
        f"{event['latency_ms']:.1f} ms",
        size(event["request_size_bytes"]),
        size(event["response_size_bytes"]),
        "yes" if event["metadata"]["event_id"] in at_agnost else "no",
        event["error"] or _model(event),
    )
    colour = "red" if status >= 500 or not status else "yellow" if status >= 400 or event["error"] else "green"
    styles = {"Status": colour, "Error or model": colour if event["error"] else ""}
    return {
        heading: Text(printable(text), styles.get(heading, ""), no_wrap=True, overflow="ellipsis")
        for heading, text in zip(_COLUMNS, texts, strict=True)
    }


def _model(event: Event) -> str:
    """Name the language model that answered, and how many tokens it used, where one did."""
    properties: dict[str, Any] = event["custom_properties"] or {}
    if "model" not in properties:
        return ""
    usage: dict[str, Any] = properties.get("usage") or {}
    return f"{properties['model']}, {usage.get('total', '?')} tokens"
