"""What an event says beside its bodies: status, error, and the documented keys of `metadata`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from os import urandom
from typing import TYPE_CHECKING, Any

from otas_middleware._event.render import first_value
from otas_middleware._event.routes import template
from otas_middleware._version import __version__

if TYPE_CHECKING:
    from otas_middleware._capture.capture import Capture
    from otas_middleware._event.render import HeaderMap

SDK = {"name": "otas-middleware", "version": __version__}

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def new_event_id() -> str:
    """Return a random UUID (version 4, RFC 9562); `uuid.uuid4` takes thrice as long to say the same."""
    digits = urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def timestamp(seconds: float) -> str:
    """Return a Unix time in ISO 8601, with milliseconds."""
    thousandths = int(seconds * 1000)
    return f"{_second(thousandths // 1000)}.{thousandths % 1000:03d}+00:00"


@lru_cache(maxsize=16)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def status_of(capture: Capture) -> int:
    """Return the status; when no response was started, 500 after an exception and 499 when the client had gone."""
    if capture.status_code:
        return capture.status_code
    if capture.exception is not None:
        return 500
    return 499 if capture.aborted else 0


def failure_of(capture: Capture, status: int) -> tuple[str, str]:
    """Return what went wrong, as the name of a class of failure and a message; both empty when nothing did.

    The exception, or the status when it is 400 or above.
    """
    if capture.exception is not None:
        return capture.exception.type, capture.exception.message
    return ("", _status_line(status, capture.reason)) if status >= 400 else ("", "")


def own_metadata(capture: Capture, request_headers: HeaderMap) -> dict[str, Any]:
    """Return the metadata that is made here and holds nothing that a client or an application wrote."""
    metadata: dict[str, Any] = {
        "event_id": new_event_id(),
        "captured_at": timestamp(capture.captured_at),
        "framework": capture.framework,
        "sdk": SDK,
        "session": {"fingerprint": capture.session.fingerprint, "verified": capture.session.verified},
        "ttfb_ms": None if capture.ttfb is None else round(capture.ttfb * 1000, 3),
    }
    if capture.aborted:
        metadata["aborted"] = True
    if "traceparent" in request_headers:
        traceparent = _TRACEPARENT.match(first_value(request_headers, "traceparent"))
        if traceparent is not None:
            metadata["trace_id"] = traceparent[1]
    return metadata


def foreign_metadata(capture: Capture) -> dict[str, Any]:
    """Return the metadata that others had a hand in: it is looked through before it leaves."""
    metadata: dict[str, Any] = {}
    if capture.exception is not None:
        kind, message, traceback = capture.exception
        metadata["exception"] = {"type": kind, "message": message}
        if traceback is not None:
            metadata["exception"]["traceback"] = traceback
    if capture.checkpoints:
        metadata["checkpoints"] = [
            {"name": name, "ms": round(ms, 3), "attributes": attributes} for name, ms, attributes in capture.checkpoints
        ]
    return metadata


def route_of(capture: Capture) -> str | None:
    """Return the route's template, such as `/orders/{order_id}`, or None when no route matched."""
    return template(capture.path, capture.route, capture.path_params)


def _status_line(status: int, reason: str | None) -> str:
    """Return such as `404 Not Found`: spelt as the standard does, for Flask shouts; another reason is kept."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Client Closed Request" if status == 499 else "Error"
    return f"{status} {reason if reason and reason.lower() != phrase.lower() else phrase}"
