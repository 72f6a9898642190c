"""The table that the demo prints."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from otas_middleware._cli.demo.run import event_table, size

if TYPE_CHECKING:
    from rich.table import Table


def event(path: str, **fields: Any) -> dict[str, Any]:
    return {
        "source": "backend",
        "method": "GET",
        "path": path,
        "status_code": 200,
        "latency_ms": 4.25,
        "request_size_bytes": 0,
        "response_size_bytes": 52_349,
        "request_headers": "{}",
        "metadata": {"event_id": path, "framework": "fastapi"},
        "custom_properties": {},
        "error": "",
        **fields,
    }


EVENTS = [
    event("/orders/1"),
    event("/orders/1/shipping/and/what/belongs/to/it", status_code=500, error="KeyError: 'AQ', and more of the same"),
]


def shown(table: Table, width: int = 120, *, colour: bool = False) -> list[str]:
    output = io.StringIO()
    Console(file=output, width=width, force_terminal=colour, color_system="standard" if colour else None).print(table)
    return [line.rstrip() for line in output.getvalue().splitlines()]


def test_numbers_stand_to_the_right_and_long_texts_are_cut() -> None:
    cells = [re.split(r"  +", line) for line in shown(event_table([], EVENTS, {"/orders/1"}))[1:]]
    assert cells[0] == ["?", "backend", "GET", "/orders/1", "200", "4.2 ms", "0 B", "52.3 kB", "yes"]
    assert cells[1][4:] == ["500", "4.2 ms", "0 B", "52.3 kB", "no", "KeyError: 'AQ', …"]
    assert re.fullmatch(r"/orders/1/shipping/an.*…", cells[1][3])
    heading, *lines = shown(event_table([], EVENTS, ()))
    end = heading.index("Latency") + len("Latency")
    assert [line[:end].endswith("  4.2 ms") for line in lines] == [True, True]


@pytest.mark.parametrize("width", range(80, 140, 5))
def test_a_table_is_no_wider_than_it_may_be_and_readable(width: int) -> None:
    lines = shown(event_table([], EVENTS, (), width), width)
    assert max(map(len, lines)) <= width
    assert "/orders/1/ship" in lines[2]
    assert "KeyError: 'AQ'" in lines[2]
    assert lines[2].endswith("…")


def test_colours_change_nothing_but_colours() -> None:
    plain = shown(event_table([], EVENTS, ()))
    coloured = "\n".join(shown(event_table([], EVENTS, ()), colour=True))
    assert re.search(r"\033\[31m *500\033\[0m", coloured)
    assert [line.rstrip() for line in re.sub(r"\033\[\d+m", "", coloured).split("\n")] == plain


def test_an_event_cannot_control_the_terminal_or_mark_itself_up() -> None:
    line = shown(event_table([], [event("a\033[2Jb\r\n[red]c")], ()))[1]
    assert "a?[2Jb??[red]c" in line


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (52_349, "52.3 kB")])
def test_sizes_are_short(count: int, text: str) -> None:
    assert size(count) == text
