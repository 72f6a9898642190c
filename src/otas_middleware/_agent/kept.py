"""What one process knows of its session: the session itself, when to renew it, and how getting one has gone so far."""

from __future__ import annotations

import threading
from time import monotonic, time
from typing import TYPE_CHECKING

from otas_middleware._delivery.retry import full_jitter

if TYPE_CHECKING:
    from otas_middleware._capture.session import SessionInfo

EARLY_SHARE = 0.1
EARLY_SECONDS = 3600.0
"""A session is renewed when a tenth of its life is left, or an hour if that is less."""

_SHORTEST_PAUSE = 1.0
"""Seconds after a failure."""

_TOKENS_REMEMBERED = 4


class Kept:
    """Changed under `lock`; `session`, `renew_at`, `ends_at` and `tokens` are read without it.

    Args:
        pid: The process.
        tokens: Those of the process that it was forked from, which must not leak either.
    """

    def __init__(self, pid: int, tokens: tuple[str, ...]) -> None:
        self.pid = pid
        self.lock = threading.RLock()
        self.session: SessionInfo | None = None
        self.tokens = tokens
        """The last ones, the latest at the end."""
        self.renew_at = 0.0
        self.ends_at = 0.0
        """Unix seconds, as `renew_at`."""
        self.under_way = False
        """A thread is getting a session."""
        self.settled = threading.Event()
        """It has come to an end."""
        self.waited_for = True
        """Calls wait for it: no try has failed lately, or been too slow."""
        self.failures = 0
        self.last_failure = ""
        self.missed = False
        """It has been logged that there is no session."""
        self.refusals = 0
        """How many sessions in a row Brain has refused."""
        self._not_before = 0.0

    @property
    def pause(self) -> float:
        """Seconds until the next try is allowed."""
        return max(0.0, self._not_before - monotonic())

    def is_due(self) -> bool:
        """Say whether a session is to be got: there is none, or it is to be renewed."""
        return self.session is None or time() >= self.renew_at

    def still_serves(self) -> bool:
        """Say whether there is a session that has not ended."""
        return self.session is not None and time() < self.ends_at

    def take(self, session: SessionInfo) -> None:
        """Use a session from now on."""
        self.failures = 0
        self.last_failure = ""
        self.waited_for = True
        self.missed = False
        self.tokens = (*self.tokens[1 - _TOKENS_REMEMBERED :], session.token)
        self.renew_at, self.ends_at = _times(session)
        self.session = session

    def note_failure(self, reason: str, longest_pause: float) -> None:
        """Note that there was none to be had, and pause."""
        self.failures += 1
        self.last_failure = reason
        self.waited_for = False
        self._pause_after(self.failures, longest_pause)

    def give_up(self, token: str, longest_pause: float) -> None:
        """Give up the session of a token that Brain refused.

        The next may be got at once; if Brain refuses that one too, after a growing pause: where clocks or signing
        secrets differ, it will refuse all of them, and UASAM must not be made to create one for each call.
        """
        if self.session is None or self.session.token != token:
            return
        self.session = None
        self.refusals += 1
        if self.refusals > 1:
            self._pause_after(self.refusals, longest_pause)

    def _pause_after(self, times: int, longest: float) -> None:
        self._not_before = monotonic() + max(_SHORTEST_PAUSE, full_jitter(times, longest))


def _times(session: SessionInfo) -> tuple[float, float]:
    """Return when a session is to be renewed and when it ends, in Unix seconds."""
    ends_at = session.expires_at
    if ends_at is None:
        return float("inf"), float("inf")
    life = ends_at - (session.issued_at if session.issued_at is not None else time())
    return ends_at - min(EARLY_SECONDS, life * EARLY_SHARE), ends_at
