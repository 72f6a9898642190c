"""The agent's session: created at first use, one per process, renewed before it ends, never reused after a fork.

Who holds a token need not wait: a session that is about to end is renewed in the background while the old one still
serves. While UASAM is away or hangs, nobody waits for it twice: calls go out, and it is asked again after growing
pauses, behind them.
"""

from __future__ import annotations

import logging
from os import getpid
from time import monotonic, time
from typing import TYPE_CHECKING

from otas_middleware import _internal_errors
from otas_middleware._agent.kept import Kept
from otas_middleware._agent.uasam import SessionError
from otas_middleware._delivery.process import start_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._capture.session import SessionInfo

logger = logging.getLogger("otas_middleware")

PATIENCE = 15.0
"""Seconds that UASAM gets to create a session; it checks keys slowly on purpose, one after the other."""

CALL_PATIENCE = 5.0
"""Seconds that calls wait for the first session: as long as HTTP clients wait for a connection by default."""

MOMENT = 0.25
"""Seconds that a call waits for a session where getting one has failed before, or was too slow."""


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
        create: Callable[[SessionInfo | None, float], SessionInfo],
        longest_pause: float,
        on_new: Callable[[SessionInfo], object],
    ) -> None:
        self._create = create
        self._longest = longest_pause
        self._on_new = on_new
        self._processes: dict[int, Kept] = {}
        self._kept = self._of_this_process()

    def at_hand(self) -> SessionInfo | None:
        """Return the session if there is one that is valid; never blocks. Sees to its renewal in time."""
        kept = self._kept
        if kept.pid != getpid():
            kept = self._of_this_process()
        session = kept.session
        if session is None or (now := time()) < kept.renew_at:
            return session
        self._begin(kept)
        return session if now < kept.ends_at else None

    def token_at_hand(self) -> str | None:
        """Return the session's token if there is a session; never blocks."""
        kept = self._kept
        session = kept.session
        if session is not None and time() < kept.renew_at and kept.pid == getpid():
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
        kept = self._of_this_process()
        begun = self._begin(kept)
        patience = CALL_PATIENCE if kept.waited_for else MOMENT
        if not begun and not kept.under_way:
            return None if kept.pause else self.attempt(patience)  # no thread can be started here
        if (begun or kept.waited_for) and not kept.settled.wait(patience):
            kept.waited_for = False
        return self.at_hand()

    def require(self) -> SessionInfo:
        """Return the session, creating one if there is none; blocks.

        Raises:
            SessionError: There is none to be had now.
        """
        kept = self._of_this_process()
        with kept.lock:
            return self.at_hand() or self._replace(kept, PATIENCE)

    def attempt(self, patience: float = PATIENCE) -> SessionInfo | None:
        """Return the session, creating one if there is none; None when that failed now or lately. Never raises.

        Args:
            patience: The longest wait, in seconds.
        """
        session = self.at_hand()
        if session is not None:
            return session
        kept = self._of_this_process()
        deadline = monotonic() + patience
        if not kept.lock.acquire(timeout=patience):
            return None
        try:
            session = self.at_hand()
            left = deadline - monotonic()
            if session is None and left > 0:
                session = self._try(kept, left)
        finally:
            kept.lock.release()
        return session

    def discard(self, token: str) -> None:
        """Give up a session whose token Brain refused; the next use creates another."""
        kept = self._of_this_process()
        with kept.lock:
            kept.give_up(token, self._longest)

    def accepted(self) -> None:
        """Take note that Brain takes the session's events."""
        self._kept.refusals = 0

    def lay_aside(self) -> Kept:
        """Begin anew, without a session; return what there was, for `take_up`."""
        kept = self._of_this_process()
        self.take_up(Kept(kept.pid, kept.tokens))
        return kept

    def take_up(self, kept: Kept) -> None:
        """Go on with what was laid aside."""
        self._processes = {kept.pid: kept}
        self._kept = kept

    @property
    def tokens(self) -> tuple[str, ...]:
        """The last tokens, the latest at the end, those from before a fork included: what must not leak."""
        kept = self._kept
        return (kept if kept.pid == getpid() else self._of_this_process()).tokens

    @property
    def last_failure(self) -> str:
        """Why there is no session: the reason of the last failed try; empty after a success."""
        return self._of_this_process().last_failure

    @property
    def retry_in(self) -> float:
        """Seconds until the next try is allowed."""
        return self._of_this_process().pause

    def _of_this_process(self) -> Kept:
        """Return this process's own; a forked child starts with nothing of its parent's, not even its lock."""
        pid = getpid()
        kept = self._processes.get(pid)
        if kept is None:
            inherited = self._kept.tokens if self._processes else ()
            kept = self._processes.setdefault(pid, Kept(pid, inherited))
            self._kept = kept
            for other in [other for other in self._processes if other != pid]:
                del self._processes[other]  # process ids come round again
        return kept

    def _begin(self, kept: Kept) -> bool:
        """Have a thread get a session; return whether one was started for it."""
        if kept.under_way or kept.pause:
            return False
        kept.under_way = True
        kept.settled.clear()
        if start_thread(lambda: self._get(kept), "otas-session"):
            return True
        kept.under_way = False
        kept.settled.set()
        return False

    def _get(self, kept: Kept) -> None:
        try:
            with kept.lock:
                if kept.is_due():
                    self._try(kept, PATIENCE)
        finally:
            kept.under_way = False
            kept.settled.set()

    def _try(self, kept: Kept, patience: float) -> SessionInfo | None:
        """Create a session unless it is too early for another try; log what is worth it. Called under the lock."""
        if kept.pause:
            return None
        try:
            return self._replace(kept, patience)
        except SessionError as error:
            if kept.still_serves():
                logger.warning(
                    "otas: the session could not be renewed; the present one is used while it lasts. %s", error
                )
            elif not kept.missed:
                kept.missed = True
                logger.warning(
                    "otas: there is no session, so calls go out without a token and are not recorded until there is "
                    "one. %s",
                    error,
                )
        except Exception:  # not even a fault of our own may break the agent's call
            _internal_errors.report_internal_error("agent.session")
        return None

    def _replace(self, kept: Kept, patience: float) -> SessionInfo:
        """Create a session in place of the current one. Called under the lock."""
        try:
            session = self._create(kept.session, patience)
        except SessionError as error:
            kept.note_failure(error.reason, self._longest)
            raise
        kept.take(session)
        self._on_new(session)
        return session
