"""Who creates the sessions of this process: UASAM, or what stands in for it (the test kit)."""

from __future__ import annotations

import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from otas_middleware._capture.session import SessionInfo
    from otas_middleware._config.settings import OtasSettings

    Issue = Callable[[OtasSettings, Mapping[str, Any] | None, float], SessionInfo]
    """Creates a session, given the settings, its meta and the seconds that it may take."""


class Holder(Protocol):
    """What has a session."""

    def begin_anew(self, issue: Issue) -> Callable[[], None]:
        """Have a session of this issuer's from now on, with or without a key; return what undoes it."""
        ...


_holders: weakref.WeakSet[Holder] = weakref.WeakSet()
_stand_in: Issue | None = None
_begun_anew: list[tuple[Holder, Callable[[], None]]] = []


def register(holder: Holder) -> None:
    """Look after this one from now on."""
    _holders.add(holder)
    if _stand_in is not None:
        _begun_anew.append((holder, holder.begin_anew(_stand_in)))


def holders() -> list[Holder]:
    """Return the agent sessions of this process."""
    return list(_holders)


@contextmanager
def issued_by(issue: Issue) -> Generator[None]:
    """Have all agent sessions of the process, present and future, created by another than UASAM while the block runs.

    Args:
        issue: Creates them; at once and without a network.
    """
    global _stand_in, _begun_anew  # the sessions are the process's
    known, before = holders(), (_stand_in, _begun_anew)
    _stand_in, _begun_anew = issue, [(holder, holder.begin_anew(issue)) for holder in known]
    try:
        yield
    finally:
        ended = _begun_anew
        _stand_in, _begun_anew = before
        for holder, undo in ended:
            undo()
            if holder not in known:
                register(holder)  # for whoever stood in before
