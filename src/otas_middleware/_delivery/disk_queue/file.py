"""The spool's directory and database file: who may read them, whose they are, and what to do with a broken one.

Also who holds a lease, and whether that process is still there. A lease runs out by itself; on Linux it need not be
waited for when its holder can be seen to be gone. A process is told from others by the boot of its machine, its
process-id namespace, its id and the moment of its start, so that neither a reused id nor a container with ids of its
own is mistaken for it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

APPLICATION_ID = 0x4F544153  # "OTAS"
SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,    -- order of arrival; never used twice: no old lease hits a new event
    body BLOB NOT NULL,                      -- the event as JSON, redacted
    token BLOB NOT NULL,                     -- the session token, encrypted when `sealed`
    sealed INTEGER NOT NULL,
    session_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    source TEXT NOT NULL,
    failures INTEGER NOT NULL,
    possibly_stored INTEGER NOT NULL,
    lease_owner TEXT NOT NULL,
    lease_until REAL NOT NULL                -- Unix seconds; 0: free
)
"""

_BUSY_SECONDS = 2.0


class SpoolError(Exception):
    """The spool cannot be used now. The text says why and what to do, and holds no payload."""


def prepare_directory(directory: Path) -> None:
    """Make the directory, or check that it is nobody else's business.

    Raises:
        SpoolError: It belongs to somebody else, is open to others, or cannot be made.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.stat()
        if os.name != "posix":
            return
        if found.st_uid != os.geteuid():
            raise SpoolError(
                f"the directory {directory} belongs to another user; set OTAS_SPOOL_DIR to one of this user's own"
                " (it is made when it does not exist)"
            )
        if stat.S_IMODE(found.st_mode) & 0o077:
            _make_private(directory)
    except OSError as error:
        raise SpoolError(f"the directory {directory} cannot be used ({error.strerror}); see OTAS_SPOOL_DIR") from None


def _make_private(directory: Path) -> None:
    """Close a directory that is open to others, provided that it is empty or ours."""
    if any(not entry.name.startswith("otas-") for entry in directory.iterdir()):
        raise SpoolError(
            f"the directory {directory} is open to other users and holds other files; "
            "give OTAS_SPOOL_DIR a directory of its own, with mode 0700"
        )
    directory.chmod(0o700)


def connect(path: Path) -> sqlite3.Connection:
    """Open the database, making or setting aside the file as needed.

    Raises:
        SpoolError: The file belongs to somebody else.
        sqlite3.Error: SQLite cannot use it now.
    """
    prepare_directory(path.parent)
    try:
        return _open(path)
    except _UnusableError as error:
        set_aside(path, error.args[0])
    except sqlite3.DatabaseError as error:
        if not is_corrupt(error):
            raise
        set_aside(path, "corrupt")
    return _open(path)


class _UnusableError(Exception):
    """The file is a database, but not one of ours."""


def open_private(path: Path) -> sqlite3.Connection:
    """Open a database file that only this user may read, and make it if there is none.

    Raises:
        SpoolError: It belongs to somebody else, or it is no file.
    """
    try:
        # SQLite gives its -wal and -shm files the mode of this one.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        # Looked at without opening it: closing a second descriptor would drop the locks that this process holds on it.
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise SpoolError(f"{path} is not a file; remove it or change OTAS_SPOOL_DIR") from None
        if os.name == "posix":
            if found.st_uid != os.geteuid():
                raise SpoolError(f"{path} belongs to another user; remove it or change OTAS_SPOOL_DIR") from None
            if stat.S_IMODE(found.st_mode) & 0o077:
                path.chmod(0o600)
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.text_factory = _text  # one damaged text is no reason to read no other row
    return connection


def _text(octets: bytes) -> str:
    return octets.decode(errors="replace")


def _open(path: Path) -> sqlite3.Connection:
    connection = open_private(path)
    try:
        _initialise(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _initialise(connection: sqlite3.Connection) -> None:
    application, version, tables = (
        connection.execute(query).fetchone()[0]
        for query in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
    )
    if tables and application != APPLICATION_ID:
        raise _UnusableError("foreign")
    if tables and version != SCHEMA_VERSION:
        raise _UnusableError(f"version-{version}")
    if not tables:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    # In WAL mode, a commit survives the death of this process; NORMAL saves the sync that a power cut would need.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("PRAGMA journal_size_limit = 4194304")
    if not tables:
        with transaction(connection):
            connection.execute(_SCHEMA)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            # Nor in a file that takes the place of one that was removed or set aside while its events were leased.
            connection.execute("INSERT INTO sqlite_sequence VALUES ('event', ?)", (time.time_ns() // 1000,))


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Generator[None]:
    """Run the block in one transaction that has the write lock from its start."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("COMMIT")
    except BaseException:  # also of a signal's handler, which may raise anywhere
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def left_behind(path: Path) -> list[tuple[str, int]]:
    """Return the files of the same destination beside one that hold events and that nobody uses, and how many.

    They are of another project, or of a key that was the project's before.
    """
    found: list[tuple[str, int]] = []
    for other in path.parent.glob(f"{path.name.rpartition('-')[0]}-{'[0-9a-f]' * 12}.sqlite3"):
        if other == path or Path(f"{other}-wal").exists():
            continue
        reading = sqlite3.connect(f"{other.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS)
        with contextlib.suppress(sqlite3.Error), contextlib.closing(reading):
            count = reading.execute("SELECT count(*) FROM event").fetchone()[0]
            found += [(other.name, count)] if count else []
    return sorted(found)


def identity(path: Path) -> tuple[int, int] | None:
    """Return what tells this file from another of the same name, or None when there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def is_corrupt(error: sqlite3.DatabaseError) -> bool:
    """Say whether SQLite found the file itself to be broken."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def set_aside(path: Path, why: str) -> None:
    """Rename a file that cannot be used, so that nothing is destroyed and a new one can take its place.

    Two processes may come to this at once: the second finds a good file of the first in that place, and leaves it.
    """
    with _exclusively(path.parent):
        if _is_good(path):
            return
        mark = f"{why}-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}"
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{path}{suffix}").rename(f"{path}.{mark}{suffix}")


def _is_good(path: Path) -> bool:
    try:
        connection = _open(path)
        try:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
        finally:
            connection.close()
    except (sqlite3.DatabaseError, _UnusableError):
        return False


@contextlib.contextmanager
def _exclusively(directory: Path) -> Generator[None]:
    try:
        import fcntl  # noqa: PLC0415  # not on Windows
    except ImportError:
        yield
        return
    descriptor = os.open(directory / "otas-lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def new_owner() -> str:
    """Return a name for a holder in this process."""
    place = _place()
    start = _start_of(os.getpid()) if place is not None else None
    return f"{place}/{os.getpid()}/{start}/{uuid.uuid4().hex[:8]}"


def is_gone(owner: str) -> bool:
    """Say whether the holder's process has certainly ended; False where nobody can know."""
    place, _, rest = owner.partition("/")
    pid, _, rest = rest.partition("/")
    start = rest.partition("/")[0]
    if place != _place() or not pid.isdigit() or not start.isdigit():
        return False
    return _start_of(int(pid)) != int(start)


def _place() -> str | None:
    """Return what this process's id is unique in: a boot of a kernel and a namespace of process ids."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}:{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return None


def _start_of(pid: int) -> int | None:
    """Return when a process started, in clock ticks since the boot, or None when there is no such process."""
    try:
        # The second field is the program's name in brackets: any bytes, brackets and blanks among them, cut after 15.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] == b"Z" else int(fields[19])  # a zombie will not come back
