"""The composition root: settings, token gate, delivery. Adapters ask it for a capture and get one or None."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from otas_middleware import _guard
from otas_middleware._capture import Capture
from otas_middleware._session import TokenGate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otas_middleware._configure import FrameworkSettings
    from otas_middleware._delivery import Pipeline
    from otas_middleware._settings import OtasSettings

logger = logging.getLogger("otas_middleware")

MARKER = "otas_middleware.capture"
"""Key of the capture in `scope` and `environ`; a request that has it is already being recorded."""


class Recorder:
    """Records requests for one set of settings; shared by all adapters of the process that have equal settings.

    Args:
        settings: Checked settings with an SDK key or another destination.
        pipeline: Where finished captures go.
        gate: Who may make us work.
    """

    __slots__ = ("__weakref__", "_limit", "_traceback", "gate", "pipeline", "settings")

    def __init__(self, settings: OtasSettings, pipeline: Pipeline, gate: TokenGate) -> None:
        self.settings = settings
        self.pipeline = pipeline
        self.gate = gate
        self._limit = settings.max_body_bytes
        self._traceback = settings.capture_traceback

    def begin(self, token: str | bytes, framework: str) -> Capture | None:
        """Start the capture of a request that carries a token.

        Args:
            token: The token header's value as the server gave it.
            framework: The adapter's name for the framework, such as `flask`.

        Returns:
            The capture to feed, or None when this request is not to be recorded.
        """
        now = time.time()
        session = self.gate.admit(token, now)
        if session is None:
            return None
        capture = Capture(self._submit, session, limit=self._limit, with_traceback=self._traceback, now=now)
        capture.framework = framework
        return capture

    def _submit(self, capture: Capture) -> None:
        self.pipeline.put(capture)


_recorders: dict[OtasSettings, Recorder] = {}
_lock = threading.Lock()
_warned: set[str] = set()


def open_recorder(
    keywords: Mapping[str, Any],
    framework: FrameworkSettings | None = None,
    settings: OtasSettings | None = None,
) -> Recorder | None:
    """Return the recorder for the given configuration, or None when the middleware is off.

    No network and no thread: those begin with the first recorded request. A missing SDK key is one warning.

    Args:
        keywords: Settings by field name, the strongest source.
        framework: The framework's own configuration.
        settings: Complete settings; no other source is read then, and `keywords` change single fields of them.

    Raises:
        ConfigurationError: A name is unknown or a value cannot be used.
    """
    from otas_middleware._configure import NO_FRAMEWORK, load_settings  # noqa: PLC0415  # pydantic only when needed

    if settings is None:
        settings = load_settings(keywords, framework or NO_FRAMEWORK)
    elif keywords:
        settings = settings.replace(**keywords)
    if not settings.enabled:
        return None
    if settings.sdk_key is None:
        _warn_once(
            "otas_middleware is off: no SDK key. Set OTAS_SDK_KEY to the project's backend key to record agent "
            "requests, or OTAS_ENABLED=0 to silence this warning."
        )
        return None
    return recorder_for(settings)


def recorder_for(settings: OtasSettings) -> Recorder:
    """Return this process's recorder for these settings, made at the first call."""
    from otas_middleware._build import build  # noqa: PLC0415  # heavy, and only for applications that record
    from otas_middleware._delivery import Pipeline  # noqa: PLC0415  # as above

    with _lock:
        recorder = _recorders.get(settings)
        if recorder is None:
            gate = TokenGate()
            recorder = Recorder(settings, Pipeline(settings, build), gate)
            _recorders[settings] = recorder
    return recorder


def flush(timeout: float = 2.0) -> bool:
    """Wait until everything queued has been delivered or spooled.

    Args:
        timeout: The longest wait, in seconds, over all queues together.

    Returns:
        True when nothing is waiting any more, False when the time was up first.
    """
    deadline = time.monotonic() + timeout
    done = True
    for recorder in list(_recorders.values()):
        done = recorder.pipeline.flush(max(0.0, deadline - time.monotonic())) and done
    return done


def stats() -> dict[str, Any]:
    """Return the counters of this process, summed over all recorders.

    Returns:
        The delivery counters (`captured`, `delivered`, `queued`, `dropped` by reason, …), `refused` (requests whose
        token was not admitted, by reason) and `internal_errors` (failures of our own that were swallowed, by place).
    """
    total: dict[str, Any] = {"refused": {}, "internal_errors": dict(_guard.counts)}
    for recorder in list(_recorders.values()):
        _add(total, recorder.pipeline.stats())
        _add(total["refused"], recorder.gate.refused)
    return total


def _add(total: dict[str, Any], part: Mapping[str, Any]) -> None:
    for name, value in part.items():
        if isinstance(value, dict):
            _add(total.setdefault(name, {}), value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            total[name] = total.get(name, 0) + value
        else:
            total[name] = value


def _warn_once(message: str) -> None:
    with _lock:
        if message in _warned:
            return
        _warned.add(message)
    logger.warning(message)
