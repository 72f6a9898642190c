"""From a finished request to an event that may leave the process: render → redact → fit.

Runs in the worker.
"""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from otas_middleware._event import NIL_PROJECT, BackendEvent, Parcel
from otas_middleware._fit import fit
from otas_middleware._redact import redactor_for
from otas_middleware._render import header_map, render_body
from otas_middleware._routes import template
from otas_middleware._version import __version__

if TYPE_CHECKING:
    from otas_middleware._capture import Capture
    from otas_middleware._settings import OtasSettings

_SDK = {"name": "otas-middleware", "version": __version__}


def build(capture: Capture, settings: OtasSettings) -> Parcel | None:
    """Turn one request's copy into the parcel that is sent, or None when `before_send` withheld it."""
    session = capture.session
    event = finish_event(_assemble(capture, settings), settings, token=session.token)
    return Parcel(event=event, token=session.token, session_id=session.session_id, agent_id=session.agent_id)


def finish_event(event: BackendEvent, settings: OtasSettings, token: str = "") -> BackendEvent:
    """Redact and fit an event that holds text already: made by user code, by the agent side, or by `build`.

    Args:
        event: The event; it is left as it is.
        settings: What is sensitive beyond the defaults.
        token: The raw session token, so that it can be masked wherever it was echoed.

    Returns:
        An event that holds no secret and that Brain can store.
    """
    return fit(redactor_for(settings).event(event, token))


def _assemble(capture: Capture, settings: OtasSettings) -> BackendEvent:
    request_headers = header_map(capture.request_headers)
    response_headers = header_map(capture.response_headers)
    status = capture.status_code or (500 if capture.exception else 499 if capture.aborted else 0)
    bodiless = capture.method == "HEAD" or status in {204, 304}
    request = render_body(capture.request_body(), capture.request_size, request_headers)
    response = render_body(
        b"" if bodiless else capture.response_body(), 0 if bodiless else capture.response_size, response_headers
    )
    metadata: dict[str, Any] = {
        "event_id": str(uuid4()),
        "captured_at": datetime.fromtimestamp(capture.captured_at, UTC).isoformat(timespec="milliseconds"),
        "framework": capture.framework,
        "sdk": _SDK,
        "session": {"fingerprint": capture.session.fingerprint, "verified": capture.session.verified},
    }
    route = template(capture.path, capture.route, capture.path_params)
    if route is not None:
        metadata["route"] = route
    if capture.ttfb is not None:
        metadata["ttfb_ms"] = round(capture.ttfb * 1000, 3)
    if capture.aborted:
        metadata["aborted"] = True
    truncated = {
        side: body.truncated
        for side, body in (("request_body", request), ("response_body", response))
        if body.truncated
    }
    if truncated:
        metadata["truncated"] = truncated
    trace = request_headers.get("traceparent")
    if isinstance(trace, str) and len(parts := trace.split("-")) >= 4 and len(parts[1]) == 32:
        metadata["trace_id"] = parts[1]
    error = ""
    if capture.exception is not None:
        kind, message, traceback = capture.exception
        metadata["exception"] = {"type": kind, "message": message}
        if traceback is not None:
            metadata["exception"]["traceback"] = traceback
        error = f"{kind}: {message}" if message else kind
    elif status >= 400:
        error = _status_line(status, capture.reason)
    if capture.checkpoints:
        metadata["checkpoints"] = [
            {"name": name, "ms": round(ms, 3), "attributes": attributes} for name, ms, attributes in capture.checkpoints
        ]
    query = capture.query_string
    return BackendEvent(
        project_id=str(settings.project_id) if settings.project_id else NIL_PROJECT,
        path=capture.path,
        method=capture.method,
        status_code=status,
        latency_ms=capture.latency * 1000,
        request_size_bytes=capture.request_size,
        response_size_bytes=0 if bodiless else capture.response_size,
        request_headers=redactor_for(settings).headers(request_headers),
        response_headers=redactor_for(settings).headers(response_headers),
        request_body=request.text,
        response_body=response.text,
        query_params=query.decode("latin-1") if isinstance(query, bytes) else query,
        post_data=request.form,
        request_content_type=_first(request_headers.get("content-type", "")),
        response_content_type=_first(response_headers.get("content-type", "")),
        custom_properties=dict(capture.custom_properties or {}),
        metadata=metadata,
        error=error,
    )


def _first(value: str | list[str]) -> str:
    return value if isinstance(value, str) else value[0]


def _status_line(status: int, reason: str | None) -> str:
    if not reason:
        try:
            reason = HTTPStatus(status).phrase
        except ValueError:
            reason = "Client closed the request" if status == 499 else "Error"
    return f"{status} {reason}"
