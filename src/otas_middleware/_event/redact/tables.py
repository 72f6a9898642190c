"""Tables, separated by commas or tabs, or drawn with dashes: a heading names a whole column."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING

from otas_middleware._event.redact.mask import MASK, UNREADABLE, replaced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otas_middleware._event.redact.name_rules import NameRules

_DELIMITERS = ",;\t|"


_HEADING = re.compile(r"[ \t]*+[|]?[ \t]*+[\w.\"' \-/()]{1,64}(?:[,;\t|][\w.\"' \-/()]{0,64}){1,64}\r?$")
_RULE = re.compile(r"\n[ \t|:+-]*+\r?(?=\n)")
_FURTHEST = 65_536


def mask_table(text: str, rules: NameRules) -> str:
    """Return a table, whole or cut off, with the columns masked whose heading is sensitive."""
    comments, heading = _first_line(text)
    table = text[comments:]
    delimiter = max(_DELIMITERS, key=heading.count)
    reader = csv.reader(io.StringIO(table, newline=""), delimiter=delimiter)
    try:
        names = next(reader, None) or []
        hidden = [index for index, name in enumerate(names) if rules.secret(name.strip())]
        if not hidden:
            return text
        rows = list(reader)
    except csv.Error:  # a cell larger than the reader takes; nobody can say which column it is in
        return f"{text[:comments]}{heading}\n{UNREADABLE}"
    for row in rows:
        for index in hidden:
            if index < len(row):
                row[index] = MASK
    masked = io.StringIO(newline="")
    writer = csv.writer(masked, delimiter=delimiter, lineterminator="\r\n" if heading.endswith("\r") else "\n")
    writer.writerow(names)
    writer.writerows(rows)
    return text[:comments] + masked.getvalue()


def _first_line(text: str) -> tuple[int, str]:
    """Return where the first line begins that is no comment, and the line."""
    start = 1 if text.startswith("\ufeff") else 0
    while text.startswith("#", start) and "\n" in text[start:]:
        start = text.index("\n", start) + 1
    return start, text[start:].partition("\n")[0]


def looks_like_table(text: str, rules: NameRules) -> bool:
    """Tell whether a text of another type is a table with a sensitive column: several lines of as many cells."""
    start, heading = _first_line(text[:4096])
    if _HEADING.fullmatch(heading) is None:
        return False
    delimiter = max(_DELIMITERS, key=heading.count)
    second = text[start + len(heading) + 1 :].partition("\n")[0]
    if second.count(delimiter) < heading.count(delimiter) or (delimiter == "|" and "|" in heading.strip()[:1]):
        return False
    return any(rules.secret(name.strip(" \t\r\"'")) for name in heading.split(delimiter))


def mask_drawn_tables(text: str, rules: NameRules) -> str:
    """Return a text with the columns masked of tables that are drawn with dashes (Markdown, psql, SQL Server)."""
    return replaced(text, _drawn_tables(text, rules))


def _drawn_tables(text: str, rules: NameRules) -> Iterator[tuple[int, int, str]]:
    done = 0
    for ruled in _RULE.finditer(text):
        if "--" not in ruled[0]:
            continue
        begin = text.rfind("\n", done, ruled.start()) + 1 or done
        heading = text[begin : ruled.start()]
        columns = _Columns(heading, ruled[0].lstrip("\n"))
        hidden = {at for at, cell in enumerate(columns.cells(heading)) if rules.secret(cell.strip(" \t\r*`"))}
        if not hidden or begin < done:
            continue
        end = ruled.end() + 1
        lines: list[str] = []
        for line in text[end : end + _FURTHEST].split("\n"):
            row = columns.cells(line)
            if len(row) < 2:
                break
            lines.append(columns.between.join(_drawn(cell) if at in hidden else cell for at, cell in enumerate(row)))
            end += len(line) + 1
        done = min(end, len(text))
        yield ruled.end() + 1, done, "\n".join((*lines, ""))


class _Columns:
    """How the rows of a drawn table are taken apart: at bars, or where the dashes below the heading begin."""

    def __init__(self, heading: str, rule: str) -> None:
        self.between = "|" if "|" in heading else ""
        self._starts = [dashes.start() for dashes in re.finditer(r"-++", rule)]

    def cells(self, line: str) -> list[str]:
        """Return the cells of a row; fewer than two when it is none."""
        if self.between:
            return line.split(self.between) if self.between in line else []
        if len(self._starts) < 2 or self._starts[0] or not line.strip() or len(line) <= self._starts[1]:
            return []
        return [line[start:end] for start, end in zip(self._starts, [*self._starts[1:], None], strict=True)]


def _drawn(cell: str) -> str:
    plain = cell.strip()
    return cell.replace(plain, MASK) if plain else cell
