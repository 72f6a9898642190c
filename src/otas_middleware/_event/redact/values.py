"""Python values of any kind become plain JSON values, and the secrets in them are masked, in one walk.

Application code may hand over anything as a custom property. Whatever it is becomes something that can be stored,
within bounds of depth, number and size, without running into cycles, and without an exception.
"""

from __future__ import annotations

import json
import math
from collections import deque
from datetime import date, time
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Any

from otas_middleware._capture.values import members_of
from otas_middleware._event.redact.forms import is_message, is_odd, is_pieces, looks_random, readable_container
from otas_middleware._event.redact.labels import Label, is_value, label_of
from otas_middleware._event.redact.shapes import card_number, names_an_id
from otas_middleware._event.redact.spans import MASK
from otas_middleware._event.redact.tables import bound_in, columns_of, is_rows, is_values, name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otas_middleware._event.redact.name_rules import NameRules, Rule

MAX_DEPTH = 100
MAX_NODES = 20_000
MAX_CHARACTERS = 262_144
MAX_FOREIGN_CHARACTERS = 8_192
"""Of the `str()` of an object of an unknown class."""

TOO_DEEP = "[CUT: nested more than 100 levels deep]"
TOO_MUCH = "[CUT: too much]"
CYCLE = "[CUT: contains itself]"

# Postgres takes integers of 131,072 digits, Python's JSON reader takes 4,300; nobody reads either.
_MAX_INTEGER = 10**100
_MIN_CARD = 10**12
_type_of: Callable[[Any], Any] = type  # to the type checkers, an unknown class is one that may be compared with any
_NUMBERS: tuple[type[Any], ...] = (int, float)
_BYTES: tuple[type[Any], ...] = (bytes, bytearray, memoryview)
_EMPTY: tuple[type[Any], ...] = (str, list, dict)
_LONGEST_NAME = 64
_COLLECTIONS: tuple[type[Any], ...] = (list, tuple, set, frozenset, deque)


