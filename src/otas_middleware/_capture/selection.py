"""Which admitted requests are recorded: paths, methods, the user's own word, sampling and limits by session.

Paths are written as settings name them: exact (`/health`), a prefix (`/static/`), or a pattern (`/*/internal`).
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from fnmatch import translate
from typing import TYPE_CHECKING, NamedTuple

from otas_middleware._errors import report_internal_error
from otas_middleware._runtime import ForkSafeLock, monotonic

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from otas_middleware._capture import Capture, Headers
    from otas_middleware._capture.session import SessionInfo
    from otas_middleware._config.settings import OtasSettings

_BURST_SECONDS = 10.0
_MAX_BUDGETS = 4096


class RequestInfo(NamedTuple):
    """What `should_record` gets to decide by.

    Attributes:
        method: Such as `GET`.
        path: The full path, decoded.
        query_string: As the server gave it.
        headers: Name and value pairs as the server gave them: bytes under ASGI, such as `user-agent`; text under WSGI,
            such as `USER-AGENT`.
        session: Who is calling.
        framework: Such as `flask`.
    """

    method: str
    path: str
    query_string: str | bytes
    headers: Sequence[tuple[bytes, bytes]] | Sequence[tuple[str, str]]
    session: SessionInfo
    framework: str

    def header(self, name: str) -> str | None:
        """Return the value of a header, the first of several, or None; the same under ASGI and WSGI.

        Args:
            name: Its name, in capitals or not, such as `X-Tenant`.
        """
        wanted = name.lower()
        for given, value in self.headers:
            text = given.decode("latin-1") if isinstance(given, bytes) else given
            if text.lower() == wanted:
                return value.decode("latin-1") if isinstance(value, bytes) else value
        return None


class PathSet:
    """Tells whether a path is among those that a setting names.

    Args:
        entries: A path; a prefix, which ends in `/` or in `*`; or a pattern with `*`, `?` or `[...]` in it.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        exact: list[str] = []
        prefixes: list[str] = []
        patterns: list[str] = []
        for entry in entries:
            stem = entry.removesuffix("*")
            if set(stem) & set("*?["):
                patterns.append(translate(entry))
            else:
                (prefixes if stem.endswith("/") or stem != entry else exact).append(stem)
        self._exact = frozenset(exact)
        self._prefixes = tuple(prefixes)
        self._pattern = re.compile("|".join(patterns)) if patterns else None

    def names(self, path: str) -> bool:
        """Say whether a path is named itself or begins as one of them; cheap enough for the request path."""
        return path in self._exact or path.startswith(self._prefixes)

    def matches(self, path: str) -> bool:
        """Say whether a pattern matches a path."""
        return self._pattern is not None and self._pattern.match(path) is not None

    def __contains__(self, path: str) -> bool:
        return self.names(path) or self.matches(path)


class Selection:
    """Decides on the request path what is recorded, and counts what is not by reason.

    Args:
        settings: `ignore_paths`, `ignore_methods`, `ignore_operations`, `should_record`, the sample rate and the limits
            per session.
    """

    def __init__(self, settings: OtasSettings) -> None:
        self._skipped: Counter[str] = Counter()
        self._lock = ForkSafeLock()
        self._paths = PathSet(settings.ignore_paths)
        self._methods = frozenset(method.upper() for method in settings.ignore_methods)
        self._operations = [re.compile(translate(name)) for name in settings.ignore_operations]
        self._should_record = settings.should_record
        self._sample_below = int(settings.session_sample_rate * 2**32)
        self.takes_all = (
            not (settings.ignore_paths or settings.ignore_methods)
            and settings.should_record is None
            and settings.session_sample_rate >= 1
            and settings.session_max_events_per_second is None
            and settings.session_max_bytes_per_second is None
        )
        """Nothing is ever left out, so that nobody need ask."""
        self._events = _Budgets(settings.session_max_events_per_second)
        self._bytes = _Budgets(settings.session_max_bytes_per_second)

    @property
    def skipped(self) -> Counter[str]:
        """How many requests were left out, by reason."""
        with self._lock:
            return self._skipped.copy()

    def wants(
        self,
        method: str,
        path: str,
        query_string: str | bytes,
        headers: Headers,
        session: SessionInfo,
        framework: str,
    ) -> bool:
        """Say whether a request is to be captured; called before anything is copied (see `RequestInfo`).

        Args:
            method: Such as `GET`.
            path: The full path, decoded.
            query_string: As the server gave it.
            headers: As the server gave them.
            session: Who is calling.
            framework: Such as `flask`.
        """
        if self._paths.names(path) or method in self._methods:
            return self._skip("ignored")
        if self._should_record is not None:
            try:
                wanted = self._should_record(RequestInfo(method, path, query_string, headers, session, framework))
            except Exception:
                report_internal_error("should_record", "the request is not recorded")
                wanted = False
            if not wanted:
                return self._skip("should_record")
        if not self._events.spend(session.session_id, 1.0):
            return self._skip("session_events_limit")
        return True

    def keeps(self, session_id: str, weight: int, *, failed: bool) -> bool:
        """Say whether a finished capture is to be sent; called before it is queued.

        Args:
            session_id: The session, which sampling keeps or drops whole.
            weight: The capture's size in bytes.
            failed: Whether the event is an error; sampling always keeps those.
        """
        if not failed and not self.samples(session_id):
            return self._skip("sampled_out")
        if not self._bytes.spend(session_id, float(weight)):
            return self._skip("session_bytes_limit")
        return True

    def samples(self, session_id: str) -> bool:
        """Say whether a session is among those that are recorded whole."""
        return zlib.crc32(session_id.encode("utf-8", "surrogatepass")) < self._sample_below

    def leaves_out(self, capture: Capture, called: Iterable[str], *, failed: bool) -> bool:
        """Say whether a capture is left out by what was called in it; asked in the background.

        Args:
            capture: The finished request.
            called: The operation's name and method, where they are known.
            failed: Whether the event is an error.
        """
        if self._operations and any(pattern.match(name) for name in called for pattern in self._operations):
            return not self._skip("ignored")
        return capture.sampled_out and not self.keeps(capture.session.session_id, capture.weight, failed=failed)

    def matches_pattern(self, path: str) -> bool:
        """Say whether a pattern of `ignore_paths` matches; the worker asks, since regular expressions cost."""
        return self._paths.matches(path) and not self._skip("ignored")

    def _skip(self, reason: str) -> bool:
        with self._lock:
            self._skipped[reason] += 1
        return False


class _Budgets:
    """A token bucket for each session, refilled at a rate, at most ten seconds' worth; at most 4,096 sessions."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._left: dict[str, tuple[float, float]] = {}
        """What is left, and when that was said; the session that was longest without a request first."""
        self._lock = ForkSafeLock()

    def spend(self, session_id: str, amount: float) -> bool:
        rate = self._rate
        if rate is None:
            return True
        now = monotonic()
        full = max(rate * _BURST_SECONDS, 1.0)
        with self._lock:
            left, then = self._left.pop(session_id, (full, now))
            left = min(full, left + max(0.0, now - then) * rate)
            # An amount above the whole bucket may pass when the bucket is full, or it never could.
            enough = left >= min(amount, full)
            while len(self._left) >= _MAX_BUDGETS:
                del self._left[next(iter(self._left))]
            self._left[session_id] = (left - amount if enough else left, now)
        return enough
