"""The session token in Celery's messages: put in where a task is sent, put in force where it runs."""

from __future__ import annotations

from contextvars import ContextVar
from importlib import import_module
from typing import TYPE_CHECKING, Any

from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware._errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable

_NAME = TOKEN_HEADER.lower().replace("-", "_")
"""Celery makes each header an attribute of the task's request, so its name must be one."""

_runs: ContextVar[tuple[Any, ...]] = ContextVar("otas_middleware.celery_runs", default=())
"""What was in force before each task that runs in this context, the innermost last.

State is a run's, never a task id's: a retry, or a message that is delivered twice, runs under the same id at the same
time, in another thread or greenlet, each of which has a context of its own.
"""


def connect(token: Callable[[], str | None], enter: Callable[..., Any], leave: Callable[[Any], object]) -> None:
    """Connect the signals; once, however often it is called.

    Args:
        token: Returns the token of the sender.
        enter: Puts a task's token in force (None when its message has none) and returns what was before; with
            `inherit`, what is in force stays where there is none.
        leave: Puts back what `enter` returned.

    Raises:
        MissingExtraError: Celery is not installed.
    """
    try:
        signals: Any = import_module("celery.signals")  # Celery has no types
    except ImportError:
        raise MissingExtraError("Passing sessions on to Celery tasks", "celery") from None

    def publishing(headers: dict[str, Any] | None = None, **_: Any) -> None:
        current = token()
        if current is not None and headers is not None:
            headers.setdefault(_NAME, current)

    def starting(task: Any = None, **_: Any) -> None:
        sent: object = getattr(task.request, _NAME, None)
        passed = sent if isinstance(sent, str) else None
        # An eager task runs where it was sent, and there was no message to put the token into.
        _runs.set((*_runs.get(), enter(passed, inherit=bool(task.request.is_eager))))

    def ending(**_: Any) -> None:
        runs = _runs.get()
        if runs:  # else it began before the signals were connected
            _runs.set(runs[:-1])
            leave(runs[-1])

    for name, receiver in (("before_task_publish", publishing), ("task_prerun", starting), ("task_postrun", ending)):
        getattr(signals, name).connect(receiver, weak=False, dispatch_uid=f"otas_middleware.{name}")