class Walk:
    """One walk over one value.

    Args:
        rules: Which names are sensitive.
        redact: Masks secrets inside a text, and replaces characters that cannot be stored.
        max_nodes: After this many values the rest is cut.
        max_characters: After this many characters of text the rest is cut.
    """

    def __init__(
        self,
        rules: NameRules,
        redact: Callable[[str], str],
        *,
        max_nodes: int = MAX_NODES,
        max_characters: int = MAX_CHARACTERS,
    ) -> None:
        self._rules = rules
        self._redact = redact
        self._nodes = max_nodes
        self._characters = max_characters
        self._open: set[int] = set()
        self._meta = 0  # levels of MCP's `_meta` around
        self._variables: dict[str, Rule] = {}  # GraphQL's, which are arguments with sensitive names

    def value(self, value: Any) -> Any:
        """Return the plain, masked form of a value."""
        self._nodes -= 1
        if self._nodes < 0:
            return TOO_MUCH
        kind = _type_of(value)
        if kind is str:
            return self._text(value)
        if value is None or kind is bool:
            return value
        return _number(value) if kind in _NUMBERS else self._other(value)

    def _text(self, text: str) -> str:
        room = self._characters
        self._characters = room - min(len(text), room)
        if len(text) > room:
            return self._redact(text[:room]) + TOO_MUCH
        return self._redact(text)

    def _other(self, value: Any) -> Any:
        try:
            members, items, plain = _open(value)
        except Exception:  # foreign code: __str__, __iter__, properties
            return f"[UNREADABLE: {_type_of(value).__name__}]"
        if members is None and items is None:
            return self.value(plain)
        mark = id(value)
        if mark in self._open:
            return CYCLE
        if len(self._open) >= MAX_DEPTH:
            return TOO_DEEP
        self._open.add(mark)
        try:
            return self._list(items or ()) if members is None else self._mapping(members)
        finally:
            self._open.discard(mark)

    def _mapping(self, items: Sequence[tuple[Any, Any]], label: Label | None = None) -> dict[str, Any]:
        result: dict[str, Any] = {}
        label = label or label_of(items, self._rules)
        columns, bound = columns_of(items, self._rules), bound_in(items, self._rules)
        probable = any(name == "logprob" for name, _ in items)  # a word of a model's, not a token
        for key, item in items:
            name = key if type(key) is str else _key(key)
            if len(result) > MAX_NODES or self._nodes < 0:
                result[TOO_MUCH] = len(items) - len(result)
                break
            rule = None if probable and name == "token" else self._rule_for(name, label)
            shown = self._text(name)
            if name == "_meta":
                self._meta += 1
            values = bool(bound) and is_values(name)
            if values:
                self._variables = bound
            if rule is not None:
                result[shown] = self._under(rule, item)
            elif _is_digits(item) and names_an_id(name):
                result[shown] = self.value(item) if len(str(item)) > _LONGEST_NAME else item
            elif columns and _type_of(item) is list and is_rows(name):
                result[shown] = self._table(columns, item)
            elif values and _type_of(item) is list:
                rules = [bound.get(str(at)) or bound.get(name_of(each)) for at, each in enumerate(item, 1)]
                result[shown] = self._cells(rules, item)
            elif _type_of(item) is list and item and name.replace("_", "").lower() == "rawheaders":
                result[shown] = self.headers(item)
            else:
                result[shown] = self.value(item)
            if name == "_meta":
                self._meta -= 1
            if values:
                self._variables = {}
        return result

    def _rule_for(self, name: str, label: Label | None) -> Rule | None:
        rule = self._rules.rule(name) or self._variables.get(name)
        return label.rule if rule is None and label is not None and is_value(name, label) else rule

    def _under(self, rule: Rule, item: Any) -> Any:
        """Return what is shown of a value that stands under a sensitive name."""
        kind = _type_of(item)
        if item is None or (kind in _EMPTY and not item) or (kind is bool and not rule.strict):
            return item
        if kind is str:
            if rule.shows(item) or (not rule.strict and is_message(item, sentence=True)):
                return self._text(item)
            return rule.mask(item, in_meta=self._meta > 0)
        if kind in _NUMBERS:
            return self.value(item) if rule.shows(str(_number(item))) else MASK
        return MASK if rule.strict else self._inside(rule, kind, item)

    def _inside(self, rule: Rule, kind: Any, item: Any) -> Any:
        """Return what is shown of a container, or of an object of another class, under a sensitive name."""
        if "members" in rule.stays or "plain" in rule.stays:
            if kind is list and all(_type_of(part) is str for part in item):
                return [self._under(rule, part) for part in item]
            shown = self.value(item)
            return shown if not isinstance(shown, str) or rule.shows(shown) else MASK
        return self.value(item) if kind in {dict, list} and _is_readable(item, rule.stays) else MASK

    def _list(self, items: Sequence[Any]) -> list[Any]:
        if items and all(_is_row(item) for item in items) and isinstance(items[0][0], str | bytes):
            return self._rows(items)
        result: list[Any] = []
        hidden: Rule | None = None
        told = False
        for item in items:
            if hidden is not None and type(item) is str and not item.startswith("-") and (told or looks_random(item)):
                result.append(self._under(hidden, item))
                hidden = None
            else:
                result.append(self.value(item))
                # `["--password", "x"]`
                told = type(item) is str and "=" not in item and (item.startswith("-") or self._tells(items))
                hidden = self._rules.rule(item) if type(item) is str and len(item) < _LONGEST_NAME else None
            if self._nodes < 0:
                break
        return result

    def _tells(self, items: Sequence[Any]) -> bool:
        """Tell whether a list is a name and its value, `["password", "x"]`, and not a list of names."""
        if len(items) != 2 or type(items[1]) is not str or self._rules.secret(items[1]):
            return False
        return len(self._open) == 1 or is_odd(items[1])

    def _rows(self, rows: Sequence[Any]) -> list[Any]:
        """Return rows that begin with their names, `[["authorization", "…"]]`, or of which the first names columns."""
        head: list[str] = [_key(cell.get("name") if _type_of(cell) is dict else cell) for cell in rows[0]]
        columns = [self._rules.rule(cell) if self._rules.secret(cell) else None for cell in head]
        if columns[0] is not None or any(len(row) != len(head) for row in rows) or len(rows) < 2:
            columns = []
        shown: list[Any] = []
        for number, row in enumerate(rows):
            name = _key(row[0])
            rule = self._rules.rule(name)
            cells: list[Any] = [self.value(row[0])]
            for at, cell in enumerate(row[1:], 1):
                column = columns[at] if number and at < len(columns) else None
                applied = rule or column
                cells.append(self.value(cell) if applied is None else self._under(applied, cell))
            shown.append(cells)
            if self._nodes < 0:
                break
        return shown

    def _table(self, columns: list[Rule | None], rows: Sequence[Any]) -> list[Any]:
        """Return the rows of a table, or the cells of its only one, with the columns masked that are sensitive."""
        if not any(_type_of(row) in {list, tuple, dict} for row in rows):
            return self._row(columns, rows)
        return [
            self._row(columns, row) if _type_of(row) in {list, tuple} else self._in_row(columns, row) for row in rows
        ]

    def _in_row(self, columns: list[Rule | None], row: Any) -> Any:
        """Return a row that is an object, with the list in it that has as many cells as there are columns masked."""
        members: dict[Any, Any] = row if _type_of(row) is dict else {}
        cells = next((name for name, found in members.items() if _is_cells(name, found, len(columns))), None)
        if cells is None:
            return self.value(row)
        shown = self.value({**members, cells: None})
        return {**shown, self._text(cells): self._row(columns, members[cells])} if _type_of(shown) is dict else shown

    def _row(self, columns: list[Rule | None], cells: Sequence[Any]) -> list[Any]:
        """Return a row, with the columns masked that are sensitive; or what stands beside a name that is."""
        if len(cells) != len(columns):
            return self._list(cells)
        named = self._rules.rule(cells[0]) if len(cells) > 1 and _type_of(cells[0]) is str else None
        return self._cells([columns[0], *(named or column for column in columns[1:])], cells)

    def _cells(self, rules: Sequence[Rule | None], cells: Sequence[Any]) -> list[Any]:
        return [self._cell(rule, cell) for rule, cell in zip(rules, cells, strict=True)]

    def _cell(self, rule: Rule | None, cell: Any) -> Any:
        """Return a cell; of one that is an object, `{"type": "text", "value": "…"}`, the value is masked."""
        if rule is None:
            return self.value(cell)
        label = Label(rule, loose=False)
        if _type_of(cell) is dict and any(_type_of(name) is str and is_value(name, label) for name in cell):
            return self._mapping(list(cell.items()), label)
        return self._under(rule, cell)

    def headers(self, items: Sequence[Any]) -> list[Any]:
        """Return a flat list of names and values, as Node.js has its `rawHeaders`."""
        rows = self._rows([items[at : at + 2] for at in range(0, len(items), 2)])
        return [cell for row in rows for cell in row]


