"""What stands where a secret stood, and how it is put there."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import re
    from collections.abc import Iterable

MASK = "[REDACTED]"

UNREADABLE = "[REDACTED: could not be looked through]"
"""Stands where redaction itself failed: the whole field is dropped, never the mask."""

_FINGERPRINT_DIGITS = 16


def mask_of(value: str) -> str:
    """Return the mask of an id that ties calls together: equal values have equal masks, and none tells its value."""
    if value.startswith(MASK[:-1]):
        return value
    return f"{MASK[:-1]} {hashlib.sha256(value.encode('utf-8', 'replace')).hexdigest()[:_FINGERPRINT_DIGITS]}]"


def most(text: str) -> int:
    """Return how many secrets of one kind are masked one by one in a text: one in 128 characters, and 512 more.

    Nobody writes more of them. A text that holds more was made to cost time, and is masked as a whole from there on.
    """
    return 512 + len(text) // 128


def replaced(text: str, found: Iterable[tuple[int, int, str]]) -> str:
    """Return a text with other words in some places.

    Args:
        text: The text.
        found: Beginning, end and the other words, in order; what overlaps belongs to the place before it.
    """
    pieces: list[str] = []
    done = 0
    for start, end, shown in found:
        if start >= done:
            pieces += text[done:start], shown
        done = max(done, end)
    return "".join((*pieces, text[done:])) if pieces else text


def with_masked(match: re.Match[str], group: str = "values", shown: str = MASK) -> str:
    """Return what a pattern found, with one of its groups masked, or written otherwise."""
    start, end = match.span(group)
    return match[0][: start - match.start()] + shown + match[0][end - match.start() :]
