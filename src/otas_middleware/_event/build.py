"""From a finished request to an event that may leave the process: render → operation → redact → fit.

Runs in the worker. `before_send`, the user's last word, gets a redacted event; what it returns is redacted and fitted
again, so that nothing it adds can leak or be refused.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import to_json

from otas_middleware._capture.selection import PathSet
from otas_middleware._capture.session import TOKEN_HEADER, new_event_id
from otas_middleware._errors import report_internal_error
from otas_middleware._event import NIL_PROJECT, BackendEvent, Envelope, EventSource, coerce, coerce_numbers, fit
from otas_middleware._event.metadata import (
    SDK,
    agent_claims,
    describe_bodies,
    describe_life,
    describe_stream,
    failure_of,
    foreign_metadata,
    is_long_lived,
    own_metadata,
    route_of,
    status_of,
)
from otas_middleware._event.operation import read_operation
from otas_middleware._event.operation.exchange import Exchange
from otas_middleware._event.redact import MASK, UNTOUCHED, Masker, redactor_for
from otas_middleware._event.render import EMPTY, all_values, first_value, header_map, render_body
from otas_middleware._runtime import runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otas_middleware._capture import Capture
    from otas_middleware._capture.selection import Selection
    from otas_middleware._capture.session import SessionInfo
    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._event.operation.model import Operation, OperationReader
    from otas_middleware._event.redact import Redactor, Untouched
    from otas_middleware._event.render import Body, HeaderMap

# A multipart form of 10,000 parts: each an object of a name, a value or two, perhaps a mark.
_PARTS_NODES = 60_000
_PARTS_CHARACTERS = 2_097_152

# Characters of both bodies up to which they are looked at with the rest: one call instead of three, and no great loss
# if something is found and they have to be looked at again.
_SHORT = 8_192

_STREAMS = frozenset(("events", "lines", "list"))
_TOKEN_HEADER = TOKEN_HEADER.lower()
_OWN_OBJECTS = 262_144
"""Bytes of JSON that metadata have at most that are made here alone; an operation with its items is most of it."""


class Plan(NamedTuple):
    """What a set of settings says about building, worked out once."""

    project_id: str
    limit: int
    redactor: Redactor
    without_headers: PathSet | frozenset[str]
    without_request_body: PathSet | frozenset[str]
    without_response_body: PathSet | frozenset[str]
    protocols: tuple[OperationReader, ...]


_latest: tuple[OtasSettings, Plan] | None = None


def plan_for(settings: OtasSettings) -> Plan:
    """Return the plan of these settings, made at the first call."""
    global _latest  # noqa: PLW0603  # most processes have one; the cache would hash all its fields for each event
    latest = _latest
    if latest is None or latest[0] is not settings:
        latest = _latest = settings, _plan(settings)
    return latest[1]


@lru_cache(maxsize=32)
def _plan(settings: OtasSettings) -> Plan:
    return Plan(
        project_id=str(settings.project_id) if settings.project_id is not None else NIL_PROJECT,
        limit=settings.max_body_bytes,
        redactor=redactor_for(settings),
        without_headers=_paths(settings.skip_header_paths, settings.capture_headers),
        without_request_body=_paths(settings.skip_request_body_paths, settings.capture_request_body),
        without_response_body=_paths(settings.skip_response_body_paths, settings.capture_response_body),
        protocols=settings.operation_protocols,
    )


def _paths(skipped: Sequence[str], recorded: bool) -> PathSet | frozenset[str]:  # noqa: FBT001  # two settings that go together
    return frozenset() if recorded and not skipped else PathSet(skipped if recorded else ("*",))


def build(
    capture: Capture,
    settings: OtasSettings,
    selection: Selection | None = None,
    complete: Callable[[dict[str, Any]], None] | None = None,
) -> Envelope | None:
    """Turn one request's copy into the envelope that is sent.

    Args:
        capture: The finished request.
        settings: What to record, and what is sensitive.
        selection: Decides by what was called whether to send it; None sends everything.
        complete: Adds to the event's fields what the capture does not say; nothing of it is redacted.

    Returns:
        The envelope, or None when the selection or `before_send` withheld the event.
    """
    plan = plan_for(settings)
    exchange = _exchange(capture, plan)
    operation = _operation(exchange, plan)
    if selection is not None:
        called = () if operation is None else (operation.name, operation.method)
        failed = exchange.failed or (operation is not None and operation.is_error)
        if selection.leaves_out(capture, called, failed=failed):
            return None
    return enveloped(_assemble(capture, plan, exchange, operation, complete), settings, capture.session)


def enveloped(
    event: BackendEvent, settings: OtasSettings, session: SessionInfo, source: EventSource = "backend"
) -> Envelope | None:
    """Return the envelope of a finished event, as `before_send` leaves it; None when that withheld it."""
    decided = _ask_before_send(event, settings, session.token)
    if decided is None:
        return None
    return Envelope(decided, session.token, session.session_id, session.agent_id, source)


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
    fields["metadata"] = {"event_id": new_event_id(), "sdk": SDK, **fields["metadata"]}
    return fit(fields)


def _ask_before_send(event: BackendEvent, settings: OtasSettings, token: str) -> BackendEvent | None:
    """Ask the user's function. When it fails, the event is withheld: it may be what would have taken something out."""
    before_send = settings.before_send
    if before_send is None:
        return event
    try:
        with runtime.forks_allowed(before_send):
            decided = before_send(event)
        if decided is None:
            return None
        if not isinstance(decided, BackendEvent):
            raise TypeError(f"before_send returned {type(decided).__name__}, not a BackendEvent or None")  # noqa: TRY301
    except Exception:
        report_internal_error("before_send", "the event is withheld")
        return None
    return finish_event(decided, settings, token)


