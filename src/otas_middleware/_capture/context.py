"""The capture of the request that is being handled, for user code: annotate, checkpoint, current session."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from otas_middleware._capture.values import snapshot
from otas_middleware._internal_errors import report_internal_error

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from otas_middleware._capture.capture import Capture
    from otas_middleware._capture.session import SessionInfo

MARKER = "otas_middleware.capture"
"""Key in `scope` and `environ`; a request that has it is already being recorded."""

current: ContextVar[Capture | None] = ContextVar("otas_middleware.capture", default=None)

delivering: ContextVar[bool] = ContextVar("otas_middleware.delivering", default=False)
"""True in the threads that deliver: what a log handler asks of the application there is not recorded again."""


def mark(scope_or_environ: MutableMapping[str, Any], capture: Capture) -> None:
    """Mark a request as being recorded.

    With a plain text, not with the capture: hosts copy, pickle and print scopes and environs.
    """
    scope_or_environ[MARKER] = hex(id(capture))


def is_of(scope_or_environ: Mapping[str, Any], capture: Capture) -> bool:
    """Say whether a scope or environ, or what it is a copy of, is that of this capture's request."""
    return scope_or_environ.get(MARKER) == hex(id(capture))


def capture_of(scope_or_environ: Mapping[str, Any]) -> Capture | None:
    """Return the current capture if it is that of the request with this scope or environ, or with a copy of it."""
    capture = current.get()
    return capture if capture is not None and is_of(scope_or_environ, capture) else None


def _live() -> Capture | None:
    capture = current.get()
    return None if capture is None or capture.finished else capture


def annotate(**properties: object) -> None:
    """Add properties to this request's event, as its `custom_properties`; outside a recorded request do nothing.

    Args:
        **properties: Names and values; any JSON, other values are stored as text. They are taken as they are now:
            what is changed afterwards is not. Redaction applies to them.
    """
    capture = _live()
    if capture is not None:
        try:
            capture.annotate(snapshot(properties))
        except Exception:
            report_internal_error("annotate")


def checkpoint(name: str, /, **attributes: object) -> None:
    """Mark a moment of this request, in `metadata.checkpoints`; outside a recorded request do nothing.

    The entry holds the milliseconds since the request began.

    Args:
        name: What happened, such as `cache_lookup`.
        **attributes: Anything worth knowing about it; redaction applies to it.
    """
    capture = _live()
    if capture is not None:
        try:
            capture.checkpoint(name, snapshot(attributes))
        except Exception:
            report_internal_error("checkpoint")


def current_session() -> SessionInfo | None:
    """Return the agent session that the current request belongs to, or None when nothing is recorded."""
    capture = _live()
    return None if capture is None else capture.session
