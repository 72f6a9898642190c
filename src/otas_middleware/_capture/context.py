"""What code runs within: a request's capture, for user code (annotate, checkpoint, current session), or delivery.

Delivery holds locks for moments. In one of them the garbage collector may find a response that nobody closed, and a
signal's handler may flush: code of ours that interrupts code of ours, in the same thread. To wait for the lock would be
to wait for ever, since whoever holds it goes on only afterwards: what they want is done when the interrupted code has
ended, or by a thread.
"""

from __future__ import annotations

import os
from collections import deque
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from otas_middleware._capture.values import snapshot
from otas_middleware._errors import report_internal_error

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, MutableMapping

    from otas_middleware._capture import Capture
    from otas_middleware._capture.session import SessionInfo

T = TypeVar("T")

MARKER = "otas_middleware.capture"
"""Key in `scope` and `environ`; a request that has it is already being recorded."""

current: ContextVar[Capture | None] = ContextVar("otas_middleware.capture", default=None)

delivering: ContextVar[bool] = ContextVar("otas_middleware.delivering", default=False)
"""True in the threads that deliver: what a log handler asks of the application there is not recorded again."""

in_delivery: ContextVar[bool] = ContextVar("otas_middleware.in_delivery", default=False)
"""True where locks of delivery may be held: in its threads, and in a caller's while it is in delivery's code."""

_deferred: deque[tuple[Callable[[Any], object], Any]] = deque()


def mark(scope_or_environ: MutableMapping[str, Any], capture: Capture) -> None:
    """Mark a request as being recorded.

    With a plain text, not with the capture: hosts copy, pickle and print scopes and environs.
    """
    scope_or_environ[MARKER] = hex(id(capture))


def is_of(scope_or_environ: Mapping[str, Any], capture: Capture) -> bool:
    """Say whether a scope or environ, or what it is a copy of, is that of this capture's request."""
    return scope_or_environ.get(MARKER) == hex(id(capture))


def capture_of(scope_or_environ: Mapping[str, Any]) -> Capture | None:
    """Return the current capture if it is that of the request with this scope or environ, or with a copy of it."""
    capture = current.get()
    return capture if capture is not None and is_of(scope_or_environ, capture) else None


def _live() -> Capture | None:
    capture = current.get()
    return None if capture is None or capture.finished else capture


def annotate(**properties: object) -> None:
    """Add properties to this request's event, as its `custom_properties`; outside a recorded request do nothing.

    Args:
        **properties: Names and values; any JSON, other values are stored as text. They are taken as they are now:
            what is changed afterwards is not. Redaction applies to them.
    """
    capture = _live()
    if capture is not None:
        try:
            capture.annotate(snapshot(properties))
        except Exception:
            report_internal_error("annotate")


def checkpoint(name: str, /, **attributes: object) -> None:
    """Mark a moment of this request, in `metadata.checkpoints`; outside a recorded request do nothing.

    The entry holds the milliseconds since the request began.

    Args:
        name: What happened, such as `cache_lookup`.
        **attributes: Anything worth knowing about it; redaction applies to it.
    """
    capture = _live()
    if capture is not None:
        try:
            capture.checkpoint(name, snapshot(attributes))
        except Exception:
            report_internal_error("checkpoint")


def current_session() -> SessionInfo | None:
    """Return the agent session that the current request belongs to, or None when nothing is recorded."""
    capture = _live()
    return None if capture is None else capture.session


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
