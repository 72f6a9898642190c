"""The errors that this package raises on purpose, and what becomes of its own failures, which no request ever sees.

A request must not break because recording it did. Code on the request path and in the worker therefore ends in
`except Exception: report_internal_error("where")`. Each failure is counted; each cause is logged once, as the
exception's type and place, never with its values or its message, which may hold what a client sent; messages of
`OtasError` are ours, and hold nothing of that. Tests set `reraise` (`_runtime.py`) and see
everything.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from otas_middleware._runtime import ForkSafeLock, runtime

if TYPE_CHECKING:
    from collections.abc import Generator

logger = logging.getLogger("otas_middleware")

counts: Counter[str] = Counter()
"""How many failures each place has swallowed in this process."""

_MAX_CAUSES = 256
_seen: set[tuple[str, str, int]] = set()
_lock = ForkSafeLock()


class OtasError(Exception):
    """Base of every error that `otas_middleware` raises."""

    @property
    def problem_and_fix(self) -> str:
        """The message without the package's name before it, for whoever says that anyway."""
        return str(self).removeprefix("otas_middleware: ")


class ConfigurationError(OtasError, ValueError):
    """A setting cannot be used. The message names the setting, the problem and the fix, never a secret's value."""


class MissingExtraError(OtasError, ImportError):
    """A feature needs an optional package. The message holds the `pip install` line that brings it."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs a package that is not installed; run: pip install 'otas-middleware[{extra}]'"
        )
        self.extra = extra


@contextmanager
def swallowing(where: str) -> Generator[None]:
    """Swallow and report what fails in a block, or in the function that this decorates; not where time counts.

    Args:
        where: As of `report_internal_error`.
    """
    try:
        yield
    except Exception:
        report_internal_error(where)


def report_internal_error(where: str, effect: str = "the request was not affected") -> None:
    """Account for the exception that is being handled; call it inside `except Exception`.

    Args:
        where: The place that failed, such as `"asgi.send"`; the key in `counts`.
        effect: What follows from it, for the log.

    Raises:
        Exception: The handled exception itself, but only while the runtime says `reraise`.
    """
    behaviour = runtime.behaviour
    if behaviour.reraise:
        raise  # noqa: PLE0704  # called inside an except block, as the docstring demands
    kind, error, traceback = sys.exc_info()
    if behaviour.on_internal_error is not None and error is not None:
        behaviour.on_internal_error(where, error)
    name = kind.__name__ if kind is not None else "unknown"
    if isinstance(error, OtasError):
        effect = f"{effect}. {str(error).removeprefix('otas_middleware: ').rstrip('.')}"
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    filename = traceback.tb_frame.f_code.co_filename if traceback is not None else "?"
    line = traceback.tb_lineno if traceback is not None else 0
    with _lock:
        counts[where] += 1
        cause = (where, filename, line)
        first = cause not in _seen and len(_seen) < _MAX_CAUSES
        if first:
            _seen.add(cause)
    if first:
        log(
            logging.WARNING,
            "otas: recording failed in %s (%s at %s:%d); %s. "
            "Further failures of this cause are only counted; see otas_middleware.stats().",
            where,
            name,
            filename,
            line,
            effect,
        )


def log(level: int, message: str, *values: object) -> None:
    """Write a log line from where nothing may fail: a request, or a thread that delivers.

    A handler or filter of the host's may raise, such as one that asks for the current request where there is none. That
    is between it and its author.

    Args:
        level: As for `logging.log`.
        message: The text, with `%s` and the like for the values.
        *values: No secret among them.
    """
    with suppress(Exception):  # see above
        logger.log(level, message, *values, stacklevel=2)
