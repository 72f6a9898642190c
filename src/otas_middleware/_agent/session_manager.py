"""The agent's session: created at first use, one per process, renewed before it ends, never reused after a fork.

Who holds a token need not wait: a session that is about to end is renewed in the background while the old one still
serves. While UASAM is away or hangs, nobody waits for it twice: calls go out, and it is asked again after growing
pauses, behind them.
"""

from __future__ import annotations

import logging
import threading
from time import time
from typing import TYPE_CHECKING

from otas_middleware import _errors
from otas_middleware._agent.uasam import SessionError
from otas_middleware._delivery.process import start_thread
from otas_middleware._delivery.retry import full_jitter
from otas_middleware._runtime import monotonic, this_process

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._capture.session import SessionInfo


EARLY_SHARE = 0.1
EARLY_SECONDS = 3600.0
"""A session is renewed when a tenth of its life is left, or an hour if that is less."""

_SHORTEST_PAUSE = 1.0
"""Seconds after a failure."""

_TOKENS_REMEMBERED = 4


class SessionState:
    """Changed under `lock`; `session`, `renew_at`, `ends_at` and `tokens` are read without it.

    Args:
        process: The process, as `this_process` tells it.
        tokens: Those of the process that it was forked from, which must not leak either.
    """

    def __init__(self, process: tuple[int, int], tokens: tuple[str, ...]) -> None:
        self.process = process
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
        self.waited_for = True
        self.missed = False
        self.tokens = (*self.tokens[1 - _TOKENS_REMEMBERED :], session.token)
        self.renew_at, self.ends_at = _times(session)
        self.session = session

    def note_failure(self, longest_pause: float) -> None:
        """Note that there was none to be had, and pause."""
        self.failures += 1
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


logger = logging.getLogger("otas_middleware")

PATIENCE = 15.0
"""Seconds that UASAM gets to create a session; it checks keys slowly on purpose, one after the other."""

CALL_PATIENCE = 5.0
"""Seconds that calls wait for the first session: as long as HTTP clients wait for a connection by default."""

MOMENT = 0.25
"""Seconds that a call waits for a session where getting one has failed before, or was too slow."""


