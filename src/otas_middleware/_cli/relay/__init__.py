"""`otas-middleware relay`: the process that delivers for the applications of one host.

Its socket, its log, its signals, and what builds the events of its hosts.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import resource
import signal
import stat
import sys
from pathlib import Path
from socket import AF_UNIX, SOCK_SEQPACKET, socket
from typing import TYPE_CHECKING, Any

from otas_middleware._capture.context import delivering
from otas_middleware._capture.session import TokenGate
from otas_middleware._delivery.relay import trust
from otas_middleware._delivery.relay.server import Server
from otas_middleware._delivery.relay.start import IDLE_SECONDS
from otas_middleware._errors import ConfigurationError
from otas_middleware._recorder import Recorder
from otas_middleware._runtime import runtime

if TYPE_CHECKING:
    from collections.abc import Generator

    from otas_middleware._capture.session import SessionInfo
    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._delivery.relay.tenant import BuildCapture, OnToken

BACKLOG = 1024
NICENESS = 5
"""How far a relay stands back behind the applications of its host, where there are not processors enough for both."""

_MOST_DESCRIPTORS = 65_536

_LINE = "%(asctime)s %(levelname)s %(message)s"


def run(path: str) -> None:
    """Serve the hosts that connect to a path, until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: The path cannot be used, or another relay is there.
    """
    logging.basicConfig(level=logging.INFO, format=_LINE, stream=sys.stderr)
    with _listening(path) as (listener, lock):
        logging.getLogger("otas_middleware.relay").info("otas relay: process %d listens at %s.", os.getpid(), path)
        _serve(Server(listener, path, make_build, lock=lock))


def run_detached(listener: socket, path: str, lock: int) -> None:
    """Serve as the relay that a host has started, until nobody needs it.

    Args:
        listener: The socket, bound and listening.
        path: Where it is bound.
        lock: The descriptor of the lock that this relay holds.
    """
    logging.basicConfig(level=logging.INFO, format=_LINE, stream=sys.stderr)
    _serve(Server(listener, path, make_build, idle_seconds=IDLE_SECONDS, lock=lock))


def _serve(server: Server) -> None:
    def end(*_: object) -> None:
        server.end()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))
    os.nice(max(0, NICENESS - os.nice(0)))
    _allow_many_descriptors()
    delivering.set(True)
    runtime.only_delivers = True
    server.run()


def _allow_many_descriptors() -> None:
    """Use what the system allows: each worker of each host may open eight sockets, and usual limits are for one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(OSError, ValueError):  # it does with what it has
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def make_build(settings: OtasSettings, on_token: OnToken) -> BuildCapture:
    """Return what makes events of captures as the host's own recorder would, and tells the host what it finds out."""
    recorder = Recorder(settings, _no_delivery)
    recorder.gate = _Gate(on_token)
    return recorder.build


class _Gate(TokenGate):
    """Hands on what checking a signature has shown: it is the host that admits tokens."""

    def __init__(self, on_token: OnToken) -> None:
        super().__init__()
        self._on_token = on_token

    def reject(self, token: str, seconds: float = 0.0) -> None:  # noqa: ARG002  # the host knows for how long
        self._on_token("bad_signature", token)

    def confirm(self, session: SessionInfo) -> SessionInfo:
        self._on_token("confirmed", session.token)
        return super().confirm(session)


def _no_delivery(_: Recorder) -> Any:
    """Stand for the delivery of a recorder that only builds."""


@contextlib.contextmanager
def _listening(path: str) -> Generator[tuple[socket, int]]:
    """Give a socket that listens at a path, and the lock that keeps others from it."""
    trust.check_path(path)
    folder = Path(path).parent
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is no directory; make it, for the relay's user alone (mode 0700)")
    try:
        trust.own_user()
    except trust.UnsafePlaceError as error:
        raise ConfigurationError(f"no relay can run here: {error}") from None
    try:
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be used: {error.strerror}; choose a directory of your own") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise ConfigurationError(f"a relay runs at {path} already; `otas-middleware relay --status` shows it") from None
    with socket(AF_UNIX, SOCK_SEQPACKET) as listener:
        _bind(listener, path)
        listener.listen(BACKLOG)
        yield listener, lock


def _bind(listener: socket, path: str) -> None:
    """Bind to a path, in place of the socket of a relay that is gone; nothing else is ever removed."""
    try:
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISSOCK(os.lstat(path).st_mode):
                raise ConfigurationError(f"{path} is there and is no socket; choose another path")
            Path(path).unlink()
        with trust.reachable(path) as name:
            before = os.umask(0o177)
            try:
                listener.bind(name)
            finally:
                os.umask(before)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be used: {error.strerror or error}; choose another path") from None
