"""Python values of any kind become plain JSON values, and the secrets in them are masked, in one walk.

Application code may hand over anything as a custom property. Whatever it is becomes something that can be stored,
within bounds of depth, number and size, without running into cycles, and without an exception.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from datetime import date, time
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel

from otas_middleware._event.redact.mask import MASK
from otas_middleware._event.redact.names import LABELS, counter
from otas_middleware._event.redact.shapes import card_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otas_middleware._event.redact.names import NameRules

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
_MAX_COUNT = 10**12
_type_of: Callable[[Any], Any] = type  # to the type checkers, an unknown class is one that may be compared with any
_NUMBERS: tuple[type[Any], ...] = (int, float)
_BYTES: tuple[type[Any], ...] = (bytes, bytearray, memoryview)
_COLLECTIONS: tuple[type[Any], ...] = (list, tuple, set, frozenset, deque)

_VALUES = frozenset(
    (
        "value",
        "values",
        "val",
        "content",
        "contents",
        "data",
        "text",
        "default",
        "input",
    )
)
_PLACE = "loc"
"""Where pydantic's validation errors, which FastAPI sends as its answers, name the member whose `input` they quote."""


class AnyValue:
    """Rules by which every member is sensitive that a label could describe."""

    def sensitive(self, name: str) -> bool:
        """Tell whether this is one of those members."""
        return name.lower() in _VALUES


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
        self._sensitive = rules.sensitive
        self._redact = redact
        self._nodes = max_nodes
        self._characters = max_characters
        self._open: set[int] = set()

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
            opened = _open(value)
        except Exception:  # foreign code: __str__, __iter__, properties
            return f"[UNREADABLE: {_type_of(value).__name__}]"
        if opened.members is not None:
            members = opened.members
            return self._within(value, lambda: self._mapping(members))
        if opened.items is not None:
            items = opened.items
            return self._within(value, lambda: self._list(items))
        return self.value(opened.plain)

    def _within(self, container: object, walk: Callable[[], Any]) -> Any:
        mark = id(container)
        if mark in self._open:
            return CYCLE
        if len(self._open) >= MAX_DEPTH:
            return TOO_DEEP
        self._open.add(mark)
        try:
            return walk()
        finally:
            self._open.discard(mark)

    def _mapping(self, items: Sequence[tuple[Any, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        labelled = any(self._is_label(name, value) for name, value in items)
        for key, item in items:
            name = key if type(key) is str else _key(key)
            if len(result) > MAX_NODES or self._nodes < 0:
                result[TOO_MUCH] = len(items) - len(result)
                break
            hidden = self._sensitive(name) or (labelled and name.lower() in _VALUES)
            if item is None or item == "" or (type(item) is int and abs(item) < _MAX_COUNT and counter(name)):
                hidden = False
            shown = self._text(name)
            result[shown] = MASK if hidden else self.value(item)
        return result

    def _is_label(self, name: Any, value: Any) -> bool:
        kind = _type_of(value)
        if name == _PLACE and issubclass(kind, (list, tuple)):
            return any(type(part) is str and self._sensitive(part) for part in value)
        return name in LABELS and issubclass(kind, str) and self._sensitive(value)

    def _list(self, items: Sequence[Any]) -> list[Any]:
        if items and all(_is_pair(item) for item in items):  # [["authorization", "Bearer …"], …]
            return [
                [self.value(name), MASK] if self._sensitive(name) else [self.value(name), self.value(value)]
                for name, value in items
            ]
        result: list[Any] = []
        for item in items:
            result.append(self.value(item))
            if self._nodes < 0:
                break
        return result


def _is_pair(item: Any) -> bool:
    return type(item) in {list, tuple} and len(item) == 2 and isinstance(item[0], str)


class _Opened(NamedTuple):
    """What is in a value: members by name, items, or a plain value that says the same."""

    members: list[tuple[Any, Any]] | None = None
    items: list[Any] | None = None
    plain: Any = None


def _open(value: Any) -> _Opened:
    """Look into a value; copies, since the application may still change it. Raises whatever foreign code raises."""
    if isinstance(value, Enum):
        return _Opened(plain=value.value)
    members = _members(value)
    if members is not None:
        return _Opened(members)
    if isinstance(value, _COLLECTIONS):
        items: list[Any] = list(islice(value, MAX_NODES + 1))
        return _Opened(items=items)
    return _Opened(plain=_number(value) if isinstance(value, _NUMBERS) else _foreign_text(value))


def _members(value: Any) -> list[tuple[Any, Any]] | None:
    """Return names and values of what has members by name, else None."""
    kind = _type_of(value)
    if issubclass(kind, Mapping):
        return list(value.items())
    if issubclass(kind, tuple) and hasattr(value, "_fields"):
        return list(zip(value._fields, value, strict=False))
    if issubclass(kind, BaseModel):
        return list(value)
    fields: Any = getattr(_type_of(value), "__dataclass_fields__", None)
    return None if fields is None else [(name, getattr(value, name, None)) for name in fields]


def _number(value: Any) -> int | float | str:
    if isinstance(value, float):
        number = float.__float__(value)
        return number if math.isfinite(number) else str(number)
    integer = int.__int__(value)
    if -_MAX_INTEGER < integer < _MAX_INTEGER:
        return MASK if integer > _MAX_COUNT and card_number(str(integer)) else integer
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
