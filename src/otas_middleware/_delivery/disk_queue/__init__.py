"""Events that memory should not hold, or that must survive the process: a queue in SQLite that a host's processes use.

In come built events; out come the same events. Each is handed out under a lease to one process at a time, in the order
of arrival, and is deleted when that process acknowledges it. The lease of a process that died runs out, or ends at once
where the death can be seen. What is written has been redacted before.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from otas_middleware._delivery.codec import Record, UnreadableError, protect, reveal
from otas_middleware._delivery.disk_queue import file
from otas_middleware._delivery.disk_queue.file import SpoolError, is_gone, new_owner, transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path
    from typing import TypeVar

    from otas_middleware._delivery.codec import TokenCipher

    T = TypeVar("T")

LEASE = 120.0
"""Seconds for which an event is one process's own; renewed while that process holds it."""

_UNREADABLE_LEASE = 3600.0
"""Seconds for which an event whose token cannot be decrypted is left alone by those who have tried. The lease is
nobody's: who has not tried yet may have the key, and who needs the room takes it."""

_EVICT = 8
"""How many events one step of making room deletes: some may be a hundred times as large as what comes in."""

_VACUUM = 512
"""How many free pages one step of shrinking the file gives back, when it is not empty."""

_PASSING = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL})
"""Errors that leave the connection as good as it was."""

_COLUMNS = "body, token, sealed, session_id, agent_id, source, failures, possibly_stored"


class Held(NamedTuple):
    """An event that this process holds, as it goes back."""

    row: int
    failures: int
    possibly_stored: bool