def _assemble(
    capture: Capture,
    plan: Plan,
    exchange: Exchange,
    operation: Operation | None,
    complete: Callable[[dict[str, Any]], None] | None,
) -> BackendEvent:
    """Return the event of a finished request: redacted and fitted."""
    masker = Masker(plan.redactor, capture.session.token)
    request, response = exchange.request, exchange.response
    metadata = own_metadata(capture, exchange, operation.traceparent if operation is not None else "")
    latency = capture.latency
    describe_bodies(capture, request, response, metadata)
    if is_long_lived(exchange, operation):
        latency = describe_life(capture, metadata)
    if response.kind in _STREAMS:
        response = describe_stream(capture, response, metadata, masker)
    sent, received, claims = _shown_headers(exchange, plan, operation)
    failure, message = failure_of(capture, exchange.status)
    short = _short_texts(exchange, operation, (sent, received), [message, *claims.values()])
    mask, mask_bodies = _masks(masker, short, request.text, response.text)
    message = mask.text(message)
    error = f"{failure}: {message}" if failure and message else failure or message
    metadata["route"] = mask.text(exchange.route) if exchange.route else None
    if operation is not None:
        metadata["operation"] = operation.masked(mask.text)
        if operation.is_error and capture.exception is None:
            error = operation.error(mask.text) or error or f"{metadata['operation']['protocol']}: failed"
        elif operation.outcome == "cancelled" and capture.exception is None:
            error = ""
    if claims:
        metadata["agent"] = claims if mask is UNTOUCHED else {name: mask.text(text) for name, text in claims.items()}
    foreign = foreign_metadata(capture)
    if foreign:
        metadata.update(masker.members(foreign))
    request_text = _mask_body(request, masker, mask_bodies)
    no_headers = "" if exchange.path in plan.without_headers else "{}"
    fields: dict[str, Any] = {
        "project_id": plan.project_id,
        "path": mask.path(exchange.path),
        "method": capture.method,
        "status_code": exchange.status,
        "latency_ms": latency * 1000.0,
        "request_size_bytes": capture.request_size,
        "response_size_bytes": capture.response_size,
        "request_headers": to_json(mask.value(sent)).decode() if sent else no_headers,
        "response_headers": to_json(mask.value(received)).decode() if received else no_headers,
        "request_body": "" if request.parts is not None else request_text,
        "response_body": _mask_body(response, masker, mask_bodies),
        "query_params": mask.pairs(exchange.query),
        "post_data": request_text if request.kind == "form" or request.parts is not None else "",
        "request_content_type": mask.text(exchange.request_type),
        "response_content_type": mask.text(exchange.response_type),
        "custom_properties": masker.members(capture.custom_properties) if capture.custom_properties else {},
        "metadata": metadata,
        "error": error,
    }
    if complete is not None:
        complete(fields)
    coerce_numbers(fields)
    # What is made here is short; what others had a hand in has to be counted.
    is_short = not (foreign or capture.custom_properties or "stream" in metadata) and len(exchange.route) <= _SHORT
    return fit(fields, objects=_OWN_OBJECTS if is_short else None)


