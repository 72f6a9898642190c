"""How much memory values take, well enough for the queue's bound. Runs on the request path: bounded, never raises."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

PAIR_WEIGHT = 120
"""Bytes that a header or a parameter takes beside its characters."""

_MOST_VALUES = 1000
"""So many values of a container are looked at; the rest of it is taken to be like them."""

_SHARED_KEY = 64
"""Up to so many characters a key is taken for one that stands in the code, and so in memory once."""


def size_of(value: object) -> int:
    """Return the bytes that a value takes with all that it holds, estimated; of other people's objects their own."""
    if type(value) is str or type(value) is bytes:
        return sys.getsizeof(value)
    size, _ = _measure(value, _MOST_VALUES)
    return size


def size_of_parameters(parameters: object, path: str) -> int:
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
