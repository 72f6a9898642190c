"""The data that benchmarks send: documents that look like an API's, and a session token."""

from __future__ import annotations

import base64
import json
import time


def json_document(size: int) -> bytes:
    """Return a JSON document of at least `size` bytes, and few more, that looks like an API's."""
    items: list[dict[str, object]] = []
    text = b""
    while len(text) < size:
        number = len(items)
        items.extend(
            {"id": number + i, "name": f"Item {number + i}", "price": 12.5 + i, "tags": ["new", "blue"], "note": None}
            for i in range(max(1, (size - len(text)) // 90))
        )
        text = json.dumps({"items": items, "count": len(items)}).encode()
    return text


def session_token() -> str:
    """Return an unsigned token of a real one's size and shape; no sink looks at it."""

    def part(value: dict[str, object]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims: dict[str, object] = {
        "agent_session_id": "0b0f6c1e-6a0e-4b57-9d0a-6f6f3c1b2a11",
        "agent_id": "5b1d7a52-35a5-4c5e-8a3b-0c4f1f2e3d44",
        "iat": int(time.time()),
        "exp": int(time.time()) + 86400,
    }
    return ".".join([part({"alg": "HS256", "typ": "JWT"}), part(claims), "c2lnbmF0dXJlLXNpZ25hdHVyZS1zaWduYXR1cmU"])
