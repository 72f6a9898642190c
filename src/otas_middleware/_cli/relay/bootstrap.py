"""The first steps of a relay that a host starts: detach, listen, and only then import what takes its time.

Run as a file by `python -I -S`: nothing of the package may be imported before the socket listens. Arguments: the
socket, and the directories where the package and what it needs lie. What it prints goes to its log.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from socket import AF_UNIX, SOCK_SEQPACKET, socket


def main(path: str, *folders: str) -> None:
    """Become the relay at a socket, unless there is one already."""
    if os.fork():
        os._exit(0)
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))  # until somebody acts on them
    folder, name = os.path.split(path)
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    os.umask(0o077)
    lock = os.open(f"{path[: -len('.sock')]}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return  # another one is here
    listener = socket(AF_UNIX, SOCK_SEQPACKET)
    short = f"/proc/self/fd/{number}/{name}"  # the kernel takes 107 bytes at most
    if os.path.lexists(short):  # no more imports than needed
        os.unlink(short)  # noqa: PTH108  # as above; its relay is gone, since the lock was free
    listener.bind(short)
    listener.listen(1024)
    sys.path += [folder for folder in folders if folder not in sys.path]
    from otas_middleware._cli.relay import run_detached  # noqa: PLC0415  # see the module's docstring

    run_detached(listener, path, lock)


if __name__ == "__main__":
    main(*sys.argv[1:])
