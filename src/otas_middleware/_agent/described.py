"""The event of a call that the agent describes in its own words (`AgentSession.log`)."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from otas_middleware._event.model import BackendEvent

if TYPE_CHECKING:
    from collections.abc import Mapping


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
    return BackendEvent(path=parts.path or "/", method=method, **fields)


def _status_line(status: int) -> str:
    if status < 400:
        return ""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Error"
