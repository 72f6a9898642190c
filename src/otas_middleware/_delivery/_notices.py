"""Log lines about delivery: what happened and what to do, each kind at most once a minute."""

from __future__ import annotations

import logging
import time

logger = logging.getLogger("otas_middleware")

INTERVAL = 60.0
"""Seconds between two lines of one kind."""


class Notices:
    """A rate limit over the kinds of line that one lane writes. Called from its worker threads, outside its lock."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def say(self, kind: str, level: int, message: str, *values: object) -> bool:
        """Write a line unless one of this kind was written within the last minute; return whether it was."""
        now = time.monotonic()
        if now - self._last.get(kind, float("-inf")) < INTERVAL:
            return False
        self._last[kind] = now
        logger.log(level, message, *values)
        return True
