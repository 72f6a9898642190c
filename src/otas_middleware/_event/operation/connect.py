"""Connect (connectrpc.com/docs/protocol): unary calls by status and JSON, streams by their last envelope."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otas_middleware._event.operation.exchange import as_object, as_text, parse_json
from otas_middleware._event.operation.grpc_web import last_frame, procedure, uncompressed
from otas_middleware._event.render import first_value

if TYPE_CHECKING:
    from otas_middleware._event.operation.exchange import Exchange
    from otas_middleware._event.operation.model import Operation

_STREAM_MEDIA = "application/connect+"
_END_STREAM = 0x02


def read(exchange: Exchange) -> Operation | None:
    """Recognise the protocol's header, its streams' media type, or a GET with `connect=v1`."""
    streams = exchange.request_media.startswith(_STREAM_MEDIA)
    if not (streams or "connect-protocol-version" in exchange.request_headers or _is_get(exchange)):
        return None
    operation = procedure("connect", exchange.path)
    operation.version = exchange.header("connect-protocol-version")
    if streams or exchange.response_media.startswith(_STREAM_MEDIA):
        operation.type = "stream"
        _judge_stream(operation, exchange)
    elif exchange.status == 200:
        operation.outcome = "ok" if not exchange.aborted else "unknown"
    else:
        _fail(operation, parse_json(exchange.response.text), str(exchange.status))
    return operation


def _is_get(exchange: Exchange) -> bool:
    if exchange.method != "GET" or "connect=v1" not in exchange.query:
        return False
    # An empty message is none of the fields that have a value.
    return "encoding" in exchange.query_fields and "message=" in exchange.query


def _judge_stream(operation: Operation, exchange: Exchange) -> None:
    frame = last_frame(exchange.ending(), _END_STREAM, whole=not exchange.gap)
    if frame is None:
        return
    payload = uncompressed(frame, first_value(exchange.response_headers, "connect-content-encoding"))
    end = parse_json(payload.decode("utf-8", "replace"))
    if end is None:
        return
    if as_object(end).get("error") is not None:
        _fail(operation, as_object(end)["error"], "unknown")
    else:
        operation.outcome = "ok"


def _fail(operation: Operation, error: object, code: str) -> None:
    details = as_object(error)
    operation.fail(as_text(details.get("code")) or code, as_text(details.get("message")))
