"""The SQLite file of the local Brain: one connection that writes, one that reads, each behind its lock.

The file is in WAL mode, so a long read (analytics, a test that lists all events) never holds up a write.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import shutil
import sqlite3
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from otas_middleware._errors import ConfigurationError
from otas_middleware.localbrain import schema
from otas_middleware.localbrain.schema import EVENT_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from otas_middleware.localbrain.schema import AgnostEvent, AgnostSession, StoredEvent, StoredSession

    Row = tuple[object, ...]
    Stored = Callable[[Sequence[Row]], None]

_INSERT_EVENT = (
    f"INSERT INTO event ({', '.join(schema.EVENT_COLUMNS)}) "  # noqa: S608  # our own column names
    f"VALUES ({', '.join('?' * len(schema.EVENT_COLUMNS))})"
)
_BUSY_SECONDS = 5.0
_FOLDER, _FILE = "otas-local-brain-", "brain.sqlite3"


class Store:
    """Reads and writes the file; safe to use from several threads.

    Args:
        path: The file, made when absent. None stores in a temporary file that goes away with `close`.

    Raises:
        ConfigurationError: The file cannot be made or opened, or is not a local Brain's.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.times_cleared = 0
        self._write_lock, self._read_lock = threading.Lock(), threading.Lock()
        with contextlib.ExitStack() as opened:
            self.path = path or opened.enter_context(_temporary_folder()) / _FILE
            # A temporary file need not survive a power cut; NORMAL keeps a named one whole.
            self._writer = opened.enter_context(contextlib.closing(self._open("NORMAL" if path else "OFF")))
            self._reader = opened.enter_context(contextlib.closing(self._connect()))
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Close the file; a temporary one is deleted."""
        with self._write_lock, self._read_lock:
            self._opened.close()

    @contextlib.contextmanager
    def write(self) -> Generator[sqlite3.Connection]:
        """One transaction: committed at the end, rolled back when the body raises."""
        with self._write_lock:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise
            self._writer.execute("COMMIT")

    def read(self, sql: str, parameters: Sequence[object] = ()) -> list[sqlite3.Row]:
        """Run a query and return all its rows, among them all that was committed before."""
        with self._read_lock:
            return self._reader.execute(sql, tuple(parameters)).fetchall()

    @contextlib.contextmanager
    def reading(self) -> Generator[sqlite3.Connection]:
        """A connection of the caller's own that can change nothing; long queries on it hold up nobody."""
        address = f"{self.path.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, timeout=_BUSY_SECONDS, isolation_level=None, uri=True)) as (
            connection
        ):
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.execute("BEGIN")  # all its queries see the same state
            yield connection

    def setting(self, name: str) -> str | None:
        """Return a value that was kept, or None."""
        rows = self.read("SELECT value FROM setting WHERE name = ?", (name,))
        return rows[0]["value"] if rows else None

    def insert(self, table: str, *values: object) -> None:
        """Add a row, or replace the one with its key; None for the key of a table that counts them itself."""
        with self.write() as connection:
            marks = ", ".join("?" * len(values))
            connection.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", values)  # noqa: S608  # our own names

    def insert_events(self, rows: Iterable[tuple[object, ...]]) -> None:
        """Store events in one transaction; each row has a value for each of `schema.EVENT_COLUMNS`."""
        with self.write() as connection:
            connection.executemany(_INSERT_EVENT, rows)

    def events(self, session_id: str | None = None, *, after: int = 0, limit: int = -1) -> list[StoredEvent]:
        """Return stored events in the order of their arrival.

        Args:
            session_id: Only those of this session.
            after: Only those that came after the event with this `id`.
            limit: At most so many; -1 is all.
        """
        where, values = _of(session_id)
        rows = self.read(f"SELECT * FROM event WHERE {where} AND id > ? ORDER BY id LIMIT ?", (*values, after, limit))  # noqa: S608  # our own condition
        return [to_event(row) for row in rows]

    def count_events(self, session_id: str | None = None) -> int:
        """Count the stored events, of one session or of all."""
        where, values = _of(session_id)
        counted: int = self.read(f"SELECT count(*) FROM event WHERE {where}", values)[0][0]  # noqa: S608  # as above
        return counted

    def sessions(self) -> list[StoredSession]:
        """Return the sessions that were created here, oldest first."""
        rows = self.read("SELECT * FROM session ORDER BY created_at, id")
        return [cast("StoredSession", _parsed(row, "meta")) for row in rows]

    def agnost_sessions(self) -> list[AgnostSession]:
        """Return what `capture-session` took, in the order of arrival."""
        rows = self.read("SELECT * FROM agnost_session ORDER BY id")
        return [cast("AgnostSession", _parsed(row, "body")) for row in rows]

    def agnost_events(self) -> list[AgnostEvent]:
        """Return what `capture-event` took, in the order of arrival."""
        events = [_parsed(row, "body") for row in self.read("SELECT * FROM agnost_event ORDER BY id")]
        for event in events:
            event["session_known"], event["forms"] = bool(event["session_known"]), event["forms"].split(",")
        return cast("list[AgnostEvent]", events)

    def clear(self) -> None:
        """Delete all events and sessions; projects, agents and keys stay."""
        with self.write() as connection:
            for table in ("event", "session", "agnost_session", "agnost_event"):
                connection.execute(f"DELETE FROM {table}")  # noqa: S608  # the names above
        self.times_cleared += 1

    def _open(self, synchronous: str) -> sqlite3.Connection:
        """Open the connection that writes, and make the tables when they are missing."""
        reason = f"{self.path} is not a database of this version's local Brain"
        connection: sqlite3.Connection | None = None
        try:
            # Made here, because SQLite would make it readable for everyone: events hold what agents sent.
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            connection = self._connect()
            if self._is_ours(connection):
                self._upgrade(connection)
                connection.execute(f"PRAGMA synchronous = {synchronous}")
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(schema.SCRIPT)
                return connection
        except (OSError, sqlite3.OperationalError) as error:
            reason = f"the database {self.path} cannot be opened ({error})"
        except sqlite3.DatabaseError:
            pass  # it is no database at all
        if connection is not None:
            connection.close()
        raise ConfigurationError(f"{reason}; name another file, or a new one")

    @staticmethod
    def _is_ours(connection: sqlite3.Connection) -> bool:
        """Tell whether the database is empty, or was made by a local Brain of this version or an older one."""
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            return True
        found = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
        return found[0] == schema.APPLICATION_ID and found[1] in {schema.VERSION, *schema.UPGRADES}

    @staticmethod
    def _upgrade(connection: sqlite3.Connection) -> None:
        """Bring an older file to this version, each step in a transaction of its own."""
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        while version in schema.UPGRADES:
            version += 1
            script = schema.UPGRADES[version - 1]
            connection.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {version}; COMMIT;")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        return connection


