"""Events on disk: a queue in SQLite that the processes of one host share.

Each event is handed out under a lease to one process at a time, in the order of arrival, and is deleted when that
process acknowledges it. The lease of a process that died runs out, or ends at once where the death can be seen. What
is written has been redacted before.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from otas_middleware._delivery.disk_queue import file as _spool_file
from otas_middleware._delivery.disk_queue.file import SpoolError, transaction
from otas_middleware._delivery.disk_queue.lease import is_gone, new_owner
from otas_middleware._delivery.token_cipher import UnsealError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import TypeVar

    from otas_middleware._delivery.token_cipher import TokenCipher

    T = TypeVar("T")

LEASE = 120.0
"""Seconds for which an event is one process's own; renewed while that process holds it."""

_UNREADABLE_LEASE = 3600.0
"""Seconds for which an event whose token cannot be decrypted is left alone."""

_EVICT = 64
"""How many events one step of making room deletes."""

_PASSING = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL})
"""Errors that leave the connection as good as it was."""

_COLUMNS = "body, token, sealed, session_id, agent_id, source, failures, possibly_stored"


@dataclass(frozen=True, slots=True)
class Record:
    """One event as it lies in the spool."""

    body: bytes = field(repr=False)
    token: str = field(repr=False)
    session_id: str
    agent_id: str
    source: str
    failures: int = 0
    possibly_stored: bool = False


class Held(NamedTuple):
    """An event that this process holds, as it goes back."""

    row: int
    failures: int
    possibly_stored: bool


