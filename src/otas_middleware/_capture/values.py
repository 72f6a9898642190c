"""What is taken of an application's objects while it runs: its values, its exceptions, and how much memory they take.

The event is made later, in another thread. What may change until then is copied; what only its own code can read, such
as a row of a database, is read at once, in the thread that gave it. An exception becomes text, so that no frame and no
local variable is kept alive. Sizes are for the queue's bound: estimated on the request path, and never raising.
"""

from __future__ import annotations

import sys
import traceback
from collections import deque
from collections.abc import Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

_PLAIN = frozenset((str, int, float, bool, type(None)))
_UNCHANGING = (str, int, float, bytes, date, time, timedelta, Decimal, UUID, Enum)
_COLLECTIONS: tuple[type[Any], ...] = (list, tuple, set, frozenset, deque)
_MOST_VALUES = 25_000
"""More than an event holds, so that there it is said that some were left out."""
_MOST_BYTES = 262_144
_MOST_CHARACTERS = 8_192
_DEEPEST = 100
"""What is nested deeper is left out of the event."""
_type_of: Callable[[Any], Any] = type  # to the type checkers, an unknown class is one that may be compared with any


def snapshot(values: Mapping[str, object]) -> dict[str, object]:
    """Return values by name that do not change any more, as far as an event holds them. Raises nothing."""
    copied = dict(values)
    for name, value in values.items():
        if type(value) not in _PLAIN:
            copied[name] = _Copy().of(value, 0)
    return copied


