"""The check of the spool's directory. It leaves nothing there: what it made could belong to the wrong user."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
import tempfile
from typing import TYPE_CHECKING

from otas_middleware._cli.doctor import Check

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otas_middleware._config.settings import OtasSettings

_LEAST_ROOM = 65_536
_NO_DIRECTORY = "it is not a directory"


def check_spool(settings: OtasSettings) -> Check:
    """Check that the spool's directory is there or can be made, is ours alone, and has room; leaves nothing behind."""
    directory = settings.spool_dir
    if directory is None:
        return Check(
            "spool", "skipped", "not configured: what waits in memory is lost with the process (OTAS_SPOOL_DIR)"
        )
    who = _user()
    try:
        problem = _directory_problem(directory) if directory.exists() else _parent_problem(directory)
    except OSError as error:
        problem = f"it cannot be looked at ({error.strerror})"
    if problem is not None:
        fix = (
            f"run this as the application's user; then: mkdir -p {directory} && chown {who} {directory} && "
            f"chmod 700 {directory}, or point OTAS_SPOOL_DIR elsewhere"
        )
        if _nearest(directory).is_file() or problem == _NO_DIRECTORY:
            fix = "set OTAS_SPOOL_DIR to a directory of its own, such as /var/lib/otas"
        return Check("spool", "failed", f"{directory} is not usable for {who}: {problem}", fix)
    details = list(_spool_remarks(directory, settings))
    free, wanted = shutil.disk_usage(_nearest(directory)).free, settings.spool_max_bytes
    events, unusable = _backlog(directory) if directory.exists() else (0, [])
    data = {"directory": str(directory), "events": events}
    text = f"{directory} is writable for {who}; {events:,} events wait in it"
    if unusable:
        fix = "keep them if their events matter, and delete them otherwise; a new file takes their place by itself"
        return Check("spool", "warning", f"{text}; not usable: {', '.join(unusable)}", fix, tuple(details), data)
    if free < wanted:
        mebibytes = f"{free // 1_048_576:,} MiB are free, and the spool may grow to {wanted // 1_048_576:,} MiB"
        fix = f"make room, or set OTAS_SPOOL_MAX_BYTES to at most {free // 2}"
        return Check("spool", "warning", f"{text}; only {mebibytes}", fix, tuple(details), data)
    return Check("spool", "ok", text, details=tuple(details), data=data)


def _directory_problem(directory: Path) -> str | None:
    found = directory.stat()
    if not stat.S_ISDIR(found.st_mode):
        return _NO_DIRECTORY
    if hasattr(os, "geteuid"):
        if found.st_uid != os.geteuid():
            return f"it belongs to another user (uid {found.st_uid})"
        others = [entry.name for entry in directory.iterdir() if not entry.name.startswith("otas-")]
        if stat.S_IMODE(found.st_mode) & 0o077 and others:
            return f"it is open to other users (mode {stat.S_IMODE(found.st_mode):o}) and holds other files"
    try:
        with tempfile.TemporaryFile(dir=directory, prefix="otas-doctor-") as file:
            file.write(bytes(_LEAST_ROOM))
            file.flush()
            return None
    except OSError as error:
        return f"no file can be written in it ({error.strerror})"


def _parent_problem(directory: Path) -> str | None:
    """Say why a directory that is not there yet could not be made."""
    parent = _nearest(directory)
    if not parent.is_dir():
        return f"it cannot be made, since {parent} is not a directory"
    try:
        with tempfile.TemporaryDirectory(dir=parent, prefix="otas-doctor-"):
            return None
    except OSError as error:  # tried, for root has every right and still cannot write everywhere
        return f"it does not exist and cannot be made in {parent} ({error.strerror})"


def _nearest(directory: Path) -> Path:
    """Return the directory, or the nearest one above it that exists."""
    return next(each for each in (directory.absolute(), *directory.absolute().parents) if each.exists())


def _spool_remarks(directory: Path, settings: OtasSettings) -> Iterator[str]:
    if not directory.exists():
        yield "it does not exist yet; it is made when the first event goes there"
    if settings.spool_key is None:
        yield "session tokens lie in it as they are; OTAS_SPOOL_KEY encrypts them"
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        yield "this runs as root, who may write anywhere; run it as the application's user"


def _backlog(directory: Path) -> tuple[int, list[str]]:
    """Count the events in the spool's files, reading only; return them and the names of files that cannot be used."""
    events = 0
    unusable = [path.name for path in directory.glob("otas-*.sqlite3.*") if not path.name.endswith(("-wal", "-shm"))]
    for path in directory.glob("otas-*.sqlite3"):
        try:
            with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1.0)) as connection:
                events += connection.execute("SELECT count(*) FROM event").fetchone()[0]
        except sqlite3.Error:
            unusable.append(path.name)
    return events, sorted(unusable)


def _user() -> str:
    try:
        import pwd  # noqa: PLC0415  # not on Windows

        return pwd.getpwuid(os.geteuid()).pw_name
    except (ImportError, KeyError):
        return os.environ.get("USERNAME", "this user")
