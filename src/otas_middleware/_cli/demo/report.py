"""What the demo shows of the stored events."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from otas_middleware._cli.demo.applications import ORDERS
from otas_middleware._cli.demo.checks import is_agents_own, request_id
from otas_middleware._cli.demo.mcp_calls import is_call
from otas_middleware._cli.demo.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from otas_middleware._cli.demo.agent import Exchange
    from otas_middleware._cli.demo.checks import Event

WIDTH = 120


class Console:
    """Standard output, and what can be shown there."""

    def __init__(self) -> None:
        terminal = sys.stdout.isatty()
        self.colour = terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        self.width = min(shutil.get_terminal_size((WIDTH, 0)).columns, WIDTH) if terminal else WIDTH

    def say(self, text: str = "") -> None:
        """Print a text and a line feed at once; what the terminal cannot show becomes a question mark."""
        encoding = sys.stdout.encoding
        print(text.encode(encoding, "replace").decode(encoding), flush=True)


GAP = "  "
MORE = "…"
BOLD, PLAIN = "\033[1m", "\033[0m"


@dataclass(frozen=True)
class Column:
    """How a column is set; one with a `least` width is cut down to it where the table would be too wide."""

    heading: str
    right: bool = False
    least: int | None = None


@dataclass(frozen=True)
class Cell:
    """A text, and the colour that it has on a terminal (an ANSI escape sequence, or nothing)."""

    text: str
    colour: str = ""


def render(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], *, width: int, colour: bool) -> str:
    """Lay the table out.

    Args:
        columns: The columns, from left to right.
        rows: A cell for each column.
        width: How many characters a line may have; it is kept as long as there is something left to cut.
        colour: Whether to use ANSI escape sequences.

    Returns:
        The lines, without a line feed at the end.
    """
    heading = [Cell(column.heading, BOLD) for column in columns]
    lines = [[Cell(_printable(cell.text), cell.colour) for cell in line] for line in (heading, *rows)]
    widths = _widths(columns, lines, width)
    return "\n".join(
        GAP.join(
            _set(cell, space, right=column.right, colour=colour)
            for cell, column, space in zip(line, columns, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def _widths(columns: Sequence[Column], lines: Sequence[Sequence[Cell]], width: int) -> list[int]:
    widths = [max(len(line[index].text) for line in lines) for index in range(len(columns))]
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - width
    for index in reversed(range(len(columns))):
        least = columns[index].least
        if least is not None and excess > 0:
            cut = min(excess, max(widths[index] - least, 0))
            widths[index] -= cut
            excess -= cut
    return widths


def _set(cell: Cell, space: int, *, right: bool, colour: bool) -> str:
    text = cell.text if len(cell.text) <= space else cell.text[: space - len(MORE)] + MORE
    padding = " " * (space - len(text))
    if colour and cell.colour and text:
        text = f"{cell.colour}{text}{PLAIN}"
    return padding + text if right else text + padding


def _printable(text: str) -> str:
    """An event is what a client sent: control characters in it must not reach the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


COLUMNS = (
    Column("Where"),
    Column("Told by"),
    Column("Method"),
    Column("Path or operation", least=22),
    Column("Status", right=True),
    Column("Latency", right=True),
    Column("Request", right=True),
    Column("Response", right=True),
    Column("Agnost"),
    Column("Error or model", least=17),
)
GREEN, YELLOW, RED = "\033[32m", "\033[33m", "\033[31m"
MASK = "[REDACTED]"
TEXTS = ("request_headers", "query_params", "request_body", "post_data", "response_headers", "response_body")
CONTEXT = 36


def event_table(
    exchanges: Sequence[Exchange], events: Sequence[Event], at_agnost: Collection[str], console: Console
) -> str:
    """Return the stored events as a table: first what backends recorded, as it arrived; then what the agent logged.

    Args:
        exchanges: What was sent to backends.
        events: What Brain holds.
        at_agnost: The ids of the events that Agnost holds.
        console: Where the table is shown.
    """
    applications = {exchange.request_id: exchange.step.application.name for exchange in exchanges}
    rows: list[tuple[Cell, ...]] = []
    for event in events:
        if not is_agents_own(event):
            where = ORDERS.name if is_call(event) else applications.get(request_id(event) or "", "?")
            called = event["metadata"].get("operation", {}).get("name") if is_call(event) else None
            rows.append(_row(where, "backend", called or event["path"], event, at_agnost))
    tasks = {(task.method, task.path): task.name for task in TASKS}
    for depth, event in _in_order([event for event in events if is_agents_own(event)]):
        where = tasks.get((event["method"], event["path"]), "?")
        rows.append(_row(where, "agent", "  " * depth + event["path"], event, at_agnost))
    return render(COLUMNS, rows, width=console.width, colour=console.colour)


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


def _row(where: str, teller: str, path: str, event: Event, at_agnost: Collection[str]) -> tuple[Cell, ...]:
    status = event["status_code"]
    colour = RED if status >= 500 or not status else YELLOW if status >= 400 or event["error"] else GREEN
    return (
        Cell(where),
        Cell(teller),
        Cell(event["method"]),
        Cell(path),
        Cell(str(status or "none"), colour),
        Cell(f"{event['latency_ms']:.1f} ms"),
        Cell(size(event["request_size_bytes"])),
        Cell(size(event["response_size_bytes"])),
        Cell("yes" if event["metadata"]["event_id"] in at_agnost else "no"),
        Cell(event["error"], colour) if event["error"] else Cell(_model(event)),
    )


def _model(event: Event) -> str:
    """Name the language model that answered, and how many tokens it used, where one did."""
    properties: dict[str, Any] = event["custom_properties"] or {}
    if "model" not in properties:
        return ""
    usage: dict[str, Any] = properties.get("usage") or {}
    return f"{properties['model']}, {usage.get('total', '?')} tokens"
