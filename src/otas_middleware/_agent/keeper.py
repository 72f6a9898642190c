"""The agent's session: created at first use, one per process, renewed before it ends, never reused after a fork.

Who holds a token need not wait: a session that is about to end is renewed in the background while the old one still
serves. While UASAM is away, nobody waits for it twice: after a failure the next try comes after a growing pause.
"""

from __future__ import annotations

import logging
import threading
from os import getpid
from time import monotonic, time
from typing import TYPE_CHECKING

from otas_middleware import _guard
from otas_middleware._agent.uasam import SessionError
from otas_middleware._delivery import _threads
from otas_middleware._delivery._pacing import full_jitter

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._session import AgentSession

logger = logging.getLogger("otas_middleware")

EARLY_SHARE = 0.1
EARLY_SECONDS = 3600.0
"""A session is renewed when a tenth of its life is left, or an hour if that is less."""

PATIENCE = 15.0
"""Seconds that UASAM gets to create a session; it checks keys slowly on purpose, one after the other."""

_FLOOR = 1.0
"""Seconds; the shortest pause after a failure."""


class Keeper:
    """Keeps one session for the process that asks.

    Args:
        create: Creates a session, given the one that it follows (or None) and the seconds that it may take; raises
            `SessionError`.
        longest_pause: The longest pause between two tries, in seconds.
        on_new: Told of each new session.
    """

    def __init__(
        self,
        create: Callable[[AgentSession | None, float], AgentSession],
        longest_pause: float,
        on_new: Callable[[AgentSession], object],
    ) -> None:
        self._create = create
        self._longest = longest_pause
        self._on_new = on_new
        self._states: dict[int, _State] = {}
        self._state = self._of_this_process()

    def at_hand(self) -> AgentSession | None:
        """Return the session if there is one that is valid; never blocks. Sees to its renewal in time."""
        state = self._state
        if state.pid != getpid():
            state = self._of_this_process()
        session = state.session
        if session is None or (now := time()) < state.renew_at:
            return session
        self._renew_in_background(state)
        return session if now < state.ends_at else None

    def token_at_hand(self) -> str | None:
        """Return the session's token if there is a session; never blocks."""
        state = self._state
        session = state.session
        if session is not None and time() < state.renew_at and state.pid == getpid():
            return session.token
        return None if (session := self.at_hand()) is None else session.token

    def require(self) -> AgentSession:
        """Return the session, creating one if there is none; blocks.

        Raises:
            SessionError: There is none to be had now.
        """
        state = self._of_this_process()
        with state.lock:
            return self.at_hand() or self._replace(state)

    def attempt(self, patience: float = PATIENCE) -> AgentSession | None:
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
            now = monotonic()
            if session is None and state.not_before <= now < deadline:
                session = self._replace(state, deadline - now)
        except SessionError as error:
            if state.failures == 1:
                logger.warning(
                    "otas: there is no session, so calls go out without a token and are not recorded until there is "
                    "one. %s",
                    error,
                )
        except Exception:  # not even a fault of our own may break the agent's call
            _guard.swallow("agent.session")
        finally:
            state.lock.release()
        return session

    def discard(self, token: str) -> None:
        """Give up a session whose token Brain refused; the next use creates another."""
        state = self._of_this_process()
        with state.lock:
            if state.session is not None and state.session.token == token:
                state.session = None

    @property
    def tokens(self) -> tuple[str, ...]:
        """The last tokens, the latest at the end, those from before a fork included: what must not leak."""
        state = self._state
        return (state if state.pid == getpid() else self._of_this_process()).tokens

    @property
    def last_failure(self) -> str:
        """Why there is no session: the reason of the last failed try; empty after a success."""
        return self._of_this_process().last_failure

    @property
    def retry_in(self) -> float:
        """Seconds until the next try is allowed."""
        return max(0.0, self._of_this_process().not_before - monotonic())

    def _of_this_process(self) -> _State:
        """Return this process's own state; a forked child starts with none of its parent's, not even its lock."""
        pid = getpid()
        state = self._states.get(pid)
        if state is None:
            inherited = self._state.tokens if self._states else ()
            state = self._states.setdefault(pid, _State(pid, inherited))
            self._state = state
            for other in [other for other in self._states if other != pid]:
                del self._states[other]  # process ids come round again
        return state

    def _replace(self, state: _State, patience: float = PATIENCE) -> AgentSession:
        """Create a session in place of the current one. Called under the state's lock."""
        try:
            session = self._create(state.session, patience)
        except SessionError as error:
            state.failures += 1
            state.last_failure = error.reason
            state.not_before = monotonic() + max(_FLOOR, full_jitter(state.failures, self._longest))
            raise
        state.failures = 0
        state.last_failure = ""
        state.tokens = (*state.tokens[-3:], session.token)
        state.renew_at, state.ends_at = _times(session)
        state.session = session
        self._on_new(session)
        return session

    def _renew_in_background(self, state: _State) -> None:
        if state.renewing or monotonic() < state.not_before:
            return
        state.renewing = True
        if not _threads.start(lambda: self._renew(state), "otas-session"):
            state.renewing = False

    def _renew(self, state: _State) -> None:
        try:
            with state.lock:
                if state.session is None or time() >= state.renew_at:
                    self._replace(state)
        except SessionError as error:
            logger.warning("otas: the session could not be renewed; the present one is used while it lasts. %s", error)
        except Exception:
            _guard.swallow("agent.renew")
        finally:
            state.renewing = False


class _State:
    """What belongs to one process."""

    def __init__(self, pid: int, tokens: tuple[str, ...]) -> None:
        self.pid = pid
        self.lock = threading.RLock()
        self.session: AgentSession | None = None
        self.tokens = tokens
        self.renew_at = 0.0
        self.ends_at = 0.0
        self.renewing = False
        self.failures = 0
        self.last_failure = ""
        self.not_before = 0.0


def _times(session: AgentSession) -> tuple[float, float]:
    """Return when a session is to be renewed and when it ends, in Unix seconds."""
    ends_at = session.expires_at
    if ends_at is None:
        return float("inf"), float("inf")
    life = ends_at - (session.issued_at if session.issued_at is not None else time())
    return ends_at - min(EARLY_SECONDS, life * EARLY_SHARE), ends_at
