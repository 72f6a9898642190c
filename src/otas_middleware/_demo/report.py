"""What the demo shows of the stored events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otas_middleware._demo.checks import request_id
from otas_middleware._demo.table import Cell, Column, render

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otas_middleware._demo.agent import Exchange
    from otas_middleware._demo.checks import Event

COLUMNS = (
    Column("Application"),
    Column("Method"),
    Column("Path", least=30),
    Column("Status", right=True),
    Column("Latency", right=True),
    Column("Request", right=True),
    Column("Response", right=True),
    Column("Error", least=20),
)
GREEN, YELLOW, RED = "\033[32m", "\033[33m", "\033[31m"


def event_table(exchanges: Sequence[Exchange], events: Sequence[Event], *, width: int, colour: bool) -> str:
    """Return the stored events as a table, in the order in which they arrived.

    Args:
        exchanges: What was sent; tells which application an event belongs to.
        events: The stored events.
        width: The most characters that a line may have.
        colour: Whether to use colours.
    """
    names = {exchange.request_id: exchange.step.application.name for exchange in exchanges}
    rows = [_row(names.get(request_id(event) or "", "?"), event) for event in events]
    return render(COLUMNS, rows, width=width, colour=colour)


def size(count: int) -> str:
    """`312` → `312 B`, `52300` → `52.3 kB`."""
    return f"{count} B" if count < 1000 else f"{count / 1000:.1f} kB"


def _row(name: str, event: Event) -> tuple[Cell, ...]:
    status = event["status_code"]
    colour = RED if status >= 500 else YELLOW if status >= 400 else GREEN
    return (
        Cell(name),
        Cell(event["method"]),
        Cell(event["path"]),
        Cell(str(status), colour),
        Cell(f"{event['latency_ms']:.1f} ms"),
        Cell(size(event["request_size_bytes"])),
        Cell(size(event["response_size_bytes"])),
        Cell(event["error"] or "", colour),
    )