def _is_readable(item: Any, stays: frozenset[str]) -> bool:
    try:
        text = json.dumps(item, default=str, ensure_ascii=False)
    except Exception:  # it contains itself, has names that are no text, or foreign code: __str__
        return False
    return readable_container(text, stays) or ("pieces" in stays and is_pieces(text))


def _is_cells(name: Any, item: Any, count: int) -> bool:
    return _type_of(name) is str and _type_of(item) is list and len(item) == count


def _is_digits(item: Any) -> bool:
    kind = _type_of(item)
    return (kind is str and item.isdigit()) or (kind is int and 0 <= item < _MAX_INTEGER)


def _is_row(item: Any) -> bool:
    kind = _type_of(item)
    return kind in {list, tuple} and 1 < len(item) < 64


def _open(value: Any) -> tuple[list[tuple[Any, Any]] | None, list[Any] | None, Any]:
    """Look into a value, and copy what the application may still change. Raises whatever foreign code raises.

    Args:
        value: Of any kind.

    Returns:
        Its members by name, or its items, or a plain value that says the same.
    """
    if isinstance(value, Enum):
        return None, None, value.value
    members = members_of(value)
    if members is not None:
        return list(members), None, None
    if isinstance(value, _COLLECTIONS):
        return None, list(islice(value, MAX_NODES + 1)), None
    return None, None, _number(value) if isinstance(value, _NUMBERS) else _foreign_text(value)


def _number(value: Any) -> int | float | str:
    if isinstance(value, float):
        number = float.__float__(value)
        if number.is_integer() and _MIN_CARD < number < _MAX_INTEGER and card_number(str(int(number))):
            return MASK
        return number if math.isfinite(number) else str(number)
    integer = int.__int__(value)
    if -_MAX_INTEGER < integer < _MAX_INTEGER:
        return MASK if integer > _MIN_CARD and card_number(str(integer)) else integer
    return f"[CUT: an integer of {integer.bit_length()} bits]"


def _foreign_text(value: Any) -> str:
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, _BYTES):
        return bytes(value[:MAX_CHARACTERS]).decode("utf-8", "replace")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}"[:MAX_FOREIGN_CHARACTERS]
    return str(value)[:MAX_FOREIGN_CHARACTERS]


def _key(key: Any) -> str:
    try:
        return key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
    except Exception:  # foreign code
        return f"[UNREADABLE: {type(key).__name__}]"
