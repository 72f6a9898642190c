"""gRPC and gRPC-web: the status is in the headers, among the trailers or, of gRPC-web, in the last frame.

Their frames are those of Connect's streams too: a byte of flags, four bytes of length, a payload.

Sources: grpc/grpc, doc/PROTOCOL-HTTP2.md and doc/PROTOCOL-WEB.md.
"""

from __future__ import annotations

import binascii
import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from otas_middleware._event.operation.model import Operation
from otas_middleware._event.render import first_value
from otas_middleware._event.render.coding import undo_codings

if TYPE_CHECKING:
    from otas_middleware._event.operation.exchange import Exchange

_MEDIA = "application/grpc"
_WEB = "application/grpc-web"
_TRAILERS = 0x80
_SEGMENT = re.compile(rb"[A-Za-z0-9+/]+={0,2}")
_HEAD = 5
_COMPRESSED = 0x01
_MAX_BYTES = 65_536


def read(exchange: Exchange) -> Operation | None:
    """Recognise the media type of request or response."""
    media = exchange.request_media
    if not media.startswith(_MEDIA):
        media = exchange.response_media
    kind = media.removeprefix(_MEDIA)
    if kind == media or kind[:1] not in {"", "+", "-"}:
        return None
    operation = procedure("grpc-web" if media.startswith(_WEB) else "grpc", exchange.path)
    fields = _trailers(exchange) if exchange.response_media.startswith(_WEB) else {}
    if "grpc-status" not in fields:
        headers = exchange.response_headers  # trailers are among them
        fields = {name: first_value(headers, name) for name in ("grpc-status", "grpc-message")}
    status = fields.get("grpc-status", "")
    if status.isdecimal() and len(status) < 4:
        if int(status):
            operation.fail(int(status), unquote(fields.get("grpc-message", "")))
        else:
            operation.outcome = "ok"
    return operation


def procedure(protocol: str, path: str) -> Operation:
    """Return the operation that a path `/pkg.Service/Method` names, whatever it is mounted under."""
    parts = path.strip("/").split("/")
    operation = Operation(protocol, "/".join(parts[-2:]), method=parts[-1])
    operation.target = parts[-2] if len(parts) > 1 else ""
    return operation


def _trailers(exchange: Exchange) -> dict[str, str]:
    """Return the fields of the last frame; empty when it is none of trailers, or was not recorded."""
    data, whole = exchange.ending(), not exchange.gap
    if exchange.response_media.startswith(_WEB + "-text"):
        data = _undo_base64(data if whole else data[len(data) % 4 :])
    frame = last_frame(data, _TRAILERS, whole=whole)
    if frame is None:
        return {}
    coding = first_value(exchange.response_headers, "grpc-encoding")
    lines = uncompressed(frame, coding).decode("latin-1").split("\n")
    pairs = [line.partition(":") for line in lines if ":" in line]
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _undo_base64(text: bytes) -> bytes:
    """Decode base64 in which each message may have been padded by itself."""
    out = bytearray()
    for segment in _SEGMENT.findall(text):
        try:
            out += binascii.a2b_base64(segment[: len(segment) - len(segment) % 4])
        except binascii.Error:
            break
    return bytes(out)


class Frame(NamedTuple):
    """One frame."""

    flags: int
    payload: bytes


def last_frame(data: bytes, flag: int, *, whole: bool) -> Frame | None:
    """Return the frame that ends a body, when it carries a flag.

    Args:
        data: The body, or its end.
        flag: The bit that marks the frame.
        whole: The data begins with a frame; else it begins anywhere.
    """
    return _walk(data, flag) if whole else _search(data, flag)


def _walk(data: bytes, flag: int) -> Frame | None:
    position = 0
    while position + _HEAD <= len(data):
        flags, start = data[position], position + _HEAD
        position = start + int.from_bytes(data[position + 1 : start])
        if flags & flag and position <= len(data):
            return Frame(flags, data[start:position])
    return None


def _search(data: bytes, flag: int) -> Frame | None:
    """Find the head whose length leads exactly to the end; the longest such frame holds all shorter ones."""
    for position in range(len(data) - _HEAD + 1):
        flags, start = data[position], position + _HEAD
        if flags in {flag, flag | 1} and start + int.from_bytes(data[position + 1 : start]) == len(data):
            return Frame(flags, data[start:])
    return None


def uncompressed(frame: Frame, coding: str) -> bytes:
    """Return a frame's payload as it was before it was compressed; nothing where that cannot be undone.

    Args:
        frame: The frame.
        coding: What the headers name.
    """
    if not frame.flags & _COMPRESSED:
        return frame.payload
    decoded = undo_codings(frame.payload, coding, _MAX_BYTES)
    return decoded.data if decoded.undone else b""
