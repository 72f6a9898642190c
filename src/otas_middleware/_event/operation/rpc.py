"""Calls of procedures that the path names: gRPC and gRPC-web, Connect, Twirp, tRPC.

gRPC has its status in the headers, among the trailers or, over the web, in the last frame: a byte of flags, four bytes
of length, a payload. Connect's streams have such frames too, its unary calls a status and JSON, as Twirp and tRPC have.

Sources: grpc/grpc, doc/PROTOCOL-HTTP2.md and doc/PROTOCOL-WEB.md; connectrpc.com/docs/protocol;
twitchtv.github.io/twirp; trpc.io/docs/rpc.
"""

from __future__ import annotations

import binascii
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from otas_middleware._event.operation import json_rpc
from otas_middleware._event.operation.exchange import as_list, as_object, as_text, parse_json
from otas_middleware._event.operation.model import Operation
from otas_middleware._event.render import first_value
from otas_middleware._event.render.coding import undo_codings

if TYPE_CHECKING:
    from otas_middleware._event.operation.exchange import Exchange

_GRPC = "application/grpc"
_WEB = "application/grpc-web"
_CONNECT_STREAM = "application/connect+"
_TWIRP = "/twirp/"
_TWIRP_MEDIA = frozenset(("application/json", "application/protobuf"))
_TRPC = "/trpc/"
_MAX_CALLS = 1_000
_TRAILERS = 0x80
_END_STREAM = 0x02
_COMPRESSED = 0x01
_HEAD = 5
_MAX_BYTES = 65_536
_SEGMENT = re.compile(rb"[A-Za-z0-9+/]+={0,2}")


def read_grpc(exchange: Exchange) -> Operation | None:
    """Recognise the media type of request or response."""
    media = exchange.request_media
    if not media.startswith(_GRPC):
        media = exchange.response_media
    kind = media.removeprefix(_GRPC)
    if kind == media or kind[:1] not in {"", "+", "-"}:
        return None
    operation = _procedure("grpc-web" if media.startswith(_WEB) else "grpc", exchange.path)
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


def _procedure(protocol: str, path: str) -> Operation:
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
    payload = _last_payload(data, _TRAILERS, first_value(exchange.response_headers, "grpc-encoding"), whole=whole)
    pairs = [line.partition(":") for line in (payload or b"").decode("latin-1").split("\n") if ":" in line]
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


def _last_payload(data: bytes, flag: int, coding: str, *, whole: bool) -> bytes | None:
    """Return the payload of the frame that ends a body, when it carries a flag; empty where it cannot be uncompressed.

    Args:
        data: The body, or its end.
        flag: The bit that marks the frame.
        coding: The content coding of compressed frames, as the headers name it.
        whole: The data begins with a frame; else it begins anywhere.
    """
    frame = _walk(data, flag) if whole else _search(data, flag)
    if frame is None or not frame[0] & _COMPRESSED:
        return frame and frame[1]
    decoded = undo_codings(frame[1], coding, _MAX_BYTES)
    return decoded.data if decoded.undone else b""


def _walk(data: bytes, flag: int) -> tuple[int, bytes] | None:
    """Go from frame to frame; return flags and payload of the first that carries the flag."""
    position = 0
    while position + _HEAD <= len(data):
        flags, start = data[position], position + _HEAD
        position = start + int.from_bytes(data[position + 1 : start])
        if flags & flag and position <= len(data):
            return flags, data[start:position]
    return None


def _search(data: bytes, flag: int) -> tuple[int, bytes] | None:
    """Find the head whose length leads exactly to the end; the longest such frame holds all shorter ones."""
    for position in range(len(data) - _HEAD + 1):
        flags, start = data[position], position + _HEAD
        if flags in {flag, flag | 1} and start + int.from_bytes(data[position + 1 : start]) == len(data):
            return flags, data[start:]
    return None