class Spool:
    """One destination's events on disk.

    All methods may be called from any thread, and all raise `SpoolError` when the file cannot be used now.

    Args:
        path: The database file; it and its directory are made at first use.
        max_bytes: How large its content may grow; beyond it the oldest free events are deleted.
        cipher: Encrypts the tokens.
    """

    def __init__(self, path: Path, max_bytes: int, cipher: TokenCipher | None) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._cipher = cipher
        self._owner = new_owner()
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self.unreadable = 0
        """How many events were found whose token was encrypted with a key that is not ours."""
        self.lock = threading.Lock()

    def write(self, records: Sequence[Record], *, leased: bool = False) -> tuple[list[int], int]:
        """Store events in one transaction.

        Args:
            records: The events, oldest first.
            leased: Keep them for this process; otherwise they are anybody's at once.

        Returns:
            The rows, and how many old events had to be deleted to make room.
        """
        until = time.time() + LEASE if leased else 0.0
        values = [(*self._encode(record), self._owner if leased else "", until) for record in records]

        def insert(connection: sqlite3.Connection) -> tuple[list[int], int]:
            statement = f"INSERT INTO event ({_COLUMNS}, lease_owner, lease_until) VALUES (?,?,?,?,?,?,?,?,?,?)"  # noqa: S608
            rows = [connection.execute(statement, row).lastrowid or 0 for row in values]
            return rows, self._make_room(connection, rows[0] if rows else 0)

        return self._run(insert)

    def claim(self, limit: int) -> list[tuple[int, Record]]:
        """Lease the oldest free events to this process, at most `limit`, oldest first."""
        now = time.time()

        def lease(connection: sqlite3.Connection) -> list[tuple[int, Record]]:
            _end_leases_of_the_dead(connection, now)
            # A lease that reaches beyond any that could have been given is a clock that was set back.
            found = connection.execute(
                f"SELECT id, lease_owner, {_COLUMNS} FROM event "  # noqa: S608
                "WHERE lease_until <= ? OR lease_until > ? ORDER BY id LIMIT ?",
                (now, now + _UNREADABLE_LEASE + LEASE, limit),
            ).fetchall()
            claimed: list[tuple[int, Record]] = []
            for row, holder, *columns in found:
                record = self._decode(columns)
                if holder and record is not None:  # it died with this event in hand, and may have sent it
                    record = replace(record, possibly_stored=True)
                owner, until = (self._owner, now + LEASE) if record is not None else ("", now + _UNREADABLE_LEASE)
                connection.execute(
                    "UPDATE event SET lease_owner = ?, lease_until = ? WHERE id = ?", (owner, until, row)
                )
                if record is None:
                    self.unreadable += 1
                else:
                    claimed.append((row, record))
            return claimed

        # Without the write lock: an empty spool is looked at every few seconds by each process.
        if not self._run(lambda connection: connection.execute("SELECT 1 FROM event LIMIT 1").fetchone(), write=False):
            return []
        return self._run(lease)

    def acknowledge(self, rows: Sequence[int]) -> int:
        """Delete events that this process holds; return how many it still held."""

        def delete(connection: sqlite3.Connection) -> int:
            statement = "DELETE FROM event WHERE id = ? AND lease_owner = ?"
            held = sum(connection.execute(statement, (row, self._owner)).rowcount for row in rows)
            if connection.execute("SELECT 1 FROM event LIMIT 1").fetchone() is None:
                connection.execute("PRAGMA incremental_vacuum")
            return held

        return self._run(delete)

    def release(self, held: Sequence[Held]) -> None:
        """Give leased events back to all processes, with what has been learnt of them meanwhile."""

        def free(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "UPDATE event SET failures = ?, possibly_stored = ?, lease_owner = '', lease_until = 0 "
                "WHERE id = ? AND lease_owner = ?",
                [(event.failures, event.possibly_stored, event.row, self._owner) for event in held],
            )

        self._run(free)

    def renew(self) -> None:
        """Extend the leases of all events that this process holds."""

        def extend(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE event SET lease_until = ? WHERE lease_owner = ? AND lease_until < ?",
                (time.time() + LEASE, self._owner, time.time() + LEASE),
            )

        self._run(extend)

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _make_room(self, connection: sqlite3.Connection, before: int) -> int:
        """Delete the oldest free events until the content fits; return how many."""
        deleted = 0
        while self._used(connection) > self._max_bytes:
            found = connection.execute(
                "DELETE FROM event WHERE id IN "
                "(SELECT id FROM event WHERE lease_until <= ? AND id < ? ORDER BY id LIMIT ?)",
                (time.time(), before, _EVICT),
            ).rowcount
            if not found:
                break
            deleted += found
        if self._used(connection) > self._max_bytes * 1.25 + 1_048_576:
            raise SpoolError("it is full of events that are being delivered; raise OTAS_SPOOL_MAX_BYTES")
        return deleted

    @staticmethod
    def _used(connection: sqlite3.Connection) -> int:
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        used: int = (pages - free) * size
        return used

    def _encode(self, record: Record) -> tuple[object, ...]:
        token = record.token.encode() if self._cipher is None else self._cipher.cipher(record.token)
        return (
            record.body,
            token,
            self._cipher is not None,
            record.session_id,
            record.agent_id,
            record.source,
            record.failures,
            record.possibly_stored,
        )

    def _decode(self, columns: Sequence[object]) -> Record | None:
        """Return the record, or None when its token was encrypted with a key that is not ours."""
        body, token, sealed, session_id, agent_id, source, failures, possibly_stored = columns
        if not isinstance(body, bytes) or not isinstance(token, bytes):
            return None
        if sealed:
            if self._cipher is None:
                return None
            try:
                text = self._cipher.unseal(token)
            except UnsealError:
                return None
        else:
            text = token.decode()
        return Record(
            body, text, str(session_id), str(agent_id), str(source), int(str(failures)), bool(possibly_stored)
        )

    def _run(self, work: Callable[[sqlite3.Connection], T], *, write: bool = True) -> T:
        with self.lock:
            try:
                connection = self._connect()
                if not write:
                    return work(connection)
                with transaction(connection):
                    return work(connection)
            except sqlite3.DatabaseError as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _PASSING:
                    self.close()  # a new connection finds out what can still be used
                if _spool_file.is_corrupt(error):
                    _spool_file.set_aside(self._path, "corrupt")
                raise SpoolError(_explain(error)) from None
            except OSError as error:
                raise SpoolError(f"the system says: {error.strerror}") from None

    def _connect(self) -> sqlite3.Connection:
        if self._connection is not None and _spool_file.identity(self._path) != self._identity:
            self.close()  # somebody removed the file; SQLite would write on into nowhere
        if self._connection is None:
            self._connection = _spool_file.connect(self._path)
            self._identity = _spool_file.identity(self._path)
        return self._connection


def _end_leases_of_the_dead(connection: sqlite3.Connection, now: float) -> None:
    statement = "SELECT DISTINCT lease_owner FROM event WHERE lease_until > ? AND lease_owner <> ''"
    for (owner,) in connection.execute(statement, (now,)).fetchall():
        if is_gone(owner):
            connection.execute("UPDATE event SET lease_until = 0 WHERE lease_owner = ?", (owner,))


def _explain(error: sqlite3.DatabaseError) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return "the disk is full; free some space"
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return "the file was broken; it has been set aside and a new one is begun"
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return "another process holds it locked"
    return f"SQLite says: {error}"
