"""The agent sessions of this process, for what stands in for UASAM (the test kit)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from otas_middleware._runtime import SharedWeakSet, runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from otas_middleware._capture.session import SessionInfo
    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._runtime import Behaviour

    Issue = Callable[[OtasSettings, Mapping[str, Any] | None, float], SessionInfo]
    """Creates a session, given the settings, its meta and the seconds that it may take."""


class Holder(Protocol):
    """What has a session."""

    def begin_anew(self, issue: Issue) -> Callable[[], None]:
        """Have a session of this issuer's from now on, with or without a key; return what undoes it."""
        ...


_holders: SharedWeakSet[Holder] = SharedWeakSet()
_begun_anew: list[tuple[Holder, Callable[[], None]]] = []


def register(holder: Holder) -> None:
    """Look after this one from now on."""
    _holders.add(holder)
    issue: Issue | None = runtime.behaviour.issue
    if issue is not None:
        _begun_anew.append((holder, holder.begin_anew(issue)))


def holders() -> list[Holder]:
    """Return the agent sessions of this process."""
    return list(_holders)


def _reissue(behaviour: Behaviour) -> Callable[[], None]:
    """Have all sessions created as a new behaviour says; return what gives them back what they had."""
    global _begun_anew  # noqa: PLW0603  # the sessions are the process's
    known, before, issue = holders(), _begun_anew, behaviour.issue
    _begun_anew = [] if issue is None else [(holder, holder.begin_anew(issue)) for holder in known]

    def undo() -> None:
        global _begun_anew  # as above
        ended, _begun_anew = _begun_anew, before
        for holder, give_back in ended:
            give_back()
            if holder not in known:
                register(holder)  # for whoever stood in before

    return undo


runtime.follow("issue", _reissue)
