"""Starting threads where that is possible, and knowing where it is not."""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import TYPE_CHECKING

from otas_middleware._capture.context import delivering

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("otas_middleware")

_warned = False


def start(target: Callable[[], None], name: str) -> bool:
    """Start a daemon thread; return False, with one quiet warning per process, where threads cannot run.

    That is the case in an old uWSGI without `--enable-threads`, and where the system has no thread left. What is queued
    then waits for `flush()` and for the end of the process. Nothing is said at the end of the interpreter, when the
    calling thread delivers, nor before uWSGI forks its workers, which will have threads.
    """
    if uwsgi_without_threads():
        return _unavailable("uWSGI runs without threads; start it with --enable-threads")
    if _uwsgi_is_about_to_fork() or sys.is_finalizing():  # a thread started so late never runs, and is waited for
        return False

    def run() -> None:
        delivering.set(True)
        target()

    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError as error:  # "can't start new thread", "can't create new thread at interpreter shutdown"
        return False if "shutdown" in str(error) else _unavailable("no thread can be started")
    return True


def uwsgi_without_threads() -> bool:
    """Say whether this is a uWSGI process in which a thread would never run.

    uWSGI itself says so: `--enable-threads` decided it up to 2.0.26, and since 2.0.27 threads are on by default.
    """
    return getattr(sys.modules.get("uwsgi"), "has_threads", 1) == 0


def _uwsgi_is_about_to_fork() -> bool:
    """Say whether this is the uWSGI process that loads the application and then forks the workers.

    uWSGI forks without telling Python. A worker that is forked while a thread of its parent holds the interpreter's
    lock waits for that lock for ever, and never answers a request.
    """
    uwsgi = sys.modules.get("uwsgi")
    try:
        return uwsgi is not None and uwsgi.worker_id() == 0 and uwsgi.masterpid() in {0, os.getpid()}
    except AttributeError:  # another module of that name
        return False


def _unavailable(why: str) -> bool:
    global _warned  # noqa: PLW0603  # one warning per process
    if not _warned:
        _warned = True
        logger.warning(
            "otas: %s. Events wait in memory and are sent by otas_middleware.flush() and when the process ends.", why
        )
    return False


def cooperative() -> bool:
    """Say whether gevent or eventlet has replaced the socket module, so that native code may not block."""
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None and gevent.is_module_patched("socket"):
        return True
    eventlet = sys.modules.get("eventlet.patcher")
    return eventlet is not None and bool(eventlet.is_monkey_patched("socket"))
