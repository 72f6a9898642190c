"""Rows of text as a table for people: aligned, coloured where that is wanted, and no wider than it may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

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
