"""An event's request as a Python program that sends it again.

An event is untrusted: each part of it stands in the program as a literal, which Python's `repr` writes without control
or invisible characters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otas_middleware.localbrain.page.curl import address, sendable_headers

if TYPE_CHECKING:
    from otas_middleware.localbrain.schema import StoredEvent


def to_python(event: StoredEvent) -> str:
    """Return the program; what was redacted stands in it as `[REDACTED]`, a cut body as far as it was recorded."""
    headers = "".join(f"        ({name!r}, {_literal(value)}),\n" for name, value in sendable_headers(event))
    lines = ["import httpx", "", "response = httpx.request(", f"    {event['method']!r},", f"    {address(event)!r},"]
    if headers:
        lines.append(f"    headers=[\n{headers}    ],")
    if event["request_body"]:
        lines.append(f"    content={event['request_body']!r}.encode(),")
    return "\n".join([*lines, ")", "print(response.status_code, response.text)", ""])


def _literal(value: str) -> str:
    """Write a header's value: httpx takes text for ASCII only."""
    return repr(value) if value.isascii() else f"{value!r}.encode()"
