"""What Brain accepts as an event, and what it stores: from the posted bytes to the values of a row.

Brain is a Django application on PostgreSQL. The rules here are those of the two together, in the order in which they
strike: reading the JSON, the required fields, and then each column's conversion and limits.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, cast

from otas_middleware.localbrain.schema import POSTED_COLUMNS, fits_index

if TYPE_CHECKING:
    from collections.abc import Callable

REQUIRED = ("project_id", "path", "method", "status_code", "latency_ms")

_DEEPEST = 940  # 931 were taken and 950 were not; where between them depends on the server
_LARGEST_INTEGER = 2**31 - 1
_LENGTHS = {"method": 20, "request_content_type": 255, "response_content_type": 255}
_ID_LENGTH = 255
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_TO_JSON = json.JSONEncoder(allow_nan=False, ensure_ascii=False).encode


class InvalidJsonError(Exception):
    """The body is not JSON: `400 invalid_json`."""


class UncaughtError(Exception):
    """A failure that the service does not catch: `500` with an HTML page. The message is its title."""


class UnstorableError(Exception):
    """The database would refuse the row: `500 event_capture_failed`. The message says why, for whoever runs this."""


def read_json(body: bytes) -> Any:
    """Parse a body as Brain does: an empty one is `{}`; UTF-8, -16 and -32 are recognised; NaN and Infinity are taken.

    Raises:
        InvalidJsonError: It is not JSON.
        UncaughtError: Invalid encoding (a compressed body, for one), too deep, or an integer of too many digits.
    """
    if not body:
        return {}
    try:
        value = json.loads(body)
    except json.JSONDecodeError:
        raise InvalidJsonError from None
    except UnicodeDecodeError as error:
        raise UncaughtError(f"UnicodeDecodeError: {error.reason}") from None
    except ValueError:
        raise UncaughtError("ValueError: Exceeds the limit for integer string conversion") from None
    except RecursionError:
        raise UncaughtError("RecursionError: maximum recursion depth exceeded") from None
    # Newer Pythons nest deeper than the one that was measured, hence the limit of our own.
    if body.count(b"[") + body.count(b"{") > _DEEPEST and _is_too_deep(value):
        raise UncaughtError("RecursionError: maximum recursion depth exceeded")
    return value


def missing_fields(body: Any) -> list[str]:
    """Return the required keys that are absent; an array or a text is searched for them, as Python's `in` does it.

    Raises:
        UncaughtError: The body is a number, a boolean or null.
    """
    try:
        return [name for name in REQUIRED if name not in body]
    except TypeError:
        raise UncaughtError(f"TypeError: argument of type '{type(body).__name__}' is not iterable") from None


def event_values(body: Any, raw: bytes) -> tuple[object, ...]:
    """Convert the fields to what the columns from `path` to `metadata` of `EVENT_COLUMNS` hold.

    Args:
        body: The parsed body, with all required keys.
        raw: The posted bytes. They tell cheaply that no text can hold a character that the database refuses.

    Raises:
        UnstorableError: One value cannot be stored, and so the event is lost.
    """
    if not isinstance(body, dict):
        raise UnstorableError("the body is not an object")
    fields = cast("dict[str, Any]", body)
    # U+0000 and lone surrogates get into parsed JSON only by an escape, by invalid UTF-8, or by UTF-16 and UTF-32.
    suspicious = b"\\u" in raw or b"\xed" in raw or b"\x00" in raw
    values = tuple(_CONVERTERS[kind](fields, name, suspicious) for name, kind in POSTED_COLUMNS.items())
    if not fits_index(values[0]):
        raise UnstorableError("path is too long for its index")
    return values


def check_id(name: str, value: str) -> None:
    """Check an id that a token brought.

    Raises:
        UnstorableError: It is too long, or holds a character that the database refuses.
    """
    if len(value) > _ID_LENGTH or _UNSTORABLE.search(value):
        raise UnstorableError(f"{name} has more than {_ID_LENGTH} characters, or holds U+0000 or a lone surrogate")


def json_text(name: str, value: object, *, suspicious: bool = True) -> str:
    """Write a parsed value as a JSON column holds it.

    Args:
        name: What it is, for the error.
        value: The value.
        suspicious: Whether it may hold characters that the database refuses.

    Raises:
        UnstorableError: It holds such a character, in a key or a value, or NaN or infinity.
    """
    if suspicious and any(_UNSTORABLE.search(text) for text in _texts(value)):
        raise UnstorableError(f"{name} holds U+0000 or a lone surrogate")
    try:
        return _TO_JSON(value)
    except (ValueError, RecursionError):
        raise UnstorableError(f"{name} holds NaN or Infinity") from None


def _text(fields: dict[str, Any], name: str, suspicious: bool) -> str | None:  # noqa: FBT001  # a converter's form
    """Anything but text becomes its Python `str`, an object its repr; too long is refused, unless by spaces."""
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        value = str(value)
    if suspicious and _UNSTORABLE.search(value):
        raise UnstorableError(f"{name} holds U+0000 or a lone surrogate")
    length = _LENGTHS.get(name)
    if length is not None and len(value) > length:
        if value[length:].strip(" "):
            raise UnstorableError(f"{name} has more than {length} characters")
        value = value[:length]
    return value


def _required_text(fields: dict[str, Any], name: str, suspicious: bool) -> str:  # noqa: FBT001  # as above
    text = _text(fields, name, suspicious)
    if text is None:
        raise UnstorableError("a required field is null")
    return text


def _integer(fields: dict[str, Any], name: str, _: object) -> int:
    """What Python's `int` takes, within 0 … 2147483647; absent is 0, null is refused."""
    try:
        number = int(fields.get(name, 0))
    except (TypeError, ValueError, OverflowError):
        raise UnstorableError(f"{name} is not an integer") from None
    if not 0 <= number <= _LARGEST_INTEGER:
        raise UnstorableError(f"{name} is not within 0 and {_LARGEST_INTEGER}")
    return number


def _number(fields: dict[str, Any], name: str, _: object) -> float | None:
    """What Python's `float` takes, infinity included; NaN is returned as None, for SQLite has no NaN."""
    try:
        number = float(fields[name])
    except (TypeError, ValueError, OverflowError):
        raise UnstorableError(f"{name} is not a number") from None
    return None if math.isnan(number) else number


def _document(fields: dict[str, Any], name: str, suspicious: bool) -> str | None:  # noqa: FBT001  # as above
    value = fields.get(name)
    return None if value is None else json_text(name, value, suspicious=suspicious)


_CONVERTERS: dict[object, Callable[[dict[str, Any], str, bool], Any]] = {
    str: _required_text,
    str | None: _text,
    int: _integer,
    float: _number,
    Any: _document,
}


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(cast("dict[str, object]", value).values())
    return cast("list[object]", value) if isinstance(value, list) else []


def _texts(value: object) -> list[str]:
    """All texts within a parsed value: values and keys, at any depth."""
    found: list[str] = []
    waiting = [value]
    while waiting:
        item = waiting.pop()
        waiting.extend(_children(item))
        if isinstance(item, str):
            found.append(item)
        elif isinstance(item, dict):
            found.extend(cast("dict[str, object]", item))
    return found


def _is_too_deep(value: object) -> bool:
    level = [value]
    depth = 0
    while level := [child for item in level for child in _children(item) if isinstance(child, (dict, list))]:
        depth += 1
        if depth >= _DEEPEST:
            return True
    return False
