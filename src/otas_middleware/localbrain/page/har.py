"""An event as an entry of a HAR file (HTTP Archive 1.2)."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl

from otas_middleware._version import __version__
from otas_middleware.localbrain.page.curl import address, header_pairs

if TYPE_CHECKING:
    from otas_middleware.localbrain.schema import StoredEvent

CREATOR = {"name": "otas-middleware brain", "version": __version__}


def har_entry(event: StoredEvent) -> dict[str, Any]:
    """Return the entry. What HAR has no place for is in fields that begin with an underscore, as HAR wants it."""
    latency = event["latency_ms"] if math.isfinite(event["latency_ms"]) else 0.0
    metadata = cast("dict[str, Any]", event["metadata"]) if isinstance(event["metadata"], dict) else {}
    ttfb = metadata.get("ttfb_ms")
    wait = min(float(ttfb), latency) if isinstance(ttfb, (int, float)) and math.isfinite(ttfb) else latency
    return {
        "startedDateTime": _started(event, metadata, latency),
        "time": latency,
        "request": {
            "method": event["method"],
            "url": address(event),
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": _headers(event["request_headers"]),
            "queryString": _pairs(event["query_params"]),
            "headersSize": -1,
            "bodySize": event["request_size_bytes"],
            **_post_data(event),
        },
        "response": {
            "status": event["status_code"],
            "statusText": _phrase(event["status_code"]),
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": _headers(event["response_headers"]),
            "content": {
                "size": event["response_size_bytes"],
                "mimeType": event["response_content_type"] or "",
                "text": event["response_body"] or "",
            },
            "redirectURL": dict(_lower(event["response_headers"])).get("location", ""),
            "headersSize": -1,
            "bodySize": event["response_size_bytes"],
        },
        "cache": {},
        "timings": {"send": 0, "wait": wait, "receive": max(0.0, latency - wait)},
        "_session": event["agent_session_id"],
        "_source": event["source"],
        "_error": event["error"],
        "_custom_properties": event["custom_properties"],
        "_metadata": event["metadata"],
    }


def _post_data(event: StoredEvent) -> dict[str, Any]:
    if not event["request_body"] and not event["post_data"]:
        return {}
    text = event["request_body"] or event["post_data"] or ""
    return {"postData": {"mimeType": event["request_content_type"] or "", "params": [], "text": text}}


def _started(event: StoredEvent, metadata: dict[str, Any], latency: float) -> str:
    try:
        return datetime.fromisoformat(metadata["captured_at"]).astimezone(UTC).isoformat()
    except (KeyError, TypeError, ValueError, OverflowError):
        began = event["arrived_at"] - min(latency / 1000, event["arrived_at"])
        return datetime.fromtimestamp(began, UTC).isoformat()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _headers(text: str | None) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in header_pairs(text)]


def _lower(text: str | None) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in header_pairs(text)]


def _pairs(query: str | None) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in parse_qsl(query or "", keep_blank_values=True)]
