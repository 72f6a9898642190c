"""A piece of blocking work under a coroutine: done in a thread of ours while the coroutine waits (asyncio, trio).

For durable events only (`durability` is `spool`, or `relay` while that does not take them): the event is made and
written while the response's last message is held back, and the event loop goes on. The threads are
ours, so that neither the application's nor ours wait for the other's.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from contextvars import Context
from typing import TYPE_CHECKING

from otas_middleware._capture.context import deferring_interruptions, delivering, in_delivery
from otas_middleware._errors import report_internal_error
from otas_middleware._runtime import enough_stack, this_process

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Future, ThreadPoolExecutor

    from otas_middleware._capture import Capture

_MOST_THREADS = 4
_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}
"""The threads of each process; a forked child's own."""


async def secure(capture: Capture, *, last: bool = False) -> None:
    """Do as `Capture.secure` does, without keeping the event loop.

    Args:
        capture: The capture to finish.
        last: The next bytes are known to be the last ones; otherwise the response's headers must tell.
    """
    try:
        if not capture.finished and (last or capture.whole):
            capture.ended()
            await finish(capture)
    except Exception:
        report_internal_error("capture.secure")


async def finish(capture: Capture) -> None:
    """Do as `Capture.finish` does, without keeping the event loop; wait until it is done."""
    if not capture.close() or _at_once(capture):
        return
    waiting = _waiting()
    done = None if waiting is None else _begin(capture.submit)
    if waiting is None or done is None:
        capture.submit()
        return
    wake, wait = waiting
    done.add_done_callback(lambda _: wake())
    await wait()


def finish_without_waiting(capture: Capture) -> None:
    """Do as `Capture.finish` does, for a request that was cancelled and must not wait any more."""
    if capture.close() and not _at_once(capture) and (_waiting() is None or _begin(capture.submit) is None):
        capture.submit()


def _at_once(capture: Capture) -> bool:
    """Give it to a relay that takes it now; return False where it may have to go to a disk."""
    submit_at_once: Callable[[Capture], bool] | None = getattr(capture.taker, "submit_at_once", None)
    return submit_at_once is not None and not in_delivery.get() and submit_at_once(capture)


def wait_for_all() -> None:
    """Wait until nothing is under way in this process; blocks."""
    pool = _pools.pop(this_process(), None)
    if pool is not None:
        pool.shutdown()


def _begin(work: Callable[[], None]) -> Future[None] | None:
    """Have a thread do the work, or return None when there can be none."""
    if in_delivery.get():
        return None  # a finalizer: the pool's own locks may be held
    from concurrent.futures import Future, ThreadPoolExecutor  # noqa: PLC0415  # asyncio's, and for those who spool

    done: Future[None] = Future()

    def run() -> None:
        if not done.set_running_or_notify_cancel():
            return
        try:
            work()
        except Exception:
            report_internal_error("capture.submit")
        finally:
            done.set_result(None)

    try:
        with deferring_interruptions():
            process = this_process()
            pool = _pools.get(process)
            if pool is None:
                made = ThreadPoolExecutor(_MOST_THREADS, "otas-durable", initializer=delivering.set, initargs=(True,))
                pool = _pools.setdefault(process, made)
            with enough_stack():
                Context().run(pool.submit, run)  # a thread that it starts keeps nothing of this request
    except RuntimeError:  # the interpreter is ending, or the system has no threads left
        if done.cancel():  # else a later call's thread would do it once more: the pool has taken it in
            return None
    return done


def _waiting() -> tuple[Callable[[], object], Callable[[], Awaitable[object]]] | None:
    """Return what wakes the current coroutine from any thread, and what it waits with; None under neither library."""
    trio = sys.modules.get("trio")  # first: in guest mode both run
    if trio is not None:
        with suppress(RuntimeError, AttributeError):  # another thread may just be importing it
            trio.lowlevel.current_task()
            done = trio.Event()
            token = trio.lowlevel.current_trio_token()
            return _unless_over(lambda: token.run_sync_soon(done.set)), done.wait
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None:
        with suppress(RuntimeError):
            loop = asyncio.get_running_loop()
            done = asyncio.Event()
            return _unless_over(lambda: loop.call_soon_threadsafe(done.set)), done.wait
    return None


def _unless_over(wake: Callable[[], object]) -> Callable[[], object]:
    def wake_quietly() -> None:
        with suppress(RuntimeError):  # the loop has ended, and nobody waits
            wake()

    return wake_quietly
