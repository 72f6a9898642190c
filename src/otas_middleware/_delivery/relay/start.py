"""`OTAS_RELAY=auto`: finding the relay of this user, version and environment, or starting it; asking one how it is.

`find_or_start` runs in a thread of the host's, never in a request: starting takes 3 to 20 ms, and the relay listens
30 ms later. Of all processes that come here at once, one starts it; the others find it.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otas_middleware import _errors
from otas_middleware._delivery import process
from otas_middleware._delivery.relay import packets, trust
from otas_middleware._delivery.relay.link import RelayUnavailableError, connect
from otas_middleware._delivery.relay.packets import decode
from otas_middleware._errors import OtasError
from otas_middleware._runtime import monotonic, runtime
from otas_middleware._version import __version__

if TYPE_CHECKING:
    from collections.abc import Generator

START_SECONDS = 5.0
"""How long a relay that was started may take to listen."""

IDLE_SECONDS = 15.0
"""After so long without a host and without an event a relay that hosts started ends."""

_BOOTSTRAP = Path(__file__).parents[2] / "_cli" / "relay" / "bootstrap.py"
"""Run as a file, and never imported here: the relay is a program of its own."""

_AGAIN = 0.5
"""Seconds after which one that still does not listen is started once more: its predecessor may only now have ended."""

_SHORT_LIFE = 2.0
_MOST_SHORT_LIVES = 3
"""So many relays that live no longer than so many seconds are taken for relays that cannot run here."""

_TROUBLE_PAUSE = 30.0
_POLL = 0.01
_PASSED_ON = ("LANG", "LC_ALL", "TZ", "TMPDIR", "XDG_RUNTIME_DIR", "LD_LIBRARY_PATH", *trust.ENVIRONMENT)
"""What of the host's environment the relay gets: no tracer's `PYTHONPATH`, no secret."""


def find_or_start(log: Path | None) -> str:
    """Return the socket of a relay that listens, starting one if there is none.

    Args:
        log: Where a relay that is started writes its log; beside its socket when left out.

    Raises:
        UnsafePlaceError: There is no place for one.
        OSError: It could not be started.
    """
    path = trust.automatic(__version__)
    log = log or path.with_suffix(".log")
    deadline = monotonic() + START_SECONDS
    again = 0.0
    while not _listens(path):
        now = monotonic()
        if now > deadline:
            raise TimeoutError(None, f"it does not listen; see {log}")
        if now >= again and _start_unless_another_does(path, log):
            again = monotonic() + _AGAIN
        time.sleep(_POLL)
    return str(path)


def _start_unless_another_does(path: Path, log: Path) -> bool:
    with _start_lock(path) as mine:
        if not mine or _listens(path):
            return False
        _start(path, log)
    return True


def _listens(path: Path) -> bool:
    try:
        connect(str(path)).close()
    except RelayUnavailableError as error:
        return error.reason == "busy"
    return True


@contextlib.contextmanager
def _start_lock(path: Path) -> Generator[bool]:
    """Give whether this process may start a relay.

    A lock of `lockf` is the process's own: a child forked in the middle of this does not hold it. The relay itself
    holds another kind of lock on another file.
    """
    number = os.open(path.with_suffix(".start"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.lockf(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(number)


def _start(path: Path, log: Path) -> None:
    """Start a relay that belongs to nobody: own session, no open file of ours but its log, `/` as its directory."""
    if not _BOOTSTRAP.exists():
        raise FileNotFoundError(None, "the package is not installed as files")
    output = _opened(log)
    try:
        with subprocess.Popen(  # noqa: S603  # our own interpreter and file
            [_python(), "-I", "-S", str(_BOOTSTRAP), str(path), *_paths()],
            env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            close_fds=True,
            start_new_session=True,
        ) as first:
            status = first.wait()  # it forks at once and ends, so that the relay is nobody's child
    finally:
        os.close(output)
    if status:
        raise ChildProcessError(None, f"its interpreter ended with status {status}; see {log}")


def _opened(log: Path) -> int:
    """Open a log to which nobody is ever kept waiting, as at a pipe that is not read."""
    try:
        return os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    except OSError as error:
        raise OSError(error.errno, f"its log {log} cannot be written: {error.strerror}; see OTAS_RELAY_LOG") from None


def _python() -> str:
    """Return this environment's interpreter.

    `python3` may be another version, and `sys.executable` uWSGI, or an application that is packed with its interpreter.

    Raises:
        FileNotFoundError: There is none.
    """
    folder, ours = Path(sys.prefix, "bin"), Path(sys.executable or "-")
    exact = f"python{sys.version_info.major}.{sys.version_info.minor}{sys.abiflags}"
    candidates = [folder / exact, *([ours] if ours.name.startswith(("python", "pypy")) else [])]
    for path in (*candidates, folder / "python3", folder / "python"):
        if path.exists() and not getattr(sys, "frozen", False):
            return str(path)
    raise FileNotFoundError(None, "this program has no interpreter of its own; start `otas-middleware relay` yourself")


def _paths() -> list[str]:
    """Return where the relay looks for packages: ours, and what this process has found, which may lie anywhere.

    It begins with nothing but the standard library: neither `PYTHONPATH` nor its environment's site, which may hold
    another version of this package, or a tracer that injects itself.
    """
    folders = [_BOOTSTRAP.parents[3], *map(Path, filter(None, sys.path))]
    return list(dict.fromkeys(str(folder.absolute()) for folder in folders))


class Finder:
    """Finds a relay, or starts one, in a thread of its own; in the calling one only where there are no threads.

    Args:
        log: Where a relay that is started writes its log; beside its socket when left out.

    Attributes:
        path: The relay's socket, once it is known.
        trouble: Why none could be found or started the last time; "" for nothing.
    """

    def __init__(self, log: Path | None) -> None:
        self.path: str | None = None
        self.trouble = ""
        self._log = None if log is None else log.absolute()
        self._looking = False
        self._again_at = 0.0
        self._found_at = 0.0
        self._user = os.geteuid()
        self._short_lives = 0

    def known(self) -> str | None:
        """Return the relay's socket, if it is known; that of the user that this process was before is of no use."""
        if self.path is not None and self._user != os.geteuid():
            self.forget()
        return self.path

    def forget(self) -> None:
        """Look anew the next time: nobody is at the path any more."""
        path, self.path = self.path, None
        if path is None:
            return
        now = monotonic()
        self._short_lives = self._short_lives + 1 if now - self._found_at < _SHORT_LIFE else 0
        if self._short_lives >= _MOST_SHORT_LIVES:
            self._short_lives = 0
            self._failed(f"it ends as soon as it listens; see {self._log or Path(path).with_suffix('.log')}")
            self._again_at = now + _TROUBLE_PAUSE

    def look(self) -> None:
        """Begin to look, unless that is under way, or failed lately."""
        if self._looking or monotonic() < self._again_at:
            return
        self._looking = True
        if not process.start_thread(self._find, "otas-relay-start"):
            self._find(wait=False)  # in a request: it will listen for a later one

    def _find(self, *, wait: bool = True) -> None:
        found: str | None
        try:
            if wait:
                found = find_or_start(self._log)
            else:
                path = trust.automatic(__version__)
                started = _start_unless_another_does(path, self._log or path.with_suffix(".log"))
                found = None if started else str(path)
            self.trouble = ""
            self._found_at, self._user = monotonic(), os.geteuid()
            self.path = found
        except trust.UnsafePlaceError as error:
            self.trouble = "unsafe_place"
            _say_once(f"otas: no relay: {error}. This process delivers by itself.")
        except OSError as error:
            self._failed(error.strerror or type(error).__name__)
        except Exception as error:  # whatever the host has done to imports or processes; nothing but this thread ends
            _errors.report_internal_error("relay.start")
            self._failed(type(error).__name__)
        finally:
            self._again_at = monotonic() + (_TROUBLE_PAUSE if self.trouble else 0.0 if wait else _AGAIN)
            self._looking = False

    def _failed(self, why: str) -> None:
        self.trouble = "not_started"
        _say_once(f"otas: no relay could be started ({why}). This process delivers by itself.")


