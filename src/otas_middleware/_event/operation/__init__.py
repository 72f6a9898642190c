"""What was really called inside one HTTP exchange, and whether it failed.

In comes an `Exchange` (headers and bodies, rendered and not yet redacted); out goes an `Operation` or None. Each
protocol is one module with one function, `read(exchange)`, which recognises it, names the call and decides the outcome;
the first that recognises an exchange has it. A new one is a file, a line in `PROTOCOLS` and a test. Runs in the
background; imports `render` and nothing else of the package.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from otas_middleware._event.operation import (
    a2a,
    connect,
    event_streams,
    graphql,
    grpc_web,
    http_batch,
    json_rpc,
    mcp,
    soap,
)
from otas_middleware._event.operation.exchange import Exchange
from otas_middleware._event.operation.mcp import decode_header
from otas_middleware._event.operation.model import KnownProtocol, Operation, OperationReader, OperationRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "PROTOCOLS",
    "Exchange",
    "KnownProtocol",
    "Operation",
    "OperationReader",
    "OperationRecord",
    "decode_header",
    "read_operation",
]

PROTOCOLS: tuple[KnownProtocol, ...] = (
    mcp.PROTOCOL,
    a2a.PROTOCOL,
    json_rpc.PROTOCOL,
    graphql.PROTOCOL,
    connect.PROTOCOL,
    grpc_web.PROTOCOL,
    http_batch.PROTOCOL,
    soap.PROTOCOL,
    event_streams.PROTOCOL,
)
_HEADERS = frozenset[str]().union(*(protocol.headers for protocol in PROTOCOLS))


def read_operation(exchange: Exchange, readers: Sequence[OperationReader] = ()) -> Operation | None:
    """Return what was called, or None when the exchange is of no known protocol.

    Args:
        exchange: Headers and bodies.
        readers: Protocols of the user's own, asked before the known ones.

    Returns:
        The operation. Its outcome is `error` whenever the request itself failed, by an exception or by its status.
    """
    marked = not _HEADERS.isdisjoint(exchange.request_headers)
    queries = exchange.method == "GET" and exchange.query != ""
    known = _worth_asking(exchange.request_media, exchange.response_media, marked, bool(exchange.calls), queries)
    for read in (*readers, *known) if readers else known:
        operation = read(exchange)
        if operation is not None:
            if exchange.failed and not operation.is_error:
                operation.outcome = "error"
            return operation
    return None


@lru_cache(maxsize=256)
def _worth_asking(
    request_media: str,
    response_media: str,
    marked: bool,  # noqa: FBT001  # keywords would cost as much as the look-up
    calls: bool,  # noqa: FBT001  # as above
    queries: bool,  # noqa: FBT001  # as above
) -> tuple[OperationReader, ...]:
    return tuple(
        protocol.read
        for protocol in PROTOCOLS
        if protocol.always
        or (marked and protocol.headers)
        or (calls and protocol.calls)
        or (queries and protocol.queries)
        or request_media.startswith(protocol.media)
        or response_media.startswith(protocol.media)
    )
