"""What the demo shows of the stored events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otas_middleware._demo.checks import request_id
from otas_middleware._demo.table import Cell, Column, render

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otas_middleware._demo.agent import Exchange
    from otas_middleware._demo.checks import Event
    from otas_middleware._demo.console import Console

COLUMNS = (
    Column("Application"),
    Column("Method"),
    Column("Path", least=20),
    Column("Status", right=True),
    Column("Latency", right=True),
    Column("Request", right=True),
    Column("Response", right=True),
    Column("Error", least=12),
)
GREEN, YELLOW, RED = "\033[32m", "\033[33m", "\033[31m"
MASK = "[REDACTED]"
TEXTS = ("request_headers", "query_params", "request_body", "post_data", "response_headers", "response_body")
CONTEXT = 36


def event_table(exchanges: Sequence[Exchange], events: Sequence[Event], console: Console) -> str:
    """Return the stored events as a table, in the order in which they arrived."""
    names = {exchange.request_id: exchange.step.application.name for exchange in exchanges}
    rows = [_row(names.get(request_id(event) or "", "?"), event) for event in events]
    return render(COLUMNS, rows, width=console.width, colour=console.colour)


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