class SessionManager:
    """Keeps one session for the process that asks.

    Args:
        create: Creates a session, given the one that it follows (or None) and the seconds that it may take; raises
            `SessionError`.
        longest_pause: The longest pause between two tries, in seconds.
        on_new: Told of each new session.
    """

    def __init__(
        self,
        create: Callable[[SessionInfo | None, float], SessionInfo],
        longest_pause: float,
        on_new: Callable[[SessionInfo], object],
    ) -> None:
        self._create = create
        self._longest = longest_pause
        self._on_new = on_new
        self._processes: dict[tuple[int, int], SessionState] = {}
        self._state = self._of_this_process()

    def at_hand(self) -> SessionInfo | None:
        """Return the session if there is one that is valid; never blocks. Sees to its renewal in time."""
        state = self._state
        if state.process != this_process():
            state = self._of_this_process()
        session = state.session
        if session is None or (now := time()) < state.renew_at:
            return session
        self._begin(state)
        return session if now < state.ends_at else None

    def token_at_hand(self) -> str | None:
        """Return the session's token if there is a session; never blocks."""
        state = self._state
        session = state.session
        if session is not None and time() < state.renew_at and state.process == this_process():
            return session.token
        return None if (session := self.at_hand()) is None else session.token

    def for_call(self) -> SessionInfo | None:
        """Return the session for a call that is about to go out, or None rather than a long wait; never raises.

        Calls wait for the first session as long as for a connection. Where that was too short, or there was none to be
        had, later ones wait for a moment only, and only those of them that begin another try.
        """
        session = self.at_hand()
        if session is not None:
            return session
        state = self._of_this_process()
        begun = self._begin(state)
        patience = CALL_PATIENCE if state.waited_for else MOMENT
        if not begun and not state.under_way:
            return None if state.pause else self.attempt(patience)  # no thread can be started here
        if (begun or state.waited_for) and not state.settled.wait(patience):
            state.waited_for = False
        return self.at_hand()

    def require(self) -> SessionInfo:
        """Return the session, creating one if there is none; blocks.

        Raises:
            SessionError: There is none to be had now.
        """
        state = self._of_this_process()
        with state.lock:
            return self.at_hand() or self._replace(state, PATIENCE)

    def attempt(self, patience: float = PATIENCE) -> SessionInfo | None:
        """Return the session, creating one if there is none; None when that failed now or lately. Never raises.

        Args:
            patience: The longest wait, in seconds.
        """
        session = self.at_hand()
        if session is not None:
            return session
        state = self._of_this_process()
        deadline = monotonic() + patience
        if not state.lock.acquire(timeout=patience):
            return None
        try:
            session = self.at_hand()
            left = deadline - monotonic()
            if session is None and left > 0:
                session = self._try(state, left)
        finally:
            state.lock.release()
        return session

    def discard(self, token: str) -> None:
        """Give up a session whose token Brain refused; the next use creates another."""
        state = self._of_this_process()
        with state.lock:
            state.give_up(token, self._longest)

    def accepted(self) -> None:
        """Take note that Brain takes the session's events."""
        self._state.refusals = 0

    def change(self, other: SessionState | None) -> SessionState:
        """Go on with another state, or begin anew without a session; return the one that there was."""
        before = self._of_this_process()
        self._state = other or SessionState(before.process, before.tokens)
        self._processes = {self._state.process: self._state}
        return before

    @property
    def tokens(self) -> tuple[str, ...]:
        """The last tokens, the latest at the end, those from before a fork included: what must not leak."""
        state = self._state
        return (state if state.process == this_process() else self._of_this_process()).tokens

    @property
    def retry_in(self) -> float:
        """Seconds until the next try is allowed."""
        return self._of_this_process().pause

    def _of_this_process(self) -> SessionState:
        """Return this process's own; a forked child starts with nothing of its parent's, not even its lock."""
        process = this_process()
        state = self._processes.get(process)
        if state is None:
            inherited = self._state.tokens if self._processes else ()
            state = self._processes.setdefault(process, SessionState(process, inherited))
            self._state = state
            for other in [other for other in self._processes if other != process]:
                del self._processes[other]  # process ids come round again
        return state

    def _begin(self, state: SessionState) -> bool:
        """Have a thread get a session; return whether one was started for it."""
        if state.under_way or state.pause:
            return False
        state.under_way = True
        state.settled.clear()
        if start_thread(lambda: self._get(state), "otas-session"):
            return True
        state.under_way = False
        state.settled.set()
        return False

    def _get(self, state: SessionState) -> None:
        try:
            with state.lock:
                if state.is_due():
                    self._try(state, PATIENCE)
        finally:
            state.under_way = False
            state.settled.set()

    def _try(self, state: SessionState, patience: float) -> SessionInfo | None:
        """Create a session unless it is too early for another try; log what is worth it. Called under the lock."""
        if state.pause:
            return None
        try:
            return self._replace(state, patience)
        except SessionError as error:
            if state.still_serves():
                logger.warning(
                    "otas: the session could not be renewed; the present one is used while it lasts. %s", error
                )
            elif not state.missed:
                state.missed = True
                logger.warning(
                    "otas: there is no session, so calls go out without a token and are not recorded until there is "
                    "one. %s",
                    error,
                )
        except Exception:  # not even a fault of our own may break the agent's call
            _errors.report_internal_error("agent.session")
        return None

    def _replace(self, state: SessionState, patience: float) -> SessionInfo:
        """Create a session in place of the current one. Called under the lock."""
        try:
            session = self._create(state.session, patience)
        except Exception:
            state.note_failure(self._longest)
            raise
        state.take(session)
        self._on_new(session)
        return session
