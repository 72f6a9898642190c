"""The life of a process: its end, its forks, and whether it can have threads.

At the end, what is queued is sent within `shutdown_timeout`, by `atexit`: it runs on `sys.exit`, on the end of the main
script, and whenever a server turns a signal into one of these. No signal handler is touched. `multiprocessing` skips
`atexit` in its children, so its own finalizers are used there.

After a fork, the child must not touch what the parent's threads were using: locks may be held by threads that do not
exist any more, connections and queued events are the parent's. `os.register_at_fork` renews everything in the child; a
comparison of process ids covers uWSGI, which forks without telling Python.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from contextvars import Context
from typing import TYPE_CHECKING, Any

from otas_middleware import _errors
from otas_middleware._capture.context import delivering, in_delivery
from otas_middleware._runtime import Deadline, enough_stack, monotonic, runtime, this_process

if TYPE_CHECKING:
    from collections.abc import Callable


class ForkAware:
    """What ends with the process and may begin anew in a fork, such as a pipeline."""

    def before_fork(self) -> None:
        """Put down what must not be carried into a child: open database files."""

    def after_fork(self) -> None:
        """Go on in the parent."""

    def renew(self) -> object:
        """Start anew in a forked child."""

    def deadline(self) -> Deadline:
        """Return until when it may take to end."""
        raise NotImplementedError

    def end(self, deadline: Deadline) -> None:
        """Deliver or spool what is queued; what remains at the deadline is counted as lost."""
        raise NotImplementedError


LONGEST_WAIT = 10.0
"""Seconds that a fork waits at most for what must not be under way meanwhile."""

over_since = 0.0
"""When `atexit` had ended the pipelines of this process (`monotonic`), if it has. No thread can be started then:
what a later handler or a finalizer records is delivered there and then, within the time that the end has."""

_gated = False
_registered: dict[int, ForkAware] = {}
_hooked = False
_finalizers_of = (-1, 0)


def register(pipeline: ForkAware) -> None:
    """Look after this one from now on."""
    global _hooked  # noqa: PLW0603  # the hooks are the process's
    _registered[id(pipeline)] = pipeline
    if not _hooked:
        _hooked = True
        atexit.register(_at_exit)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_renew)


def _at_exit() -> None:
    global over_since  # noqa: PLW0603  # the process's
    try:
        end()
    finally:
        over_since = monotonic()


def unregister(pipeline: ForkAware) -> None:
    """Look after this one no longer: it has ended."""
    _registered.pop(id(pipeline), None)


def registered() -> list[ForkAware]:
    """Return all that was registered."""
    return list(_registered.values())


def end() -> None:
    """End all pipelines of this process, in the thread that calls, within the longest of their times.

    Raises:
        KeyboardInterrupt: Somebody was tired of waiting. Those that were left have ended too, in no time.
    """
    pipelines = list(_registered.values())
    deadlines = [pipeline.deadline() for pipeline in pipelines]
    interrupted: BaseException | None = None
    for pipeline, deadline in zip(pipelines, deadlines, strict=True):
        try:
            pipeline.end(deadline if interrupted is None else Deadline(0.0))
        except Exception:  # the process ends anyway; report_internal_error logs it
            _errors.report_internal_error("delivery.exit")
        except BaseException as error:  # raised again below
            interrupted = error
    if interrupted is not None:
        raise interrupted


def hook_pool_worker() -> None:
    """In a child of `multiprocessing`, of Celery's pool or of uWSGI, end the pipelines when it ends.

    Such children leave by `os._exit`, past `atexit`: the former run their finalizers first, the others send a signal,
    and uWSGI's with gevent call `uwsgi.atexit`. Called when a pipeline starts to work, since the child's own start
    clears finalizers that were registered before.
    """
    global _finalizers_of  # noqa: PLW0603  # once per process
    if _finalizers_of == this_process():
        return
    _finalizers_of = this_process()
    multiprocessing, util = sys.modules.get("multiprocessing"), sys.modules.get("multiprocessing.util")
    if multiprocessing is not None and util is not None and multiprocessing.parent_process() is not None:
        util.Finalize(None, end, exitpriority=1)
    celery = sys.modules.get("celery.signals")
    if celery is not None:
        celery.worker_process_shutdown.connect(_end_of_pool_worker, dispatch_uid="otas_middleware")

    uwsgi: Any = sys.modules.get("uwsgi")
    if uwsgi is not None:
        uwsgi.atexit = _EndOfUwsgi(getattr(uwsgi, "atexit", None))


def _end_of_pool_worker(**_: object) -> None:
    end()


class _EndOfUwsgi:
    """What uWSGI calls when a worker ends: what the application has set there, and then the end of the pipelines."""

    def __init__(self, before: Any) -> None:
        self._before = before

    def __call__(self) -> None:
        try:
            if self._before is not None:
                self._before()
        finally:
            end()


_by_main_thread = True
"""The fork that is under way is made by the main thread."""

_ends_with_its_thread = False
"""Another thread than the main one forked this process: it ends when that does, and without `atexit`."""

_watched = (-1, 0)
"""The process of which that is watched."""


def _before_fork() -> None:
    global _gated, _by_main_thread  # noqa: PLW0603  # between the hooks of one fork, which no other thread runs meanwhile
    _by_main_thread = threading.current_thread() is threading.main_thread()
    _gated = runtime.no_fork.acquire(timeout=LONGEST_WAIT)
    for pipeline in list(_registered.values()):
        pipeline.before_fork()


def _after_fork() -> None:
    for pipeline in list(_registered.values()):
        pipeline.after_fork()
    if _gated:
        runtime.no_fork.release()


def _renew() -> None:
    global over_since, _ends_with_its_thread  # noqa: PLW0603  # the process's
    over_since = 0.0
    _ends_with_its_thread = _ends_with_its_thread or not _by_main_thread
    runtime.no_fork = threading.RLock()  # the parent's may be held by a thread that is not here
    for pipeline in list(_registered.values()):
        pipeline.renew()


def _watch_main_thread() -> None:
    """End with the thread that a child was forked by: one of ours that waits for events would keep the process."""
    global _watched  # noqa: PLW0603  # once per process
    if not _ends_with_its_thread or _watched == this_process():
        return
    _watched = this_process()
    main = threading.main_thread()

    def wait() -> None:
        main.join()
        end()

    threading.Thread(target=wait, name="otas-end", daemon=True).start()


def start_thread(target: Callable[[], None], name: str) -> bool:
    """Start a daemon thread; return False, with one quiet warning per process, where threads cannot run.

    That is the case in an old uWSGI without `--enable-threads`, and where the system has no thread left. What is queued
    then waits for `flush()` and for the end of the process. Nothing is said at the end of the interpreter, when the
    calling thread delivers, nor before uWSGI forks its workers, which will have threads.

    The thread begins with an empty context; free-threaded Python would copy its starter's, which is a request's.
    """
    if uwsgi_without_threads():
        return _unavailable("uWSGI runs without threads; start it with --enable-threads")
    if _uwsgi_is_about_to_fork() or sys.is_finalizing():  # a thread started so late never runs, and is waited for
        return False

    def run() -> None:
        delivering.set(True)
        in_delivery.set(True)
        target()

    try:
        with enough_stack():
            Context().run(threading.Thread(target=run, name=name, daemon=True).start)
        _watch_main_thread()
    except RuntimeError as error:  # "can't start new thread", "can't create new thread at interpreter shutdown"
        return False if "shutdown" in str(error) else _unavailable("no thread can be started")
    return True


def threads_are_greenlets() -> bool:
    """Say whether gevent or eventlet stands for threads: what one of ours imports then keeps all requests waiting."""
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    return (gevent is not None and gevent.is_module_patched("threading")) or (
        eventlet is not None and eventlet.is_monkey_patched("thread")
    )


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
    runtime.log_once(
        logging.WARNING,
        f"otas: {why}. Events wait in memory and are sent by otas_middleware.flush() and when the process ends.",
    )
    return False
