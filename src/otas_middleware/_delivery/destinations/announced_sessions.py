"""Which sessions have been announced, remembered beyond one process: a small table in the spool's directory."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import sqlite3
import time
from typing import TYPE_CHECKING

from otas_middleware._delivery.disk_queue.file import SpoolError, open_private, prepare_directory, transaction
from otas_middleware._errors import log
from otas_middleware._runtime import monotonic

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import TypeVar

    T = TypeVar("T")


CLAIM_SECONDS = 30.0
"""For so long a process may take to announce a session; then another one may."""

KEPT_SECONDS = 40 * 86_400.0
"""A session token lives 30 days; older sessions are forgotten."""

_POLL = 0.05

_OURS: bool | None = True
"""Who cannot know announces."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS announced (session TEXT PRIMARY KEY, at REAL NOT NULL, confirmed INTEGER NOT NULL)
    WITHOUT ROWID
"""


class AnnouncedSessions:
    """The announced sessions of one account.

    The file is opened for each use, which is once per session: nothing is carried over a fork. When it cannot be used,
    each process announces for itself.

    Args:
        directory: The spool's directory.
        account: What tells this account from others.
    """

    def __init__(self, directory: Path, account: str) -> None:
        mark = hashlib.sha256(account.encode()).hexdigest()[:12]
        self._path = directory / f"otas-agnost-sessions-{mark}.sqlite3"
        self._warned = False

    def claim(self, session: str) -> bool:
        """Say whether the caller is to announce the session; waits while another process does.

        Args:
            session: The session's UUID.
        """
        deadline = monotonic() + CLAIM_SECONDS
        while True:
            ours = self._with(lambda book: _claimed(book, session), otherwise=_OURS)
            if ours is not None:
                return ours
            if monotonic() >= deadline:
                return True
            time.sleep(_POLL)

    def confirm(self, session: str) -> None:
        """Note that the session has been announced."""

        def note(book: sqlite3.Connection) -> None:
            book.execute("INSERT OR REPLACE INTO announced VALUES (?, ?, 1)", (session, time.time()))
            book.execute("DELETE FROM announced WHERE at < ?", (time.time() - KEPT_SECONDS,))

        self._with(note, otherwise=None)

    def release(self, session: str) -> None:
        """Note that the announcement failed."""

        def forget(book: sqlite3.Connection) -> None:
            book.execute("DELETE FROM announced WHERE session = ? AND NOT confirmed", (session,))

        self._with(forget, otherwise=None)

    def _with(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """Do something with the table in a transaction; return `otherwise` when it cannot be used."""
        try:
            prepare_directory(self._path.parent)
            with contextlib.closing(open_private(self._path)) as book:
                book.execute(_SCHEMA)
                with transaction(book):
                    return work(book)
        except (SpoolError, OSError, sqlite3.Error) as error:
            if not self._warned:
                self._warned = True
                log(
                    logging.WARNING,
                    "otas: %s cannot be used (%s); sessions may be announced to Agnost more than once.",
                    self._path,
                    type(error).__name__,
                )
            return otherwise


def _claimed(book: sqlite3.Connection, session: str) -> bool | None:
    """Return whether the caller is to announce a session; None while another process may be at it."""
    found = book.execute("SELECT at, confirmed FROM announced WHERE session = ?", (session,)).fetchone()
    if found is not None and found[1]:
        return False
    now = time.time()
    if found is not None and now - CLAIM_SECONDS < found[0] <= now + 1:
        return None
    book.execute("INSERT OR REPLACE INTO announced VALUES (?, ?, 0)", (session, now))
    return True
