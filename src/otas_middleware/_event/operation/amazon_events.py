"""Event streams of Amazon's services, such as Bedrock's models: exceptions come as messages, after a status of 200.

A message is its length, that of its headers, a checksum, headers, payload, a checksum.

Source: smithy.io/2.0/aws/amazon-eventstream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otas_middleware._event.operation.exchange import as_object, as_text, parse_json
from otas_middleware._event.operation.model import Operation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otas_middleware._event.operation.exchange import Exchange

_MEDIA = "application/vnd.amazon.eventstream"
_PRELUDE = 12
_CHECKSUM = 4
_TEXT = 7
_FAILURES = frozenset(("exception", "error"))


def read(exchange: Exchange) -> Operation | None:
    """Recognise the media type of the response."""
    if exchange.response_media != _MEDIA:
        return None
    operation = Operation("amazon-events", exchange.route, type="stream")
    seen = False
    for headers, payload in _messages(exchange.ending(), whole=not exchange.gap):
        seen = True
        if headers.get(":message-type") in _FAILURES:
            said = as_object(parse_json(payload.decode("utf-8", "replace")))
            message = as_text(said.get("message")) or as_text(said.get("Message")) or headers.get(":error-message", "")
            operation.fail(headers.get(":exception-type") or headers.get(":error-code"), message)
            return operation
    if seen and exchange.response_whole:
        operation.outcome = "ok"
    return operation


def _messages(data: bytes, *, whole: bool) -> Iterator[tuple[dict[str, str], bytes]]:
    """Yield headers and payload of each complete message.

    Args:
        data: The body, or its end.
        whole: The data begin with a message; else they begin anywhere, and end with one.
    """
    position = 0 if whole else _first(data)
    while position + _PRELUDE <= len(data):
        size, of_headers = (int.from_bytes(data[position + at : position + at + 4]) for at in (0, 4))
        end = position + size
        if size < _PRELUDE + of_headers + _CHECKSUM or end > len(data):
            return
        payload = position + _PRELUDE + of_headers
        yield _headers(data[position + _PRELUDE : payload]), data[payload : end - _CHECKSUM]
        position = end


def _first(data: bytes) -> int:
    """Return where the first message begins from which on messages lead exactly to the end."""
    leads = bytearray(len(data) + 1)
    leads[len(data)] = 1
    first = len(data)
    for position in range(len(data) - _PRELUDE - _CHECKSUM, -1, -1):
        size, of_headers = (int.from_bytes(data[position + at : position + at + 4]) for at in (0, 4))
        end = position + size
        if _PRELUDE + of_headers + _CHECKSUM <= size and end <= len(data) and leads[end]:
            leads[position] = 1
            first = position
    return first


def _headers(data: bytes) -> dict[str, str]:
    """Return the headers that are texts, up to the first of another type."""
    headers: dict[str, str] = {}
    position = 0
    while position < len(data):
        name_ends = position + 1 + data[position]
        if data[name_ends : name_ends + 1] != bytes((_TEXT,)):
            break
        begins = name_ends + 3
        ends = begins + int.from_bytes(data[name_ends + 1 : begins])
        headers[data[position + 1 : name_ends].decode("latin-1")] = data[begins:ends].decode("utf-8", "replace")
        position = ends
    return headers
