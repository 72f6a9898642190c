"""Tables, where a heading names a whole column: separated by commas or tabs, drawn with dashes, or in an object.

Databases over HTTP answer with the names of columns beside the rows, and are asked with a statement beside its values:
there, members of an object say of the cells of a table, or of the arguments of a statement, that another of them holds.
"""

from __future__ import annotations

import csv
import io
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from otas_middleware._event.redact.labels import Label, is_label, is_value, last_word
from otas_middleware._event.redact.name_rules import Rule
from otas_middleware._event.redact.spans import MASK, UNREADABLE, replaced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from otas_middleware._event.redact.name_rules import NameRules

    Members = Sequence[tuple[Any, Any]]
    Columns = list[Rule | None]

_DELIMITERS = ",;\t|"
_HEADING = re.compile(r"[ \t]*+[|]?[ \t]*+[\w.\"' \-/()\[\]]{1,64}(?:[,;\t|][\w.\"' \-/()\[\]]{0,64}){1,64}\r?$")
_BAR = re.compile(r"[│┃║|]")
_DASHES = re.compile(r"[-─━═]{2}")
_RULE = re.compile(r"\n[ \t|:+\-│┃║─━═┼╋╬├┤┝┥┠┨┡┩┣┫╠╣┿╂╇╪╫╞╡╟╢]*+\r?(?=\n)")
_AROUND = " \t\r*`\"'"
_LABELLED = Label(Rule(), loose=False)

_type_of: Callable[[Any], Any] = type  # values are of any class, and some fail when they are asked for it
_COLUMNS = frozenset(("columns", "cols", "header", "headers", "fields", "names", "keys"))
"""Last words of the members that are the names of columns; where they are objects with a name, any member may be."""
_ROWS = frozenset(("rows", "row", "data", "values", "records", "results"))
_NAMES = ("name", "Name", "label", "display_name", "displayName", "text")
"""Members of the description of a column that are its name."""
_STATEMENTS = frozenset(("sql", "query", "statement", "stmt", "command", "text"))
_VALUES = frozenset(("params", "parameters", "args", "arguments", "binds", "bindings", "values", "variables"))
_LONGEST_STATEMENT = 65_536
_MOST_COLUMNS = 256

_GRAPHQL = re.compile(r"(?P<name>\b\w{1,64})\s*:\s*\$(?P<variable>\w{1,64})")
_PLACEHOLDER = r"(?:\?|%s|(?<![:\w])[:@$]\w{1,64}+)"
_COMPARED = re.compile(
    rf"(?:(?<![\w.])(?P<column>[A-Za-z_][\w.]{{1,63}}+)[\"`\]]?\s*(?:=|<>|!=|(?i:\b(?:NOT\s+)?I?LIKE\b))\s*)?"
    rf"(?P<mark>{_PLACEHOLDER})"
)
_INSERTED = re.compile(
    r"(?i:INSERT\s+(?:OR\s+\w+\s+)?INTO|REPLACE\s+INTO)\s+[\w.`\"\[\]]{1,128}\s*\((?P<columns>[^()]{1,4096})\)\s*(?i:VALUES)"
)
_CELL = re.compile(r"[(),]")


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


def columns_of(members: Members, rules: NameRules) -> Columns:
    """Return the rules of the columns that an object names, itself or in an object inside of it.

    Nothing if none of them is sensitive.

    Args:
        members: Those of the object.
        rules: Which names are sensitive.
    """
    for name, value in members:
        inner: Iterable[tuple[Any, Any]] = value.items() if _type_of(value) is dict else ((name, value),)
        for each, found in inner:
            if _type_of(found) is not list or not 0 < len(found) <= _MOST_COLUMNS or _type_of(each) is not str:
                continue
            told = last_word(each) in _COLUMNS
            names = [cell if told and _type_of(cell) is str else name_of(cell) for cell in found]
            columns = [rules.rule(cell) if cell and rules.secret(cell) else None for cell in names]
            if any(columns) and all(names):
                return columns
    return []


def is_rows(name: Any) -> bool:
    """Tell whether a member may hold the rows of a table."""
    return _type_of(name) is str and last_word(name) in _ROWS


def is_values(name: Any) -> bool:
    """Tell whether a member may hold the values of a statement."""
    return _type_of(name) is str and last_word(name) in _VALUES


def bound_in(members: Members, rules: NameRules) -> dict[str, Rule]:
    """Return the values of an object's statement that are sensitive: their names, or numbers from 1 on.

    They are those of SQL (`WHERE password = ?`), and the variables that GraphQL passes on under sensitive names
    (`login(password: $p)`).

    Args:
        members: Those of the object.
        rules: Which names are sensitive.
    """
    for name, value in members:
        if not (_type_of(value) is str and _type_of(name) is str and len(value) <= _LONGEST_STATEMENT):
            continue
        if last_word(name) in _STATEMENTS:
            found = {mark: rule for mark, column in _bound(value) if (rule := rules.rule(column)) is not None}
            if found:
                return found
    return {}


def _bound(statement: str) -> Iterator[tuple[str, str]]:
    """Yield the name or number of each value of a statement, and the name under which that is used."""
    for match in _GRAPHQL.finditer(statement):
        yield match["variable"], match["name"]
    inserted = _INSERTED.search(statement)
    columns = [] if inserted is None else [name.strip(" \t\r\n\"'`[]") for name in inserted["columns"].split(",")]
    begin = len(statement) if inserted is None else inserted.end()
    cell, done = 0, begin
    for number, match in enumerate(_COMPARED.finditer(statement), 1):
        column = match["column"]
        if column is None and match.start() >= begin:
            for sign in _CELL.finditer(statement, done, match.start()):
                cell = 0 if sign[0] == "(" else cell + 1
            done = match.start()
            column = columns[cell] if cell < len(columns) else None
        if column is not None:
            mark = match["mark"][1:] if match["mark"][0] in ":@$" else str(number)
            yield mark, column.rpartition(".")[2]


def name_of(cell: Any) -> str:
    """Return the name of a column or value that is an object with one."""
    if _type_of(cell) is not dict:
        return ""
    return next((cell[name] for name in _NAMES if _type_of(cell.get(name)) is str), "")