class _Copy:
    """Copies one value, and stops when there is enough of it; what holds itself does so in the copy too."""

    def __init__(self) -> None:
        self._left = _MOST_VALUES
        self._made: dict[int, tuple[Any, Any]] = {}
        """The copies by the identity of what was copied, which is kept so that no other gets its identity."""

    def of(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if type(value) in _PLAIN or depth > _DEEPEST:
            return value
        try:
            return self._copied(value, depth + 1)
        except Exception:  # code of the application's own
            return f"[UNREADABLE: {type(value).__name__}]"

    def _copied(self, value: Any, depth: int) -> Any:
        kind = _type_of(value)
        if issubclass(kind, _UNCHANGING):
            return value
        if id(value) in self._made:
            return self._made[id(value)][1]
        members = members_of(value)
        if members is not None:
            named: dict[Any, Any] = {}
            self._made[id(value)] = value, named
            for name, item in list(islice(members, max(self._left, 0))):
                named[name if type(name) in _PLAIN else str(name)] = self.of(item, depth)
            return named
        if issubclass(kind, _COLLECTIONS):
            items: list[Any] = []
            self._made[id(value)] = value, items
            some: list[Any] = list(islice(value, max(self._left, 0)))
            items.extend(self.of(item, depth) for item in some)
            return items
        if issubclass(kind, bytearray | memoryview):
            return bytes(value[:_MOST_BYTES])
        text = f"{kind.__name__}: {value}" if issubclass(kind, BaseException) else str(value)
        return text[:_MOST_CHARACTERS]


def members_of(value: Any) -> Iterable[tuple[Any, Any]] | None:
    """Return names and values of what has members by name, else None."""
    found: Iterable[tuple[Any, Any]] | None = None
    if issubclass(_type_of(value), Mapping):
        found = value.items()
    elif issubclass(_type_of(value), tuple) and hasattr(_type_of(value), "_fields"):
        found = zip(value._fields, value, strict=False)
    elif hasattr(_type_of(value), "model_fields"):  # pydantic
        found = value
    else:
        fields: Any = getattr(_type_of(value), "__dataclass_fields__", None)
        if fields is not None:
            found = [(name, getattr(value, name, None)) for name in fields]
    return found


_MAX_MESSAGE_CHARS = 8192
_MAX_TRACEBACK_FRAMES = 50
_TOO_LATE = (
    "Caught handled exception, but response already started.",  # Starlette's RuntimeError
    "Exception caught after response started",  # Litestar's LitestarException
)
"""Messages of exceptions that say of another one only that it came too late to be answered."""


class CapturedException(NamedTuple):
    """What is kept of an exception; the traceback only where it was asked for."""

    type: str
    message: str
    traceback: str | None


def describe_exception(error: BaseException, *, with_traceback: bool) -> CapturedException:
    """Turn an exception into text: its type's name, message (at most 8,192 characters) and, if asked, traceback."""
    error = innermost(error)
    message = _message_of(error)
    text = None
    if with_traceback:
        text = "".join(traceback.format_exception(error, limit=-_MAX_TRACEBACK_FRAMES))
    return CapturedException(type(error).__qualname__, message, text)


def _message_of(error: BaseException) -> str:
    try:
        return str(error)[:_MAX_MESSAGE_CHARS]
    except Exception:  # its __str__ is foreign code
        return "(its message cannot be read)"


def innermost(error: BaseException) -> BaseException:
    """Take off what was put around the one exception that it is about: by task groups, and by frameworks."""
    while True:
        if isinstance(error, BaseExceptionGroup):
            inner = cast("BaseExceptionGroup[BaseException]", error).exceptions
            if len(inner) != 1:
                return cast("BaseException", error)
            error = inner[0]
        elif error.__cause__ is not None and _message_of(error) in _TOO_LATE:
            error = error.__cause__
        else:
            return error


def is_loss_of_client(error: BaseException) -> bool:
    """Say whether an exception means, of a client that is known to have gone, only that it could not be served.

    Such are a cancellation or another end from outside, the `OSError` of the server's `send`, what Starlette makes of
    it, and groups that hold nothing else.
    """
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return all(is_loss_of_client(inner) for inner in group.exceptions)
    if not isinstance(error, Exception) or isinstance(error, OSError):
        return True
    starlette = sys.modules.get("starlette.requests")
    return starlette is not None and isinstance(error, starlette.ClientDisconnect)


PAIR_WEIGHT = 120
"""Bytes that a header or a parameter takes beside its characters."""

_MOST_MEASURED = 1000
"""So many values of a container are looked at; the rest of it is taken to be like them."""

_SHARED_KEY = 64
"""Up to so many characters a key is taken for one that stands in the code, and so in memory once."""


def size_of(value: object) -> int:
    """Return the bytes that a value takes with all that it holds, estimated; of other people's objects their own."""
    if type(value) is str or type(value) is bytes:
        return sys.getsizeof(value)
    size, _ = _measure(value, _MOST_MEASURED)
    return size


def size_of_params(parameters: object, path: str) -> int:
    """Return the bytes of a route's parameters, estimated: frameworks make each of a part of the path.

    Args:
        parameters: Names to values.
        path: The path that they stand in.
    """
    if type(parameters) is dict:
        return PAIR_WEIGHT * len(cast("dict[object, object]", parameters)) + len(path)
    return size_of(parameters)


def _measure(value: object, left: int) -> tuple[int, int]:
    """Return the bytes of a value, and how many more values may be looked at."""
    size = _own_size(value)
    left -= 1
    parts: Iterable[object]
    if isinstance(value, dict):
        mapping = cast("dict[object, object]", value)
        count, parts = len(mapping), mapping.values()
        size += sum(len(key) for key in list(mapping) if isinstance(key, str) and len(key) > _SHARED_KEY)
    elif isinstance(value, list | tuple | set | frozenset):
        parts = cast("Collection[object]", value)
        count = len(cast("Collection[object]", value))
    else:
        return size, left
    seen = inner = 0
    try:
        for part in parts:
            if left <= 0:
                break
            more, left = _measure(part, left)
            inner += more
            seen += 1
    except (RuntimeError, RecursionError):  # somebody changes it meanwhile, or it holds itself
        left = 0
    return size + (inner * count // seen if seen else 0), left


def _own_size(value: object) -> int:
    try:
        return sys.getsizeof(value)
    except Exception:  # a __sizeof__ of the application's own
        return 64
