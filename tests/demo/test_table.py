"""The table that the demo prints."""

from __future__ import annotations

import re

import pytest

from otas_middleware._cli.demo.report import Cell, Column, render, size

COLUMNS = (Column("Name"), Column("Path", least=8), Column("Size", right=True), Column("Error", least=6))
ROWS = [
    [Cell("orders"), Cell("/orders/1/shipping"), Cell("7 B"), Cell("")],
    [Cell("kb"), Cell("/"), Cell("52.3 kB"), Cell("KeyError: 'AQ'", "\033[31m")],
]


def table(width: int, *, colour: bool = False) -> list[str]:
    return render(COLUMNS, ROWS, width=width, colour=colour).split("\n")


def test_columns_are_aligned_and_numbers_to_the_right() -> None:
    assert table(100) == [
        "Name    Path                   Size  Error",
        "orders  /orders/1/shipping      7 B",
        "kb      /                   52.3 kB  KeyError: 'AQ'",
    ]


def test_the_last_column_is_cut_first() -> None:
    assert table(45) == [
        "Name    Path                   Size  Error",
        "orders  /orders/1/shipping      7 B",
        "kb      /                   52.3 kB  KeyErro…",
    ]


@pytest.mark.parametrize("width", range(33, 60))
def test_a_table_is_no_wider_than_it_may_be(width: int) -> None:
    assert max(map(len, table(width))) <= width


def test_it_stays_readable_where_there_is_no_room() -> None:
    assert table(5)[1:] == ["orders  /orders…      7 B", "kb      /         52.3 kB  KeyEr…"]


def test_colours_change_nothing_but_colours() -> None:
    coloured = "\n".join(table(45, colour=True))
    assert "\033[31mKeyErro…\033[0m" in coloured
    assert re.sub(r"\033\[\d+m", "", coloured).split("\n") == table(45)


def test_an_event_cannot_control_the_terminal() -> None:
    rows = [[Cell("a\033[2Jb\r\n"), Cell(""), Cell(""), Cell("")]]
    assert render(COLUMNS, rows, width=100, colour=True).split("\n")[1] == "a?[2Jb??"


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (52_349, "52.3 kB")])
def test_sizes_are_short(count: int, text: str) -> None:
    assert size(count) == text
