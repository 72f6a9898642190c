"""Where hosts find a relay: its socket, the path of that, and the lock that keeps other relays away."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from otas_middleware._delivery.relay import packets, trust
from otas_middleware._delivery.relay.packets import encode

if TYPE_CHECKING:
    from collections.abc import Generator
    from socket import socket

logger = logging.getLogger("otas_middleware.relay")

_NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE})


class Listener:
    """Takes in the connections of hosts, and turns away whom it must not or cannot serve.

    Args:
        sock: It listens.
        path: Where it is.
        lock: A descriptor that is closed when others may take its place.
    """

    def __init__(self, sock: socket, path: str, lock: int | None) -> None:
        self._sock = sock
        self._path = Path(path)
        self._inode = self._found()
        self._lock = lock
        self._spare = _spare()
        """A descriptor to be let go of when there is no other."""
        sock.settimeout(0.0)

    def fileno(self) -> int:
        """Return the descriptor, for `epoll`."""
        return self._sock.fileno()

    def accept(self) -> Generator[socket]:
        """Yield a socket for each host of our own user that waits."""
        while True:
            try:
                sock, _ = self._sock.accept()
            except OSError as error:
                if error.errno not in _NO_DESCRIPTOR or not self._refuse_next():
                    return  # nobody waits any more
                continue
            sock.settimeout(0.0)
            if trust.peer_user(sock) == os.geteuid():
                yield sock
                continue
            logger.warning("otas relay: a process of another user was turned away.")
            sock.close()

    def _refuse_next(self) -> bool:
        """Tell the next host that there is no descriptor left for it; left waiting, it would rely on us for ever."""
        if self._spare is None:
            self._spare = _spare()
            return False
        os.close(self._spare)
        self._spare = None
        try:
            sock, _ = self._sock.accept()
        except OSError:
            return False
        else:
            with sock, contextlib.suppress(OSError):
                sock.send(packets.message(packets.REFUSED, encode("it has no descriptor left; raise its `ulimit -n`")))
            return True
        finally:
            self._spare = _spare()

    @property
    def is_in_place(self) -> bool:
        """Whether hosts still find it."""
        return self._inode is not None and self._found() == self._inode

    def _found(self) -> int | None:
        """Return which file is at the path; None for none, as where it was removed before we came to look."""
        try:
            return self._path.stat().st_ino
        except OSError:
            return None

    def leave(self) -> None:
        """Remove the path, if it is still ours; whoever has found it before can still be accepted."""
        if self.is_in_place:
            with contextlib.suppress(OSError):
                self._path.unlink()

    def close(self) -> None:
        """Take nobody in any more."""
        self._sock.close()
        for number in (self._lock, self._spare):
            if number is not None:
                os.close(number)


def _spare() -> int | None:
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
