"""Ctrl-C and its relatives, as an exception that comes once, and never where it would do harm."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """The demo was asked to stop; not an `Exception`, so that nothing takes it for a failure."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_status = 128 + number
        """What a shell reports for a program that ended by this signal."""


class Interruptions:
    """Context manager: while it is open, SIGINT, SIGTERM and SIGHUP raise `Interrupted` in the main thread.

    Only the first of them does: what follows it is cleaning up, which is bounded in time and must not be cut short.
    The handlers that were installed before come back at the end.
    """

    def __init__(self) -> None:
        self._shielded = False
        self._received: int | None = None
        self._raised = False

    def __enter__(self) -> Self:
        self._previous = [(number, signal.signal(number, self._receive)) for number in SIGNALS]
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous:
            signal.signal(number, handler)

    @contextmanager
    def shield(self) -> Generator[None]:
        """Hold a signal back for a short piece of work that must be done whole."""
        self._shielded = True
        try:
            yield
        finally:
            self._shielded = False
            self._raise()

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        self._received = number
        if not self._shielded:
            self._raise()

    def _raise(self) -> None:
        if self._received is not None and not self._raised:
            self._raised = True
            raise Interrupted(self._received)
