"""What stands where a secret stood."""

from __future__ import annotations

import hashlib

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
