"""Whom to trust at the socket of a relay, and where that is.

A relay that hosts start by themselves lives in a directory that nobody else may enter. At a path of the operator's
choice both sides look at the other's user instead: whoever puts a socket of his own there gets nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import struct
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otas_middleware._errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Generator

SUPPORTED = sys.platform == "linux"
"""Packets over Unix sockets, and the other side's user: macOS has neither in this form."""

LONGEST_NAME = 107
"""Bytes of the longest path that the kernel takes for a socket."""

_CREDENTIALS = struct.Struct("3i")
_SO_PEERCRED = 17

ENVIRONMENT = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""What of the environment decides how events are sent; a relay serves hosts that agree with it on that."""


class UnsafePlaceError(Exception):
    """No relay can be trusted here; the text says why."""


def environment() -> dict[str, str]:
    """Return what of this process's environment a relay must share."""
    return {name: os.environ[name] for name in ENVIRONMENT if os.environ.get(name)}


def own_user() -> int:
    """Return the user that both sides must be.

    Raises:
        UnsafePlaceError: The user has no number here: everybody outside looks the same.
    """
    user = os.geteuid()
    if user == _overflow_user():
        raise UnsafePlaceError(
            f"the user {user} stands for everybody whom this namespace does not know; use one of the application's own"
        )
    return user


def _overflow_user() -> int:
    try:
        return int(Path("/proc/sys/kernel/overflowuid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 65534


def peer_user(sock: Any) -> int:
    """Return the user id of the process at the other end of a Unix socket."""
    _, user, _ = _CREDENTIALS.unpack(sock.getsockopt(1, _SO_PEERCRED, _CREDENTIALS.size))
    return int(user)


@contextlib.contextmanager
def reachable(path: str) -> Generator[str]:
    """Give the name under which the kernel takes a path, which may have at most 107 bytes."""
    if len(os.fsencode(path)) <= LONGEST_NAME:
        yield path
        return
    folder, name = os.path.split(path)
    number = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{number}/{name}"
    finally:
        os.close(number)


def automatic(version: str) -> Path:
    """Return the socket of the relay that hosts of this user, version and environment share; make its directory.

    Raises:
        UnsafePlaceError: There is no directory that only this user may enter.
    """
    own_user()
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    folder = _own_folder(Path(runtime) / "otas-relay") if runtime else None
    if folder is None:
        with contextlib.suppress(FileNotFoundError):  # no temporary directory: the file system is read-only
            folder = _own_folder(Path(tempfile.gettempdir()) / f"otas-relay-{os.geteuid()}")
    if folder is None:
        raise UnsafePlaceError("neither XDG_RUNTIME_DIR nor the temporary directory takes a directory of our own")
    shared = "\0".join((version, sys.prefix, *(f"{name}={value}" for name, value in sorted(environment().items()))))
    return folder / f"{hashlib.sha256(shared.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}.sock"


def _own_folder(folder: Path) -> Path | None:
    """Return the directory if it is ours alone, making it where it is missing; None where it is not, or cannot be."""
    try:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            folder.chmod(0o700)  # the umask may have taken away what we need
        found = folder.lstat()
    except OSError:
        return None
    private = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o077
    return folder if private else None


def check_path(path: str) -> str:
    """Return an absolute socket path of the operator's.

    Raises:
        ConfigurationError: It is none.
    """
    if not os.path.isabs(path):  # noqa: PTH117  # a text, which is not to be read as a path yet
        raise ConfigurationError(
            f"otas_middleware: the relay's socket is given as {path!r}; give its absolute path, such as "
            "/run/otas/relay.sock, or `auto` as OTAS_RELAY."
        )
    return path
