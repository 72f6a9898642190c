"""Code of ours that is interrupted at each of its lines, as by a signal's handler that raises."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

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
