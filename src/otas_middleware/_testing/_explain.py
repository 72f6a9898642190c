"""Why nothing was recorded: what a test's author would otherwise have to find out by reading our code."""

from __future__ import annotations

import gc
import os
import time
from collections import Counter
from typing import TYPE_CHECKING

from otas_middleware import _recorder
from otas_middleware._capture import Capture
from otas_middleware._session import TOKEN_HEADER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otas_middleware._recorder import Recorder

_OFF = {
    "disabled": "recording is switched off (OTAS_ENABLED=0, or `enabled` false in the settings); it must be on for this",
    "no_sdk_key": "the middleware was made while no SDK key was set, and is off: make the application within the test, "
    "or set OTAS_SDK_KEY to anything (such as otas_test_test) before it is made",
}


class Baseline:
    """The counters of all recorders at a moment, to tell later what has happened since."""

    def __init__(self) -> None:
        self._begun_at = time.time()
        self._refused: Counter[str] = Counter()
        self._skipped: Counter[str] = Counter()
        for recorder in _recorders():
            self._refused += recorder.gate.refused
            self._skipped += recorder.selection.skipped

    def session_secret(self) -> str | None:
        """Return the secret that the recorders check tokens with, if one has been configured so far."""
        for recorder in _recorders():
            if recorder.settings.session_secret is not None:
                return recorder.settings.session_secret.get_secret_value()
        return os.environ.get("OTAS_SESSION_SECRET") or None

    def reasons(self, withheld: int, failures: Sequence[tuple[str, BaseException]]) -> list[str]:
        """Say, a sentence each, what may be the reason that there is no event."""
        recorders = list(_recorders())
        refused = sum((recorder.gate.refused for recorder in recorders), Counter[str]()) - self._refused
        skipped = sum((recorder.selection.skipped for recorder in recorders), Counter[str]()) - self._skipped
        found = [f"{count}x the session token was refused: {reason}" for reason, count in refused.items()]
        found += [f"{count}x the settings leave the request out: {reason}" for reason, count in skipped.items()]
        found += [f"recording failed in {where}: {type(error).__name__}: {error}" for where, error in failures]
        if withheld:
            found.append(f"{withheld}x `ignore_paths` or `before_send` withheld the event")
        open_ = sum(1 for _ in self._unfinished())
        if open_:
            found.append(f"{open_}x the response has not been read to its end, or not been closed")
        if not recorders:
            found += [_OFF[reason] for reason in sorted(_recorder.off_because)]
        if not recorders and not found:
            found.append("no middleware of otas_middleware was made in this process: is the application the right one?")
        return found or [f"no request carried the header {TOKEN_HEADER}: pass headers=otas_events.headers"]

    def _unfinished(self) -> Iterator[Capture]:
        # Nobody keeps a list of the requests under way: the request path has no use for one.
        for candidate in gc.get_objects():
            if type(candidate) is Capture and not candidate.finished and candidate.captured_at >= self._begun_at:
                yield candidate


def _recorders() -> Iterator[Recorder]:
    return iter(_recorder.recorders())
