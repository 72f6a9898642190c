"""The session token in Celery's messages: put in where a task is sent, put back where it runs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware._errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable

_NAME = TOKEN_HEADER.lower().replace("-", "_")
"""Celery makes each header an attribute of the task's request, so its name must be one."""


def connect(token: Callable[[], str | None], enter: Callable[[str], Any], leave: Callable[[Any], object]) -> None:
    """Connect the signals; once, however often it is called.

    Args:
        token: Returns the token of the sender.
        enter: Puts a token in force where a task runs; returns what was in force before.
        leave: Puts that back.

    Raises:
        MissingExtraError: Celery is not installed.
    """
    try:
        signals: Any = import_module("celery.signals")  # Celery has no types
    except ImportError:
        raise MissingExtraError("Passing sessions on to Celery tasks", "celery") from None
    before: dict[str, Any] = {}

    def publishing(headers: dict[str, Any] | None = None, **_: Any) -> None:
        current = token()
        if current is not None and headers is not None:
            headers.setdefault(_NAME, current)

    def starting(task_id: str = "", task: Any = None, **_: Any) -> None:
        sent: object = getattr(task.request, _NAME, None)
        if isinstance(sent, str):
            before[task_id] = enter(sent)

    def ending(task_id: str = "", **_: Any) -> None:
        if task_id in before:
            leave(before.pop(task_id))

    for name, receiver in (("before_task_publish", publishing), ("task_prerun", starting), ("task_postrun", ending)):
        getattr(signals, name).connect(receiver, weak=False, dispatch_uid=f"otas_middleware.{name}")