@contextlib.contextmanager
def _temporary_folder() -> Generator[Path]:
    """A folder that is locked while it is in use; those that nobody locks, because their Brains were killed, go."""
    try:
        made = tempfile.TemporaryDirectory(prefix=_FOLDER)
    except OSError as error:
        raise ConfigurationError(
            f"there is no temporary directory for events ({error.strerror}); set TMPDIR to one, or give --db FILE"
        ) from None
    with made as name, contextlib.ExitStack() as held:
        with contextlib.suppress(ImportError, OSError):  # where nothing can be locked, nothing is removed
            held.enter_context(_locked(name))
            for database in Path(name).parent.glob(f"{_FOLDER}*/{_FILE}"):  # it was made after its folder was locked
                with contextlib.suppress(OSError), _locked(database.parent):
                    shutil.rmtree(database.parent)
        yield Path(name)


@contextlib.contextmanager
def _locked(folder: Path | str) -> Generator[None]:
    """Lock a folder.

    Raises:
        OSError: Somebody else has it locked, or it is another user's.
    """
    import fcntl  # noqa: PLC0415  # not on Windows

    descriptor = os.open(folder, os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _of(session_id: str | None) -> tuple[str, tuple[str, ...]]:
    """Return a condition, and its values, for the events of a session; of all when it is None."""
    return ("1", ()) if session_id is None else ("agent_session_id = ?", (session_id,))


def _parsed(row: sqlite3.Row, *names: str) -> dict[str, Any]:
    """Turn a row into a record, with the JSON of some columns parsed."""
    return {**dict(row), **{name: json.loads(row[name]) for name in names if row[name] is not None}}


def to_event(row: sqlite3.Row) -> StoredEvent:
    """Turn a row of the event table into a record: JSON parsed, NaN restored."""
    record = _parsed(row, "custom_properties", "metadata")
    for name in schema.DERIVED_COLUMNS:
        del record[name]
    if record["latency_ms"] is None:
        record["latency_ms"] = math.nan
    return cast("StoredEvent", record)


class Batch:
    """Saves rows from the event loop.

    All rows of one turn of the loop share a transaction. The insert itself runs on the loop: it takes some 15 µs an
    event, less than handing it to a thread and back, and without a file's sync it never waits for the disk.

    Args:
        store: Where the rows go.
        stored: Called on the loop with the rows that were committed.
    """

    def __init__(self, store: Store, stored: Stored) -> None:
        self._store = store
        self._stored = stored
        self._waiting: list[tuple[Row, asyncio.Future[None]]] = []

    async def save(self, row: Row) -> None:
        """Store a row; returns when it is committed.

        Raises:
            sqlite3.Error: It could not be stored.
        """
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._flush)
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.append((row, done))
        await done

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        failed: dict[int, Exception] = {}
        try:
            self._store.insert_events([row for row, _ in waiting])
        except Exception:  # one bad row must not take the others with it
            for index, (row, _) in enumerate(waiting):
                try:
                    self._store.insert_events([row])
                except Exception as error:  # the request that waits gets it
                    failed[index] = error
        for index, (_, done) in enumerate(waiting):
            if done.done():
                continue  # the request was cancelled meanwhile; its event is stored all the same
            if index in failed:
                done.set_exception(failed[index])
            else:
                done.set_result(None)
        self._stored([row for index, (row, _) in enumerate(waiting) if index not in failed])


def named(row: Row) -> dict[str, object]:
    """Name the values of a row."""
    return dict(zip(EVENT_COLUMNS, row, strict=True))
