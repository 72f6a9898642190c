"""Twirp (twitchtv.github.io/twirp): calls by path; a failure has a status of 400 or above, and says why in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otas_middleware._event.operation.exchange import as_object, as_text, parse_json
from otas_middleware._event.operation.grpc_web import procedure

if TYPE_CHECKING:
    from otas_middleware._event.operation.exchange import Exchange
    from otas_middleware._event.operation.model import Operation

_MOUNT = "/twirp/"
_MEDIA = frozenset(("application/json", "application/protobuf"))


def read(exchange: Exchange) -> Operation | None:
    """Recognise a POST below `…/twirp/`, of JSON or of a message."""
    _, mount, called = exchange.path.rpartition(_MOUNT)
    if not mount or exchange.method != "POST" or exchange.request_media not in _MEDIA or called.count("/") != 1:
        return None
    operation = procedure("twirp", called)
    if exchange.status == 200:
        operation.outcome = "ok" if not exchange.aborted else "unknown"
    else:
        error = as_object(parse_json(exchange.response.text))
        operation.fail(as_text(error.get("code")) or None, as_text(error.get("msg")))
    return operation