def read_connect(exchange: Exchange) -> Operation | None:
    """Recognise the protocol's header, its streams' media type, or a GET with `connect=v1`."""
    streams = exchange.request_media.startswith(_CONNECT_STREAM)
    if not (streams or "connect-protocol-version" in exchange.request_headers or _is_connect_get(exchange)):
        return None
    operation = _procedure("connect", exchange.path)
    operation.version = exchange.header("connect-protocol-version")
    if streams or exchange.response_media.startswith(_CONNECT_STREAM):
        operation.type = "stream"
        _judge_stream(operation, exchange)
    else:
        _judge_by_status(operation, exchange, "message", str(exchange.status))
    return operation


def _is_connect_get(exchange: Exchange) -> bool:
    if exchange.method != "GET" or "connect=v1" not in exchange.query:
        return False
    # An empty message is none of the fields that have a value.
    return "encoding" in exchange.query_fields and "message=" in exchange.query


def _judge_stream(operation: Operation, exchange: Exchange) -> None:
    coding = first_value(exchange.response_headers, "connect-content-encoding")
    payload = _last_payload(exchange.ending(), _END_STREAM, coding, whole=not exchange.gap)
    end = parse_json((payload or b"").decode("utf-8", "replace"))
    error = as_object(end).get("error")
    if error is not None:
        _fail_by(operation, error, "message", "unknown")
    elif end is not None:
        operation.outcome = "ok"


def read_twirp(exchange: Exchange) -> Operation | None:
    """Recognise a POST below `…/twirp/`, of JSON or of a message."""
    _, mount, called = exchange.path.rpartition(_TWIRP)
    if not mount or exchange.method != "POST" or exchange.request_media not in _TWIRP_MEDIA or called.count("/") != 1:
        return None
    operation = _procedure("twirp", called)
    _judge_by_status(operation, exchange, "msg", None)
    return operation


def _judge_by_status(operation: Operation, exchange: Exchange, member: str, code: str | None) -> None:
    if exchange.status == 200:
        operation.outcome = "ok" if not exchange.aborted else "unknown"
    else:
        _fail_by(operation, parse_json(exchange.response.text), member, code)


def _fail_by(operation: Operation, error: object, member: str, code: str | None) -> None:
    """Note what an error in JSON says: its code, or else the one given, and the text under the member's name."""
    details = as_object(error)
    operation.fail(as_text(details.get("code")) or code, as_text(details.get(member)))


def read_trpc(exchange: Exchange) -> Operation | None:
    """Recognise an answer of results and errors below `…/trpc/`."""
    _, mount, procedures = exchange.path.rpartition(_TRPC)
    if not mount or not procedures or "/" in procedures:
        return None
    value = parse_json(exchange.response_text, partial=not exchange.response_whole)
    batched = "batch=1" in exchange.query
    answers = as_list(value) if batched else [value]
    if not answers or not all(map(_is_answer, answers)):
        return None
    names = unquote(procedures).split(",")[:_MAX_CALLS] if batched else [procedures]
    items = [
        _item(name, as_object(answers[position]) if position < len(answers) else {}, exchange)
        for position, name in enumerate(names)
    ]
    return json_rpc.batch(items) if batched and len(items) > 1 else items[0]


def _is_answer(value: object) -> bool:
    answer = as_object(value)
    return answer.keys() == {"result"} or (answer.keys() == {"error"} and bool(_details(answer)))


def _details(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an error; a transformer such as superjson wraps it."""
    error = as_object(answer.get("error"))
    error = as_object(error.get("json")) or error
    return error if isinstance(error.get("message"), str) and isinstance(error.get("code"), int) else {}


def _item(name: str, answer: dict[str, Any], exchange: Exchange) -> Operation:
    operation = Operation("trpc", name, method=name)
    operation.type = "query" if exchange.method == "GET" else "mutation"
    error = _details(answer)
    if error:
        operation.fail(as_text(as_object(error.get("data")).get("code")) or error["code"], error["message"])
    elif "result" in answer and exchange.response_whole:
        operation.outcome = "ok"
    return operation
