"""Code of ours that code of ours interrupts, in the same thread: a finalizer, or a signal's handler.

Delivery holds locks for moments. In one of them the garbage collector may find a response that nobody closed, and a
signal's handler may flush. To wait for the lock would be to wait for ever, since whoever holds it goes on only
afterwards: what they want is done when the interrupted code has ended, or by a thread.
"""

from __future__ import annotations

import os
from collections import deque
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from otas_middleware._internal_errors import report_internal_error

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

T = TypeVar("T")

in_delivery: ContextVar[bool] = ContextVar("otas_middleware.in_delivery", default=False)
"""True where locks of delivery may be held: in its threads, and in a caller's while it is in delivery's code."""

_deferred: deque[tuple[Callable[[Any], object], Any]] = deque()


def run_or_defer(work: Callable[[T], object], item: T) -> None:
    """Call what takes locks of delivery: now, or soon after, when the caller may have interrupted whoever holds them.

    Args:
        work: What takes them.
        item: Its argument.
    """
    if in_delivery.get():
        _deferred.append((work, item))
        with suppress(RuntimeError):  # no thread can be started: the interrupted code does it at its end
            # Not `threading.Thread`, whose start takes a lock of its own, which may be the interrupted one.
            import _thread  # noqa: PLC0415  # documented as the low-level threading interface, and rarely needed

            _thread.start_new_thread(_run_deferred, ())
        return
    try:  # as `deferring_interruptions`, whose generator each request would pay for
        in_delivery.set(True)  # and no token, which a signal's handler that raises might keep us from getting
        work(item)
    finally:
        in_delivery.set(False)
        if _deferred:
            _run_deferred()


@contextmanager
def deferring_interruptions() -> Generator[None]:
    """Have finalizers and handlers that interrupt the block wait for its end, and for that of one around it."""
    outer = in_delivery.get()
    try:
        in_delivery.set(True)
        yield
    finally:
        in_delivery.set(outer)
        if _deferred and not outer:
            _run_deferred()


def _run_deferred() -> None:
    while _deferred:
        try:
            work, item = _deferred.popleft()
        except IndexError:  # another thread was quicker
            return
        try:
            run_or_defer(work, item)
        except Exception:
            report_internal_error("interrupted")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_deferred.clear)  # it is the parent's
