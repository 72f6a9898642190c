"""What an object says of the cells of a table, or of the arguments of a statement, that another of its members holds.

Databases over HTTP answer with the names of columns beside the rows, and are asked with a statement beside its values.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from otas_middleware._event.redact.labels import last_word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from otas_middleware._event.redact.name_rules import NameRules, Rule

    Members = Sequence[tuple[Any, Any]]
    Columns = list[Rule | None]

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
