"""An exception as text, so that no frame and no local variable is kept alive."""

from __future__ import annotations

import sys
import traceback
from typing import NamedTuple, cast

_MAX_MESSAGE_CHARS = 8192
_MAX_TRACEBACK_FRAMES = 50
_TOO_LATE = (
    "Caught handled exception, but response already started.",  # Starlette's RuntimeError
    "Exception caught after response started",  # Litestar's LitestarException
)
"""Messages of exceptions that say of another one only that it came too late to be answered."""


class CapturedException(NamedTuple):
    """What is kept of an exception; the traceback only where it was asked for."""

    type: str
    message: str
    traceback: str | None


def describe_exception(error: BaseException, *, with_traceback: bool) -> CapturedException:
    """Turn an exception into text: its type's name, message (at most 8,192 characters) and, if asked, traceback."""
    error = innermost(error)
    message = _message_of(error)
    text = None
    if with_traceback:
        text = "".join(traceback.format_exception(error, limit=-_MAX_TRACEBACK_FRAMES))
    return CapturedException(type(error).__qualname__, message, text)


def _message_of(error: BaseException) -> str:
    try:
        return str(error)[:_MAX_MESSAGE_CHARS]
    except Exception:  # its __str__ is foreign code
        return "(its message cannot be read)"


def innermost(error: BaseException) -> BaseException:
    """Take off what was put around the one exception that it is about: by task groups, and by frameworks."""
    while True:
        if isinstance(error, BaseExceptionGroup):
            inner = cast("BaseExceptionGroup[BaseException]", error).exceptions
            if len(inner) != 1:
                return cast("BaseException", error)
            error = inner[0]
        elif error.__cause__ is not None and _message_of(error) in _TOO_LATE:
            error = error.__cause__
        else:
            return error


def is_loss_of_the_client(error: BaseException) -> bool:
    """Say whether an exception means, of a client that is known to have gone, only that it could not be served.

    Such are a cancellation or another end from outside, the `OSError` of the server's `send`, what Starlette makes of
    it, and groups that hold nothing else.
    """
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return all(is_loss_of_the_client(inner) for inner in group.exceptions)
    if not isinstance(error, Exception) or isinstance(error, OSError):
        return True
    starlette = sys.modules.get("starlette.requests")
    return starlette is not None and isinstance(error, starlette.ClientDisconnect)
