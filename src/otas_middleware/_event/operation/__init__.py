"""What was really called inside one HTTP exchange, and whether it failed.

In comes an `Exchange` (headers and bodies, rendered and not yet redacted); out goes an `Operation` or None. Each
protocol is one function, which recognises it, names the call and decides the outcome; the first that recognises an
exchange has it. A new one is such a function, alone in a module or beside its kin, a row of `PROTOCOLS` and a test.
Runs in the background; imports `render` and little else of the package, and a protocol when the first exchange looks
like it.
"""

# ruff: noqa: PLC0415  # protocols are imported with the first exchange that looks like one
from __future__ import annotations

import re
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otas_middleware._event.operation.exchange import Exchange
    from otas_middleware._event.operation.model import Operation, OperationReader


class KnownProtocol(NamedTuple):
    """A protocol, and by what it is worth asking; any of these will do. Several are words with a blank between.

    Attributes:
        module: Its module here.
        function: What in there recognises and reads an exchange.
        headers: Request headers.
        media: Beginnings of media types, of request or response.
        texts: Texts in the request body.
        calls: A request that holds calls of JSON-RPC, or an answer that may refuse some.
        urls: Texts in the path or the query string.
    """

    module: str
    function: str = "read"
    headers: str = ""
    media: str = ""
    texts: str = ""
    calls: bool = False
    urls: str = ""

    @property
    def read(self) -> OperationReader:
        """The function that reads it."""
        reader: OperationReader = getattr(import_module(f"{__name__}.{self.module}"), self.function)
        return reader


def named_for_packers() -> None:
    """Be called by nobody: packers of programs (PyInstaller, Nuitka) take along what import statements name."""
    from otas_middleware._event.operation import a2a, aws, batches, graphql, json_rpc, mcp, rpc, streams, xml_calls

    del a2a, aws, batches, graphql, json_rpc, mcp, rpc, streams, xml_calls


PROTOCOLS = (
    KnownProtocol(
        "mcp", headers="mcp-method mcp-session-id mcp-protocol-version", media="text/event-stream", calls=True
    ),
    KnownProtocol("a2a", headers="a2a-version", calls=True),
    KnownProtocol("json_rpc", calls=True, texts='"method"'),
    KnownProtocol(
        "graphql",
        media="application/graphql multipart/form-data",
        texts='"query" query= extensions= "persistedQuery" documentId "operationName"',
        urls="query= extensions= documentId=",
    ),
    KnownProtocol(
        "rpc", "read_connect", headers="connect-protocol-version", media="application/connect+", urls="connect=v1"
    ),
    KnownProtocol("rpc", "read_grpc", media="application/grpc"),
    KnownProtocol(
        "batches", "read_http", media="multipart/mixed application/fhir+json", urls="/$batch /Bulk /composite"
    ),
    KnownProtocol("rpc", "read_twirp", urls="/twirp/"),
    KnownProtocol("rpc", "read_trpc", urls="/trpc/"),
    KnownProtocol("batches", "read_elasticsearch", urls="/_bulk /_msearch"),
    KnownProtocol("streams", "read_watch", urls="watch="),
    KnownProtocol(
        "xml_calls",
        "read_soap",
        headers="soapaction",
        media="application/soap+xml text/xml application/xml multipart/related",
    ),
    KnownProtocol("xml_calls", "read_xml_rpc", media="text/xml application/xml"),
    KnownProtocol("aws", headers="x-amz-target", media="application/xml", texts="Action=", urls="/invocations"),
    KnownProtocol("aws", "read_events", media="application/vnd.amazon.eventstream"),
    KnownProtocol("streams", "read_answer", texts='"model" "newMessage" "assistant_id"', urls=":streamGenerateContent"),
    KnownProtocol(
        "streams",
        "read_events",
        media="text/event-stream application/x-ndjson application/jsonl application/json-lines",
    ),
)
_HEADERS = frozenset(" ".join(protocol.headers for protocol in PROTOCOLS).split())


def read_operation(exchange: Exchange, readers: Sequence[OperationReader] = ()) -> Operation | None:
    """Return what was called, or None when the exchange is of no known protocol.

    Args:
        exchange: Headers and bodies.
        readers: Protocols of the user's own, asked before the known ones.

    Returns:
        The operation. Its outcome is `error` whenever the request itself failed, by an exception or by its status.

    Raises:
        TypeError: One of the user's own returned what is none.
    """
    in_urls, in_texts = _probes()
    known = _worth_asking(
        exchange.request_media,
        exchange.response_media,
        not _HEADERS.isdisjoint(exchange.request_headers),
        bool(exchange.calls) or exchange.may_be_refused,
        in_urls(f"{exchange.path}?{exchange.query}"),
        in_texts(exchange.request.text),
    )
    for read in (*readers, *known) if readers else known:
        operation = read(exchange)
        if operation is not None:
            if read in readers:
                from otas_middleware._event.operation.model import checked

                operation = checked(operation)
            cancelled = exchange.aborted and operation.outcome == "cancelled"
            if exchange.failed and not operation.is_error and not cancelled:
                operation.outcome = "error"
            return operation
    return None


@lru_cache(maxsize=1)
def _probes() -> tuple[Callable[[str], bool], Callable[[str], bool]]:
    """Return what tells whether any protocol's text is in a URL, and in a body: all are looked for at once."""
    from otas_middleware._event.patterns import probe

    return (
        probe(*(re.escape(text) for protocol in PROTOCOLS for text in protocol.urls.split())),
        # Without the quote that every string of JSON begins with: there the probe would look closer each time.
        probe(*(re.escape(text.removeprefix('"')) for protocol in PROTOCOLS for text in protocol.texts.split())),
    )


@lru_cache(maxsize=256)
def _worth_asking(
    request_media: str,
    response_media: str,
    marked: bool,  # noqa: FBT001  # keywords would cost as much as the look-up
    calls: bool,  # noqa: FBT001  # as above
    urls: bool,  # noqa: FBT001  # as above
    texts: bool,  # noqa: FBT001  # as above
) -> tuple[OperationReader, ...]:
    return tuple(
        protocol.read
        for protocol in PROTOCOLS
        if (marked and protocol.headers)
        or (calls and protocol.calls)
        or (urls and protocol.urls)
        or (texts and protocol.texts)
        or any(media.startswith((*protocol.media.split(),)) for media in (request_media, response_media))
    )