def _say_once(line: str) -> None:
    runtime.log_once(logging.WARNING, line)


ANSWER_SECONDS = 5.0


class NoRelayError(OtasError):
    """There is no relay, or it does not answer; the text says which."""


def automatic_path() -> str:
    """Return where the relay of `OTAS_RELAY=auto` is, for this user, version and environment."""
    try:
        return str(trust.automatic(__version__))
    except trust.UnsafePlaceError as error:
        raise NoRelayError(f"there is no place for a relay: {error}") from None


def state_of(path: str) -> dict[str, Any]:
    """Return the counters of the relay at a path.

    Raises:
        NoRelayError: There is none, or it does not answer.
    """
    try:
        sock = connect(path)
    except (RelayUnavailableError, trust.UnsafePlaceError) as error:
        raise NoRelayError(f"no relay at {path} ({error}); start one with `otas-middleware relay`") from None
    try:
        sock.send(packets.order(packets.STATUS, b""))
        deadline = monotonic() + ANSWER_SECONDS
        while monotonic() < deadline:
            try:
                packet = sock.recv(packets.MAX_PACKET)
            except BlockingIOError:
                time.sleep(0.005)
                continue
            if packet[:1] == packets.STATE:
                state: dict[str, Any] = decode(memoryview(packet)[packets.MESSAGE_HEAD :])
                return state
            break
    except OSError:
        pass
    finally:
        sock.close()
    raise NoRelayError(f"the relay at {path} does not answer: it hangs, or is another version")
