"""What an agent did becomes events: what `_event.build` makes of any capture, and what only the agent knows."""

from __future__ import annotations

import json
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from otas_middleware._agent.calls import Call, Note
from otas_middleware._agent.completeness import is_complete
from otas_middleware._agent.llm import describe
from otas_middleware._capture.body import TAIL_BYTES
from otas_middleware._event.build import build
from otas_middleware._event.model import BackendEvent
from otas_middleware._event.render import first_value, header_map
from otas_middleware._event.render.coding import DecodedEnd, undo_codings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otas_middleware._agent.pending_queue import Item
    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._event.model import Envelope


_HEAD_BYTES = 262_144
_DEFAULT_PORTS = {"http": 80, "https": 443}


def envelope_of(item: Item, settings: OtasSettings) -> Envelope | None:
    """Return the envelope of what the agent did; None when `before_send` withheld it."""
    if isinstance(item, Call):
        return _call_envelope(item, settings)
    return item.envelope(settings) if isinstance(item, Note) else None


def _call_envelope(call: Call, settings: OtasSettings) -> Envelope | None:
    """Return the envelope of a call; None when `before_send` withheld it.

    The path is the path part of the URL. `custom_properties` hold the host, and the model and usage of a language
    model's answer; `metadata` the origin and, within a tool, `parent_id`. A call without an answer has the status 0.
    """
    outgoing = call.outgoing
    path, _, query = outgoing.target.partition(b"?")
    call.path = unquote(path.decode("latin-1"))
    call.query_string = query
    answer, tail = _answer(call)
    request = call.request_body().decode("utf-8", "replace")
    if call.aborted and call.status_code and call.exception is None and _is_complete(call, request, tail or answer):
        call.complete = True
    host = _host(outgoing.scheme, outgoing.host, outgoing.port)
    call.annotate({"host": host, **describe(request, answer, tail, call.path)})

    def complete(fields: dict[str, Any]) -> None:
        fields["metadata"]["origin"] = f"{outgoing.scheme}://{host}"
        if not call.status_code:
            fields["status_code"] = 0  # nobody answered
            if call.exception is None:
                fields["error"] = "Cancelled before the answer came"

    envelope = build(call, settings, complete=complete)
    return None if envelope is None else replace(envelope, source="agent")


def _host(scheme: str, host: str, port: int | None) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if port is None or port == _DEFAULT_PORTS.get(scheme) else f"{name}:{port}"


def _answer(call: Call) -> tuple[str, str]:
    """Return an answer as text without its content coding: its beginning, and, of a longer one, its end."""
    body = call.response_body()
    coding = call.coding
    if not coding:
        end, gap = call.response.end()
        if gap:
            return body.decode("utf-8", "replace"), end.decode("utf-8", "replace")
        return (body + end).decode("utf-8", "replace"), ""
    decoded = undo_codings(body, coding, _HEAD_BYTES)
    if not decoded.undone:
        return "", ""
    ending = call.coded_end
    if ending is None:
        ending = DecodedEnd(coding, TAIL_BYTES)
        if decoded.cut:
            ending.add(body)
    return decoded.data.decode("utf-8", "replace"), ending.bytes().decode("utf-8", "replace")


def _is_complete(call: Call, request: str, answer: str) -> bool:
    """Return whether an answer that the client left is complete by its protocol."""
    headers = header_map(call.response_headers)
    media = first_value(headers, "content-type").partition(";")[0].strip().lower()
    if call.method == "GET" and media == "text/event-stream":
        sent = header_map(call.request_headers)
        if "mcp-session-id" in sent or "mcp-protocol-version" in sent:
            return True  # MCP's stream of notifications, which ends when its client leaves
    return is_complete(media, request, answer)


def described(method: str, url: str, headers: Mapping[str, Mapping[str, str] | None], **fields: Any) -> BackendEvent:
    """Return the event, with what can be told from the rest filled in: path, query, host, sizes, error.

    Args:
        method: The HTTP method, or another word for what was done.
        url: The URL, or a path.
        headers: `request_headers` and `response_headers`, as far as they are known.
        **fields: The event's other fields.
    """
    parts = urlsplit(url)
    if parts.netloc:
        fields["custom_properties"] = {
            "host": parts.netloc.rpartition("@")[2],
            **fields.get("custom_properties", {}),
        }
    for side in ("request", "response"):
        body = fields.get(f"{side}_body")
        if isinstance(body, str):
            fields.setdefault(f"{side}_size_bytes", len(body.encode("utf-8", "replace")))
    fields.setdefault("query_params", parts.query)
    fields["error"] = fields.get("error") or _status_line(fields["status_code"])
    fields.update({name: json.dumps(dict(values)) for name, values in headers.items() if values})
    return BackendEvent(path=unquote(parts.path) or "/", method=method, **fields)


def _status_line(status: int) -> str:
    if status < 400:
        return ""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Error"
