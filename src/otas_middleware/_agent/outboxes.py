"""The outboxes of this process: one for each set of settings, emptied when the process ends."""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import TYPE_CHECKING

from otas_middleware._agent.outbox import Outbox, in_background
from otas_middleware._delivery import process as _process
from otas_middleware._runtime import runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._runtime import Behaviour

logger = logging.getLogger("otas_middleware")


class _LastCall:
    """At the end of the process, before the pipelines end: takes in what is unfinished or waits for a session."""

    def before_fork(self) -> None:
        """Nothing is open."""

    def after_fork(self) -> None:
        """Nothing was closed."""

    def renew(self) -> None:
        """What belongs to a process knows it by itself."""

    def deadline(self) -> float:
        """Return until when it may take, in `time.monotonic` seconds."""
        longest = max((outbox.settings.shutdown_timeout for outbox in outboxes()), default=0.0)
        return time.monotonic() + longest

    def end(self, deadline: float) -> None:
        """Send on what waits; what cannot be is counted and logged."""
        for outbox in outboxes():
            for call in list(outbox.under_way):
                call.cut_off()
            for room in list(outbox.rooms):
                if not room.settle(deadline):
                    logger.warning("otas: %d calls were not recorded, for want of a session.", room.give_up())


_outboxes: dict[OtasSettings, Outbox] = {}
_lock = threading.Lock()
if hasattr(os, "register_at_fork"):  # no child may find the lock held by a thread that it does not have
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
_process.register(_LastCall())  # before any pipeline of ours, since they end in this order


def outbox_for(settings: OtasSettings) -> Outbox:
    """Return the process's outbox for these settings; what concerns only one session's calls makes no difference."""
    settings = settings.replace(project_domain=(), propagate_to=(), sdk_key=None)
    with _lock:
        outbox = _outboxes.get(settings)
        if outbox is None:
            outbox = _outboxes[settings] = Outbox(settings, runtime.behaviour.deliver_agent or in_background)
            runtime.sources.append(outbox)
    return outbox


def outboxes() -> list[Outbox]:
    """Return all outboxes of this process."""
    with _lock:
        return list(_outboxes.values())


def _redirect(behaviour: Behaviour) -> Callable[[], None]:
    """Have the outboxes deliver as a new behaviour says; return what gives them back what they had."""
    make = behaviour.deliver_agent or in_background
    replaced = {outbox: outbox.delivery for outbox in outboxes()}
    for outbox in replaced:
        outbox.delivery = make(outbox)

    def undo() -> None:
        usual = runtime.behaviour.deliver_agent or in_background
        for outbox in outboxes():
            outbox.delivery = replaced[outbox] if outbox in replaced else usual(outbox)

    return undo


runtime.follow("deliver_agent", _redirect)
