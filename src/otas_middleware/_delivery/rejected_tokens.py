"""Session tokens that the destination has refused, remembered for a while."""

from __future__ import annotations

import time

from otas_middleware._capture.session import fingerprint

REMEMBERED_SECONDS = 600.0
_MOST = 4096


class RejectedTokens:
    """A bounded memory of refused tokens, by fingerprint. Thread-safe: each step is one operation of a dictionary."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def add(self, token: str) -> None:
        """Remember a token as bad from now on."""
        while len(self._until) >= _MOST:
            self._until.pop(next(iter(self._until)), None)
        self._until[fingerprint(token)] = time.monotonic() + REMEMBERED_SECONDS

    def __contains__(self, token: str) -> bool:
        if not self._until:
            return False
        mark = fingerprint(token)
        until = self._until.get(mark)
        if until is None:
            return False
        if time.monotonic() < until:
            return True
        self._until.pop(mark, None)
        return False
