"""What the demo shows of the stored events."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast

from rich.console import Console
from rich.table import Table
from rich.text import Text

from otas_middleware._cli.demo.applications import ORDERS
from otas_middleware._cli.demo.checks import is_agents_own, request_id
from otas_middleware._cli.demo.mcp_calls import is_call
from otas_middleware._cli.demo.tasks import TASKS
from otas_middleware._cli.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from io import TextIOWrapper

    from otas_middleware._cli.demo.agent import Exchange
    from otas_middleware._cli.demo.checks import Event

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
