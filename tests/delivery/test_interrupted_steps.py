"""A signal's handler may raise at any step of taking an event in or handing it over: none is lost or counted twice."""

from __future__ import annotations

import contextlib
import dis
import itertools
import sys
from typing import TYPE_CHECKING, Any

import pytest

from otas_middleware._delivery.queue import Queue
from otas_middleware._delivery.queue_item import QueueItem
from otas_middleware._runtime import Deadline
from support.agent import PATIENCE
from support.delivery import Item, RawServer, balance, created, pipeline
from support.interrupting import TimeLimitError, in_a_thread

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


OURS = (
    "_delivery/exporter.py",
    "_delivery/queue.py",
    "_delivery/stats.py",
    "_delivery/waiting_line.py",
    "_delivery/worker_pool.py",
)


LOOKED_AFTER = {"RESUME", "JUMP_BACKWARD", "CALL", "CALL_KW", "CALL_FUNCTION_EX"}
"""Instructions after which Python looks whether there is a signal to handle."""


def struck(step: int, work: Callable[[], object]) -> bool:
    """Do something that a signal's handler interrupts in a queue's or an exporter's own code, and raises.

    Args:
        step: At the so-manyth place where that can happen, counted from 1.
        work: What is done.

    Returns:
        Whether there were so many places.
    """
    left = [step]
    latest: dict[FrameType, str] = {}

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if not frame.f_code.co_filename.endswith(OURS):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left[0] -= latest.get(frame) in LOOKED_AFTER
            latest[frame] = dis.opname[frame.f_code.co_code[frame.f_lasti]]
            if not left[0]:
                raise TimeLimitError
        return trace

    sys.settrace(trace)
    try:
        with contextlib.suppress(TimeLimitError):
            work()
    finally:
        sys.settrace(None)
    return left[0] <= 0


@pytest.mark.parametrize("room", [2, 1000], ids=["full", "roomy"])
def test_a_signals_handler_may_raise_at_any_step_of_taking_an_event_in(room: int) -> None:
    def deliver_all_the_same(step: int) -> bool:
        queue = Queue(room, 10**9)
        for token in ("a", "b", "c"):
            queue.add(QueueItem(token, 10))
        flying, _ = queue.take(0.0, 8, early=False, watch=False)
        go_on = struck(step, lambda: queue.add(QueueItem("d", 10)))
        queue.add(QueueItem("a", 10))
        while flying:
            queue.delivered(flying.pop())
            flying, _ = queue.take(0.0, 8, early=False, watch=False)
        stats = queue.stats()
        assert (stats["queued"], stats["queued_bytes"], balance(stats)) == (0, 0, 0), step
        assert queue.wait(Deadline(0.0), lambda: False), step
        return go_on

    in_a_thread(lambda: all(map(deliver_all_the_same, itertools.count(1))))


@pytest.mark.parametrize("begun", [False, True], ids=["first", "later"])
def test_a_signals_handler_may_raise_at_any_step_of_handing_an_event_to_the_sender(begun: bool) -> None:
    def deliver_all_the_same(step: int) -> bool:
        with pipeline(server.url) as sender:
            if begun:
                sender.put(Item())
                assert sender.flush(PATIENCE)
            go_on = struck(step, lambda: sender.put(Item()))
            sender.put(Item())
            assert sender.flush(PATIENCE), step
            stats = sender.stats()
            assert stats["delivered"] == stats["captured"], step
            assert balance(stats) == 0, step
            return go_on

    with RawServer(lambda connection, _: connection.sendall(created())) as server:
        in_a_thread(lambda: all(map(deliver_all_the_same, itertools.count(1))))
