"""Code of ours that is interrupted at each of its lines, as by a signal's handler that raises."""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import TYPE_CHECKING, Any

from support.agent import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType, FrameType


def at_each_line(is_ours: Callable[[CodeType], bool], act: Callable[[], object]) -> Iterator[set[str]]:
    """Act again and again, interrupted at another line each time, and at none in the end.

    Args:
        is_ours: Says whether to interrupt a function.
        act: What comes to it.

    Yields:
        After each time, the lines at which it has been interrupted so far.
    """
    interrupted, usual = set[str](), sys.gettrace()

    def trace(frame: FrameType, event: str, _: object) -> Any:
        place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        if event == "line" and place not in interrupted and is_ours(frame.f_code):
            interrupted.add(place)
            sys.settrace(usual)
            raise KeyboardInterrupt
        return trace

    before = -1
    while before < len(interrupted):
        before = len(interrupted)
        with contextlib.suppress(KeyboardInterrupt):
            sys.settrace(trace)
            act()
        sys.settrace(usual)
        yield interrupted


class TimeLimitError(BaseException):
    """What a signal's handler raises, wherever it strikes."""


def in_a_thread(work: Callable[[], object], profile: Any = None) -> None:
    """Do something in a thread that may hang for ever, and have it fail then."""

    def run() -> None:
        sys.setprofile(profile)
        try:
            work()
        finally:
            sys.setprofile(None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "it waits for itself"
