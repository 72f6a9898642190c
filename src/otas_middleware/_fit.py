"""Every event satisfies the destination's limits, whatever came in."""

from __future__ import annotations

import math
import re
from typing import Any

from otas_middleware._event import (
    MAX_CONTENT_TYPE_CHARACTERS,
    MAX_INTEGER,
    MAX_METHOD_CHARACTERS,
    MAX_PATH_BYTES,
    BackendEvent,
)

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(text: str) -> str:
    """Return a text without NUL and lone surrogates."""
    return _UNSTORABLE.sub("\ufffd", text)


def fit(event: BackendEvent) -> BackendEvent:
    """Return a copy of the event that Brain can store."""
    changes: dict[str, Any] = {}
    for name in type(event).model_fields:
        value = getattr(event, name)
        if isinstance(value, str):
            changes[name] = storable(value)
        elif isinstance(value, dict):
            changes[name] = _value(value)
    path = changes["path"].encode()[:MAX_PATH_BYTES].decode("utf-8", "ignore")
    if path != changes["path"]:
        changes["metadata"]["path_rest"] = changes["path"][len(path) :]
        changes["path"] = path
    changes["method"] = changes["method"][:MAX_METHOD_CHARACTERS]
    for name in ("request_content_type", "response_content_type"):
        changes[name] = changes[name][:MAX_CONTENT_TYPE_CHARACTERS]
    changes["status_code"] = min(max(event.status_code, 0), MAX_INTEGER)
    changes["latency_ms"] = event.latency_ms if math.isfinite(event.latency_ms) else 0.0
    return event.model_copy(update=changes)


def _value(value: Any) -> Any:
    if isinstance(value, dict):
        return {storable(str(key)): _value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_value(item) for item in value]
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
