"""Tables, separated by commas or tabs, or drawn with dashes: a heading names a whole column."""

from __future__ import annotations

import csv
import io
import re
from itertools import pairwise
from typing import TYPE_CHECKING

from otas_middleware._event.redact.labels import Label, is_label, is_value
from otas_middleware._event.redact.name_rules import Rule
from otas_middleware._event.redact.spans import MASK, UNREADABLE, replaced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otas_middleware._event.redact.name_rules import NameRules

_DELIMITERS = ",;\t|"


_HEADING = re.compile(r"[ \t]*+[|]?[ \t]*+[\w.\"' \-/()\[\]]{1,64}(?:[,;\t|][\w.\"' \-/()\[\]]{0,64}){1,64}\r?$")
_BAR = re.compile(r"[│┃║|]")
_DASHES = re.compile(r"[-─━═]{2}")
_RULE = re.compile(r"\n[ \t|:+\-│┃║─━═┼╋╬├┤┝┥┠┨┡┩┣┫╠╣┿╂╇╪╫╞╡╟╢]*+\r?(?=\n)")
_AROUND = " \t\r*`\"'"
_LABELLED = Label(Rule(), loose=False)


class _Heading:
    """What the heading of a table says of its rows."""

    def __init__(self, names: list[str], rules: NameRules) -> None:
        plain = [name.strip(_AROUND) for name in names]
        self._rules = rules
        self._hidden = {at: rule for at, name in enumerate(plain) if rules.secret(name) and (rule := rules.rule(name))}
        self._values = {at for at, name in enumerate(plain) if is_value(name, _LABELLED)}
        self._labels = [at for at, name in enumerate(plain) if is_label(name)] if self._values else []
        self.tells = bool(self._hidden or self._labels)
        """Whether some of it may have to be masked."""

    def hidden(self, row: list[str]) -> set[int]:
        """Return the cells of a row that are masked: whole columns, and values beside the name of a secret."""
        named = any(self._rules.secret(row[at].strip(_AROUND)) for at in self._labels if at < len(row))
        hidden = {at for at, rule in self._hidden.items() if at < len(row) and not rule.shows(row[at].strip(_AROUND))}
        return hidden | {at for at in self._values if at < len(row)} if named else hidden


def mask_table(text: str, rules: NameRules) -> str:
    """Return a table, whole or cut off, with the columns masked whose heading is sensitive."""
    comments, heading = _first_line(text)
    table = text[comments:]
    delimiter = max(_DELIMITERS, key=heading.count)
    reader = csv.reader(io.StringIO(table, newline=""), delimiter=delimiter)
    try:
        names = next(reader, None) or []
        columns = _Heading(names, rules)
        if not columns.tells:
            return text
        rows = list(reader)
    except csv.Error:  # a cell larger than the reader takes; nobody can say which column it is in
        return f"{text[:comments]}{heading}\n{UNREADABLE}"
    for row in rows:
        for index in columns.hidden(row):
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
    return _Heading(heading.split(delimiter), rules).tells


def has_rule(text: str) -> bool:
    """Tell quickly whether there may be the line below a heading in a text."""
    return "--" in text or (not text.isascii() and _DASHES.search(text) is not None)


def mask_drawn_tables(text: str, rules: NameRules) -> str:
    """Return a text with the columns masked of tables that are drawn with dashes (Markdown, psql, SQL Server)."""
    return replaced(text, _drawn_tables(text, rules))


def _drawn_tables(text: str, rules: NameRules) -> Iterator[tuple[int, int, str]]:
    done = 0
    for ruled in _RULE.finditer(text):
        if _DASHES.search(ruled[0]) is None:
            continue
        begin = text.rfind("\n", done, ruled.start()) + 1 or done
        heading = text[begin : ruled.start()]
        columns = _Columns(heading, ruled[0].lstrip("\n"))
        names = _Heading([heading[cell] for cell in columns.cells(heading)], rules)
        if not names.tells:
            continue
        at = ruled.end() + 1
        while at < len(text):
            stop = text.find("\n", at)
            line = text[at : stop if stop >= 0 else len(text)]
            cells = columns.cells(line)
            if len(cells) < 2:
                break
            hidden = names.hidden([line[cell] for cell in cells])
            for cell in sorted(hidden):
                start, end = _content(line, cells[cell])
                if start < end:
                    yield at + start, at + end, MASK
            at += len(line) + 1
        done = min(at, len(text))


class _Columns:
    """How the rows of a drawn table are taken apart: at bars, or where the dashes below the heading begin."""

    def __init__(self, heading: str, rule: str) -> None:
        self._barred = _BAR.search(heading) is not None
        self._starts = [dashes.start() for dashes in re.finditer(r"[-─━═]++", rule)]

    def cells(self, line: str) -> list[slice]:
        """Return where the cells of a row are; fewer than two when it is none."""
        if self._barred:
            bars = [-1, *(bar.start() for bar in _BAR.finditer(line)), len(line)]
            return [slice(before + 1, after) for before, after in pairwise(bars)]
        if len(self._starts) < 2 or self._starts[0] or not line.strip() or len(line) <= self._starts[1]:
            return []
        return [slice(*columns) for columns in pairwise((*self._starts, len(line)))]


def _content(line: str, cell: slice) -> tuple[int, int]:
    """Return where a cell's content begins and ends, without the blanks around it."""
    text = line[cell]
    start = cell.start + len(text) - len(text.lstrip())
    return start, start + len(text.strip())
