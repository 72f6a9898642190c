"""From a finished request to an event that may leave the process: render → redact → fit.

Runs in the worker. `before_send`, the user's last word, gets a redacted event; what it returns is redacted and fitted
again, so that nothing it adds can leak or be refused.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from pydantic_core import to_json

from otas_middleware._describe import SDK, error_of, foreign_metadata, own_metadata, status_of
from otas_middleware._event import NIL_PROJECT, BackendEvent, Parcel
from otas_middleware._fit import coerce, fit
from otas_middleware._guard import swallow
from otas_middleware._paths import PathSet
from otas_middleware._redact import MASK, Masker, redactor_for
from otas_middleware._render import EMPTY, EventStream, all_values, first_value, header_map, render_body

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._capture import Capture
    from otas_middleware._redact import Redactor
    from otas_middleware._render import Body, HeaderMap
    from otas_middleware._settings import OtasSettings

# A multipart form of 10,000 parts: each an object of a name, a value or two, perhaps a mark.
_PARTS_NODES = 60_000
_PARTS_CHARACTERS = 2_097_152


class Plan(NamedTuple):
    """What a set of settings says about building, worked out once."""

    project_id: str
    limit: int
    redactor: Redactor
    without_headers: PathSet
    without_request_body: PathSet
    without_response_body: PathSet


@lru_cache(maxsize=32)
def plan_for(settings: OtasSettings) -> Plan:
    """Return the plan of these settings, made at the first call."""
    everything = ("*",)
    return Plan(
        project_id=str(settings.project_id) if settings.project_id is not None else NIL_PROJECT,
        limit=settings.max_body_bytes,
        redactor=redactor_for(settings),
        without_headers=PathSet(settings.skip_header_paths if settings.capture_headers else everything),
        without_request_body=PathSet(settings.skip_request_body_paths if settings.capture_request_body else everything),
        without_response_body=PathSet(
            settings.skip_response_body_paths if settings.capture_response_body else everything
        ),
    )


def build(capture: Capture, settings: OtasSettings) -> Parcel | None:
    """Turn one request's copy into the parcel that is sent, or None when `before_send` withheld it."""
    session = capture.session
    event = _event(capture, plan_for(settings))
    if settings.before_send is not None:
        decided = ask_before_send(settings.before_send, event, settings, session.token)
        if decided is None:
            return None
        event = decided
    return Parcel(event=event, token=session.token, session_id=session.session_id, agent_id=session.agent_id)


def _event(capture: Capture, plan: Plan) -> BackendEvent:
    """Render, redact and fit what was captured."""
    masker = Masker(plan.redactor, capture.session.token)
    path = capture.path
    request_headers = header_map(capture.request_headers)
    response_headers = header_map(capture.response_headers)
    with_headers = path not in plan.without_headers
    request = response = EMPTY
    if path not in plan.without_request_body:
        request = _render(capture.request_body(), capture.request_size, request_headers, plan.limit)
    if path not in plan.without_response_body:
        response = _render(capture.response_body(), capture.response_size, response_headers, plan.limit)
    metadata = own_metadata(capture)
    foreign = foreign_metadata(capture, request_headers)
    if foreign:
        metadata.update(masker.value(foreign))
    truncated = {
        name: body.truncated
        for name, body in (("request_body", request), ("response_body", response))
        if body.truncated is not None
    }
    if truncated:
        metadata["truncated"] = truncated
    if response.is_event_stream:
        response = _stream(response, capture, metadata, masker)
    status = status_of(capture)
    query = capture.query_string
    request_text = _mask_body(request, masker)
    fields = {
        "project_id": plan.project_id,
        "path": masker.path(path),
        "method": capture.method,
        "status_code": status,
        "latency_ms": capture.latency * 1000.0,
        "request_size_bytes": capture.request_size,
        "response_size_bytes": capture.response_size,
        "request_headers": masker.headers(request_headers) if with_headers else "",
        "response_headers": masker.headers(response_headers) if with_headers else "",
        "request_body": "" if request.parts is not None else request_text,
        "response_body": _mask_body(response, masker),
        "query_params": masker.pairs(query.decode("latin-1") if isinstance(query, bytes) else query),
        "post_data": request_text if request.is_form or request.parts is not None else "",
        "request_content_type": masker.text(first_value(request_headers, "content-type")),
        "response_content_type": masker.text(first_value(response_headers, "content-type")),
        "custom_properties": masker.value(capture.custom_properties) if capture.custom_properties else {},
        "metadata": metadata,
        "error": masker.text(error_of(capture, status)),
    }
    coerce(fields)
    return fit(fields)


def _render(data: bytes, size: int, headers: HeaderMap, limit: int) -> Body:
    content_type = first_value(headers, "content-type")
    content_encoding = all_values(headers, "content-encoding") if "content-encoding" in headers else ""
    return render_body(data, size, content_type, content_encoding, limit)


def _mask_body(body: Body, masker: Masker) -> str:
    if body.parts is not None:
        return to_json(masker.value(body.parts, max_nodes=_PARTS_NODES, max_characters=_PARTS_CHARACTERS)).decode()
    return masker.pairs(body.text) if body.is_form else masker.text(body.text)


def _stream(body: Body, capture: Capture, metadata: dict[str, Any], masker: Masker) -> Body:
    """Describe an event stream in the metadata; return its body without the pieces of a secret that was cut up."""
    stream = EventStream(body.text)
    ended = "error" if capture.exception is not None else "aborted" if capture.aborted else "complete"
    about: dict[str, Any] = {"events": stream.events, "ended": ended}
    if capture.ttfb is not None:
        about["first_event_ms"] = round(capture.ttfb * 1000, 3)
    text = stream.text()
    if text is not None:
        about["text"] = masker.text(text)
    metadata["stream"] = about
    return body._replace(text=stream.masked(masker.text, MASK))


def finish_event(event: BackendEvent, settings: OtasSettings, token: str = "") -> BackendEvent:
    """Redact and fit an event that holds text already: made by the agent side, by user code, or by `before_send`.

    Args:
        event: The event; it is left as it is.
        settings: What is sensitive beyond the defaults.
        token: The raw session token, so that it can be masked wherever it was echoed.

    Returns:
        An event that holds no secret and that Brain can store, with an `event_id`.
    """
    fields = dict(event.__dict__)
    coerce(fields)
    Masker(redactor_for(settings), token).fields(fields)
    fields["metadata"].setdefault("event_id", str(uuid4()))
    fields["metadata"].setdefault("sdk", SDK)
    return fit(fields)


def ask_before_send(
    before_send: Callable[[BackendEvent], object], event: BackendEvent, settings: OtasSettings, token: str
) -> BackendEvent | None:
    """Ask the user's function. When it fails, the event is withheld: it may be what would have taken something out."""
    try:
        decided = before_send(event)
        if decided is None:
            return None
        if not isinstance(decided, BackendEvent):
            raise TypeError(f"before_send returned {type(decided).__name__}, not a BackendEvent or None")  # noqa: TRY301
    except Exception:
        swallow("before_send")
        return None
    return finish_event(decided, settings, token)