def _short_texts(
    exchange: Exchange, operation: Operation | None, shown: tuple[HeaderMap, HeaderMap], others: list[str]
) -> list[str]:
    """Return all that is to be masked but the bodies: looked at together, as in most events nothing is in any of it."""
    short = [exchange.path, exchange.query, exchange.route, exchange.request_type, exchange.response_type, *others]
    values: list[Any] = [value for headers in shown for value in headers.values()]
    if list in map(type, values):
        values = [text for value in values for text in ([value] if isinstance(value, str) else value)]
    short += values
    if operation is not None:
        short += operation.texts()
    return short


def _masks(
    masker: Masker, short: list[str], request: str, response: str
) -> tuple[Masker | Untouched, Masker | Untouched]:
    """Return what masks the short texts, and what masks the bodies: nothing, where all was looked at together."""
    if len(request) + len(response) <= _SHORT and masker.finds_nothing((*short, request, response)):
        return UNTOUCHED, UNTOUCHED
    return UNTOUCHED if masker.finds_nothing(short) else masker, masker


def _exchange(capture: Capture, plan: Plan) -> Exchange:
    """Return headers and bodies as text; nothing of a body that is not recorded."""
    capture.trim()
    path = capture.path
    query = capture.query_string
    request_headers = header_map(capture.request_headers)
    response_headers = header_map(capture.response_headers)
    if _TOKEN_HEADER in request_headers:
        request_headers[_TOKEN_HEADER] = MASK  # as everywhere: it need not be looked at, and no protocol is to see it
    request_type = first_value(request_headers, "content-type")
    response_type = first_value(response_headers, "content-type")
    request = response = EMPTY
    request_bytes = response_bytes = end = b""
    gap = False
    if path not in plan.without_request_body:
        request_bytes = capture.request_body()
        coding = all_values(request_headers, "content-encoding")
        request = render_body(request_bytes, capture.request_size, request_type, coding, plan.limit)
    if path not in plan.without_response_body:
        response_bytes = capture.response_body()
        coding = all_values(response_headers, "content-encoding")
        response = render_body(response_bytes, capture.response_size or 0, response_type, coding, plan.limit)
        if response.truncated is not None:
            end, gap = capture.response_end()
    status = status_of(capture)
    return Exchange(
        capture.method,
        path,
        query.decode("latin-1") if isinstance(query, bytes) else query,
        route_of(capture) or "",
        status,
        request_headers,
        response_headers,
        request,
        response,
        request_type,
        response_type,
        request_bytes,
        response_bytes,
        end,
        gap=gap,
        failed=capture.exception is not None or status >= 400,
        aborted=capture.aborted,
    )


def _shown_headers(
    exchange: Exchange, plan: Plan, operation: Operation | None
) -> tuple[HeaderMap, HeaderMap, dict[str, str]]:
    """Return both header objects without what their names make secret, and the caller's claims about itself."""
    client = operation.client if operation is not None else None
    if exchange.path in plan.without_headers:
        return {}, {}, dict(client or {})
    claims = agent_claims(exchange.request_headers)
    if client:
        claims = {**client, **claims}
    request = plan.redactor.by_name(exchange.request_headers)
    if operation is not None and operation.protocol == "mcp":
        from otas_middleware._event.operation.mcp import decode_headers  # noqa: PLC0415  # which read the operation

        decode_headers(request)  # or what is encoded would not be looked through
    return request, plan.redactor.by_name(exchange.response_headers), claims


def _operation(exchange: Exchange, plan: Plan) -> Operation | None:
    """Return what was called; nothing when reading it failed, which is counted."""
    try:
        return read_operation(exchange, plan.protocols)
    except Exception:  # bytes of strangers, and functions of the user's own
        report_internal_error("operation")
        return None


def _mask_body(body: Body, masker: Masker, mask: Masker | Untouched) -> str:
    """Return the text of a body, masked: by `mask` what was looked at, by `masker` what was not, a form's parts."""
    if body.parts is not None:
        return to_json(masker.value(body.parts, max_nodes=_PARTS_NODES, max_characters=_PARTS_CHARACTERS)).decode()
    if body.kind == "form":
        return mask.pairs(body.text)
    return mask.table(body.text) if body.kind == "table" else mask.text(body.text, cut=body.truncated is not None)
