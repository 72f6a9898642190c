"""The frames of gRPC-web and of Connect's streams: a byte of flags, four bytes of length, a payload."""

from __future__ import annotations

from typing import NamedTuple

_HEAD = 5


class Frame(NamedTuple):
    """One frame."""

    flags: int
    payload: bytes


def last_frame(data: bytes, flag: int, *, whole: bool) -> Frame | None:
    """Return the frame that ends a body, when it carries a flag.

    Args:
        data: The body, or its end.
        flag: The bit that marks the frame.
        whole: The data begins with a frame; else it begins anywhere.
    """
    return _walk(data, flag) if whole else _search(data, flag)


def _walk(data: bytes, flag: int) -> Frame | None:
    position = 0
    while position + _HEAD <= len(data):
        flags, start = data[position], position + _HEAD
        position = start + int.from_bytes(data[position + 1 : start])
        if flags & flag and position <= len(data):
            return Frame(flags, data[start:position])
    return None


def _search(data: bytes, flag: int) -> Frame | None:
    """Find the head whose length leads exactly to the end; the longest such frame holds all shorter ones."""
    for position in range(len(data) - _HEAD + 1):
        flags, start = data[position], position + _HEAD
        if flags in {flag, flag | 1} and start + int.from_bytes(data[position + 1 : start]) == len(data):
            return Frame(flags, data[start:])
    return None
