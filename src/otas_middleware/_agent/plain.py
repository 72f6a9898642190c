"""Python values as JSON, for the arguments and results of tools: bounded, without side effects, never failing."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import json
import math
import pathlib
import uuid
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, cast

_MAX_DEPTH = 20
_MAX_ITEMS = 10_000
_AS_TEXT = (float, dt.date, dt.time, dt.timedelta, decimal.Decimal, pathlib.PurePath, uuid.UUID)


def to_json(value: object, limit: int) -> str:
    """Return a value as JSON.

    What JSON does not know stands there as its type's name, such as `"<Connection>"`: `str` and `repr` are code of
    others, and may take long or say too much.

    Args:
        value: Anything.
        limit: About how many characters of text to keep, and at most how many characters to return.
    """
    text = json.dumps(_Plain(limit).of(value, 0), ensure_ascii=False)
    return text[:limit]


class _Plain:
    """Copies a value into what JSON knows, and stops when there is enough of it."""

    def __init__(self, limit: int) -> None:
        self._room = limit
        self._items = _MAX_ITEMS

    def of(self, value: object, depth: int) -> Any:
        self._items -= 1
        if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
            return value
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, _AS_TEXT):
            return self._text(str(value))
        if isinstance(value, bytes | bytearray):
            return f"<{len(value)} bytes>"
        return self._container(value, depth) if depth < _MAX_DEPTH else "…"

    def _container(self, value: object, depth: int) -> Any:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
        dump = getattr(value, "model_dump", None)
        if callable(dump) and hasattr(type(value), "model_fields"):  # pydantic
            value = vars(value)
        if isinstance(value, Mapping):
            return self._mapping(cast("Mapping[object, object]", value), depth)
        if isinstance(value, Sequence | AbstractSet):
            return self._list(cast("Sequence[object]", value), depth)
        return f"<{type(value).__name__}>"

    def _mapping(self, value: Mapping[object, object], depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, item in value.items():
            if self._items <= 0 or self._room <= 0:
                result["…"] = "…"
                break
            name = self._text(key) if isinstance(key, str) else str(self.of(key, _MAX_DEPTH))
            result[name] = self.of(item, depth + 1)
        return result

    def _list(self, value: Sequence[object], depth: int) -> list[Any]:
        result: list[Any] = []
        for item in value:
            if self._items <= 0 or self._room <= 0:
                result.append("…")
                break
            result.append(self.of(item, depth + 1))
        return result

    def _text(self, text: str) -> str:
        kept = text[: max(self._room, 0)]
        self._room -= len(kept) + 1
        return kept