class DiskQueue:
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
        self._tried = 0
        """The last row of those."""
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
            return rows, self._make_room(connection, rows[-1] if rows else 0)

        return self._run(insert)

    def claim(self, limit: int, max_bytes: float = math.inf) -> list[tuple[int, Record]]:
        """Lease the oldest free events to this process.

        Args:
            limit: How many at most.
            max_bytes: How many bytes they may have together; one event may have more.

        Returns:
            Their rows and records, oldest first.
        """
        now = time.time()

        def lease(connection: sqlite3.Connection) -> list[tuple[int, Record]]:
            _end_leases_of_dead_processes(connection, now)
            # A lease beyond any that could be given is a clock that was set back. What we hold is in memory.
            rows = connection.execute(
                f"SELECT id, lease_owner, {_COLUMNS} FROM event "  # noqa: S608
                "WHERE (lease_until <= ? OR lease_until > ? OR (lease_owner = '' AND id > ?)) AND lease_owner <> ? "
                "ORDER BY id LIMIT ?",
                (now, now + _UNREADABLE_LEASE + LEASE, self._tried, self._owner, limit),
            )
            claimed: list[tuple[int, Record]] = []
            for row, holder, *columns in _up_to(max_bytes, rows):
                record = self._decode(columns)
                if holder and record is not None:  # it died with this event in hand, and may have sent it
                    record = replace(record, possibly_stored=True)
                owner, until = (self._owner, now + LEASE) if record is not None else ("", now + _UNREADABLE_LEASE)
                connection.execute(
                    "UPDATE event SET lease_owner = ?, lease_until = ? WHERE id = ?", (owner, until, row)
                )
                if record is None:
                    self.unreadable += 1
                    self._tried = max(self._tried, row)
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
            return sum(connection.execute(statement, (row, self._owner)).rowcount for row in rows)

        held = self._run(delete)
        with contextlib.suppress(SpoolError):  # they are deleted; the next ones come by here too
            self._run(_shrink, write=False)
        return held

    def count(self) -> int:
        """Return how many events there are, whosever they are."""
        found: tuple[int] = self._run(
            lambda connection: connection.execute("SELECT count(*) FROM event").fetchone(), write=False
        )
        return found[0]

    @property
    def directory(self) -> Path:
        """Where the file lies."""
        return self._path.parent

    @property
    def name(self) -> str:
        """The file's name."""
        return self._path.name

    def left_behind(self) -> list[tuple[str, int]]:
        """Return the files of the same destination that hold events and that nobody uses, and how many they hold."""
        try:
            return file.left_behind(self._path)
        except (OSError, sqlite3.Error):
            return []

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
        """Delete the oldest free events until the content fits, of one batch all but the last; return how many."""
        deleted = 0
        while self._used(connection) > self._max_bytes:
            found = connection.execute(
                "DELETE FROM event WHERE id IN "
                "(SELECT id FROM event WHERE (lease_until <= ? OR lease_owner = '') AND id < ? ORDER BY id LIMIT ?)",
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
        size: int = connection.execute("PRAGMA page_size").fetchone()[0]
        pages, free = _pages(connection)
        return (pages - free) * size

    def _encode(self, record: Record) -> tuple[object, ...]:
        token, sealed = protect(record.token, self._cipher)
        known = record.session_id, record.agent_id, record.source, record.failures, record.possibly_stored
        return (record.body, token, sealed, *known)

    def _decode(self, columns: Sequence[object]) -> Record | None:
        """Return the record, or None when its token cannot be read with our keys."""
        body, token, sealed, session_id, agent_id, source, failures, possibly_stored = columns
        if not isinstance(body, bytes) or not isinstance(token, bytes):
            return None
        try:
            text = reveal(token, self._cipher, sealed=bool(sealed))
        except UnreadableError:
            return None
        count = failures if isinstance(failures, int) else 0
        return Record(body, text, str(session_id), str(agent_id), str(source), count, bool(possibly_stored))

    def _run(self, work: Callable[[sqlite3.Connection], T], *, write: bool = True) -> T:
        with self.lock:
            try:
                return self._do(work, write=write)
            except OSError as error:
                raise SpoolError(f"the system says: {error.strerror}") from None

    def _do(self, work: Callable[[sqlite3.Connection], T], *, write: bool) -> T:
        try:
            connection = self._connect()
            if not write:
                return work(connection)
            with transaction(connection):
                return work(connection)
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _PASSING:
                self.close()  # a new connection finds out what can still be used
            if file.is_corrupt(error):
                file.set_aside(self._path, "corrupt")
            raise SpoolError(_explain(error)) from None

    def _connect(self) -> sqlite3.Connection:
        if self._connection is not None and file.identity(self._path) != self._identity:
            self.close()  # somebody removed the file; SQLite would write on into nowhere
        if self._connection is None:
            self._connection = file.connect(self._path)
            self._identity = file.identity(self._path)
        return self._connection


def _up_to(max_bytes: float, rows: Iterable[Sequence[Any]]) -> list[Sequence[Any]]:
    """Return the first rows, whose third column is the event, up to so many bytes; at least one if there is any."""
    found: list[Sequence[Any]] = []
    for row in rows:
        max_bytes -= len(row[2]) if isinstance(row[2], bytes) else 0
        if found and max_bytes < 0:
            break
        found.append(row)
    return found


def _pages(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return how many pages the file has, and how many of them are free."""
    pages, free = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
    return pages, free


def _shrink(connection: sqlite3.Connection) -> None:
    """Give the pages of a drained spool back to the system, and some of one that is mostly free."""
    pages, free = _pages(connection)
    if free * 2 <= pages:
        return
    empty = connection.execute("SELECT 1 FROM event LIMIT 1").fetchone() is None
    if not empty and free < 2 * _VACUUM:
        return
    # `execute` would free a single page: it steps a statement without columns once. The file itself becomes smaller
    # when what was written is taken over into it, which waits for nobody.
    how_many = "" if empty else f"({_VACUUM})"
    connection.executescript(f"PRAGMA incremental_vacuum{how_many}; PRAGMA wal_checkpoint(PASSIVE)")


def _end_leases_of_dead_processes(connection: sqlite3.Connection, now: float) -> None:
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
