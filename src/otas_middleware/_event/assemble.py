"""What was captured of a request becomes the fields of an event: rendered and redacted."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import to_json

from otas_middleware._capture.path_patterns import PathSet
from otas_middleware._event.limits import coerce_numbers, fit
from otas_middleware._event.metadata import failure_of, foreign_metadata, own_metadata, route_of, status_of
from otas_middleware._event.model import NIL_PROJECT
from otas_middleware._event.redact import MASK, UNTOUCHED, Masker, redactor_for
from otas_middleware._event.render import EMPTY, EventStream, all_values, first_value, header_map, render_body

if TYPE_CHECKING:
    from otas_middleware._capture.capture import Capture
    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._event.model import BackendEvent
    from otas_middleware._event.redact import Redactor, Untouched
    from otas_middleware._event.render import Body, HeaderMap

# A multipart form of 10,000 parts: each an object of a name, a value or two, perhaps a mark.
_PARTS_NODES = 60_000
_PARTS_CHARACTERS = 2_097_152

# Characters of both bodies up to which they are looked at with the rest: one call instead of three, and no great loss
# if something is found and they have to be looked at again.
_SHORT = 8_192


class Plan(NamedTuple):
    """What a set of settings says about building, worked out once."""

    project_id: str
    limit: int
    redactor: Redactor
    without_headers: PathSet
    without_request_body: PathSet
    without_response_body: PathSet


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


def assemble(capture: Capture, plan: Plan) -> BackendEvent:
    """Return the event of a finished request: rendered, redacted and fitted."""
    masker = Masker(plan.redactor, capture.session.token)
    path = capture.path
    status = status_of(capture)
    request_headers = header_map(capture.request_headers)
    response_headers = header_map(capture.response_headers)
    request = response = EMPTY
    if path not in plan.without_request_body:
        request = _render(capture.request_body(), capture.request_size, request_headers, plan.limit)
    if path not in plan.without_response_body:
        response = _render(capture.response_body(), capture.response_size, response_headers, plan.limit)
    metadata = own_metadata(capture, request_headers)
    _describe_bodies(capture, request, response, metadata)
    if response.kind == "events":
        response = _stream(response, metadata["stream"], masker)

    # Short texts are looked at together: in most events there is nothing in any of them.
    shown_request: HeaderMap = {}
    shown_response: HeaderMap = {}
    if path not in plan.without_headers:
        shown_request = plan.redactor.by_name(request_headers)
        shown_response = plan.redactor.by_name(response_headers)
    query = capture.query_string
    query = query.decode("latin-1") if isinstance(query, bytes) else query
    route = route_of(capture) or ""
    kinds = first_value(request_headers, "content-type"), first_value(response_headers, "content-type")
    failure, message = failure_of(capture, status)
    short = [path, query, route, message, *kinds]
    for values in (*shown_request.values(), *shown_response.values()):
        if isinstance(values, str):
            short.append(values)
        else:
            short += values
    mask: Masker | Untouched = masker
    mask_bodies: Masker | Untouched = masker
    all_short = len(request.text) + len(response.text) <= _SHORT
    if all_short and masker.finds_nothing((*short, request.text, response.text)):
        mask = mask_bodies = UNTOUCHED
    elif masker.finds_nothing(short):
        mask = UNTOUCHED

    metadata["route"] = mask.text(route) if route else None
    foreign = foreign_metadata(capture)
    if foreign:
        metadata.update(masker.members(foreign))
    message = mask.text(message)
    request_text = _mask_body(request, masker, mask_bodies)
    fields: dict[str, Any] = {
        "project_id": plan.project_id,
        "path": mask.path(path),
        "method": capture.method,
        "status_code": status,
        "latency_ms": capture.latency * 1000.0,
        "request_size_bytes": capture.request_size,
        "response_size_bytes": capture.response_size,
        "request_headers": to_json(mask.value(shown_request)).decode() if shown_request else "",
        "response_headers": to_json(mask.value(shown_response)).decode() if shown_response else "",
        "request_body": "" if request.parts is not None else request_text,
        "response_body": _mask_body(response, masker, mask_bodies),
        "query_params": mask.pairs(query),
        "post_data": request_text if request.kind == "form" or request.parts is not None else "",
        "request_content_type": mask.text(kinds[0]),
        "response_content_type": mask.text(kinds[1]),
        "custom_properties": masker.members(capture.custom_properties) if capture.custom_properties else {},
        "metadata": metadata,
        "error": f"{failure}: {message}" if failure and message else failure or message,
    }
    coerce_numbers(fields)
    return fit(fields)


def _render(data: bytes, size: int, headers: HeaderMap, limit: int) -> Body:
    content_type = first_value(headers, "content-type")
    content_encoding = all_values(headers, "content-encoding") if "content-encoding" in headers else ""
    return render_body(data, size, content_type, content_encoding, limit)


def _mask_body(body: Body, masker: Masker, mask: Masker | Untouched) -> str:
    """Return the text of a body, masked: by `mask` what was looked at, by `masker` what was not, a form's parts."""
    if body.parts is not None:
        return to_json(masker.value(body.parts, max_nodes=_PARTS_NODES, max_characters=_PARTS_CHARACTERS)).decode()
    if body.kind == "form":
        return mask.pairs(body.text)
    return mask.table(body.text) if body.kind == "table" else mask.text(body.text)


def _describe_bodies(capture: Capture, request: Body, response: Body, metadata: dict[str, Any]) -> None:
    """Say in the metadata what was cut off, and how a stream went."""
    if request.truncated is not None:
        metadata["truncated"] = {"request_body": request.truncated}
    if response.truncated is not None:
        metadata.setdefault("truncated", {})["response_body"] = response.truncated
    if response.kind == "events":
        ended = "error" if capture.exception is not None else "aborted" if capture.aborted else "complete"
        stream: dict[str, Any] = {"ended": ended}
        if capture.ttfb is not None:
            stream["first_event_ms"] = round(capture.ttfb * 1000, 3)
        metadata["stream"] = stream


def _stream(body: Body, about: dict[str, Any], masker: Masker) -> Body:
    """Describe an event stream; return its body without the pieces of a secret that was cut up."""
    stream = EventStream(body.text)
    about["events"] = stream.events
    text = stream.text()
    if text is not None:
        about["text"] = masker.text(text)
    return body._replace(text=stream.masked(masker.text, MASK))
