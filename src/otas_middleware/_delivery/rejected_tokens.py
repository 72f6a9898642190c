"""Session tokens that the destination has refused, remembered for a while."""

from __future__ import annotations

import time
from collections import OrderedDict

from otas_middleware._capture.session import fingerprint, read_claims

REMEMBERED_SECONDS = 600.0
YOUNG_SECONDS = 60.0
_MOST = 4096


class BadTokens:
    """A bounded memory of refused tokens, by fingerprint. Called under the exporter's lock."""

    def __init__(self) -> None:
        self._until: OrderedDict[str, float] = OrderedDict()

    def add(self, token: str) -> None:
        """Remember a token as bad from now on."""
        while len(self._until) >= _MOST:
            self._until.popitem(last=False)
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
        del self._until[mark]
        return False


def is_young(token: str) -> bool:
    """Say whether a token was issued within the last minute, by its own claim.

    Brain refuses a token that its own clock has not reached yet; a moment later it is good.
    """
    issued = (read_claims(token) or {}).get("iat")
    return isinstance(issued, int | float) and abs(time.time() - issued) < YOUNG_SECONDS
