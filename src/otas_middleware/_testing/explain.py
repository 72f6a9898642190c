"""Why nothing was recorded: what a test's author would otherwise have to find out by reading our code."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

from otas_middleware import _recorder
from otas_middleware._agent import issuing
from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware._runtime import runtime

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_OFF = {
    "disabled": "recording is switched off (OTAS_ENABLED=0, or `enabled` false in the settings); switch it on",
    "no_sdk_key": "the middleware was made while no SDK key was set, and is off: make the application within the test, "
    "or set OTAS_SDK_KEY to anything (such as otas_test_test) before it is made",
}


class Baseline:
    """The counters of all recorders at a moment, to tell later what has happened since."""

    def __init__(self) -> None:
        self._refused: Counter[str] = Counter()
        self._skipped: Counter[str] = Counter()
        for recorder in _recorder.recorders():
            self._refused += recorder.gate.refused
            self._skipped += recorder.selection.skipped

    def session_secret(self) -> str | None:
        """Return the secret that the recorders check tokens with, if one has been configured so far."""
        for recorder in _recorder.recorders():
            if recorder.settings.session_secret is not None:
                return recorder.settings.session_secret.get_secret_value()
        return os.environ.get("OTAS_SESSION_SECRET") or None

    def reasons(self, withheld: int, unfinished: int, failures: Sequence[tuple[str, BaseException]]) -> list[str]:
        """Say, a sentence each, what may be the reason that there is no event.

        Args:
            withheld: How many finished requests were left out by the build step.
            unfinished: How many requests are not over.
            failures: Place and exception of what was swallowed.
        """
        recorders = _recorder.recorders()
        refused = sum((recorder.gate.refused for recorder in recorders), Counter[str]()) - self._refused
        skipped = sum((recorder.selection.skipped for recorder in recorders), Counter[str]()) - self._skipped
        found = [f"{count}x the session token was refused: {reason}" for reason, count in refused.items()]
        found += [f"{count}x the settings leave the request out: {reason}" for reason, count in skipped.items()]
        found += [f"recording failed in {where}: {type(error).__name__}: {error}" for where, error in failures]
        if withheld:
            found.append(f"{withheld}x `ignore_paths`, `ignore_operations` or `before_send` withheld the event")
        if unfinished:
            found.append(f"{unfinished}x the response has not been read to its end, or not been closed")
        return found or list(self._guesses())

    def _guesses(self) -> Iterator[str]:
        """Say what it can be when no counter has moved."""
        for reason in sorted(runtime.off_because):
            yield _OFF[reason]
        if _recorder.recorders():
            yield f"no request carried the header {TOKEN_HEADER}: pass headers=otas_events.headers"
        elif not runtime.off_because:
            yield "no middleware of otas_middleware was made in this process: is the application the right one?"
        if issuing.holders():
            yield (
                "no call to a host outside of project_domain went through a client of the AgentSession "
                "(session.client(), session.instrument(...)); calls inside are recorded by the backend that they reach"
            )
