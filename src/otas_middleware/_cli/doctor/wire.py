"""One HTTP request, step by step: name, connection, TLS, answer; each with its time and its own way to fail.

The transports of delivery say in one word why nothing came back. Here every step is looked at by itself, and when one
fails, the same address is tried the other way: a server that speaks TLS where none was expected, or the reverse.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from otas_middleware._config.origins import DEFAULT_PORTS
from otas_middleware._delivery.transports.http1 import ResponseReader, WireError, request_head

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from otas_middleware._delivery.protocols import Response

Trouble = Literal[
    "name",  # the host name is not known
    "refused",  # nobody listens there
    "unreachable",  # no way to the host, or the connection timed out
    "certificate",  # the certificate does not hold
    "speaks_http",  # https was asked for, and plain HTTP is spoken
    "speaks_tls",  # http was asked for, and TLS is spoken
    "tls",  # the handshake failed in another way
    "silent",  # no answer in time
    "closed",  # the connection ended without an answer
    "not_http",  # what came back is not HTTP
]

_READ_BYTES = 65_536
_TLS_RECORDS = (b"\x15\x03", b"\x16\x03")
_PROBE_SECONDS = 1.5


class TroubleError(Exception):
    """A step failed.

    Args:
        trouble: Which way.
        detail: What the system said; never anything that was sent.
        steps: The steps before it, with their times.
    """

    def __init__(self, trouble: Trouble, detail: str, steps: Mapping[str, float]) -> None:
        super().__init__(detail)
        self.trouble: Trouble = trouble
        self.detail = detail
        self.steps = steps


@dataclass(frozen=True)
class Answer:
    """An HTTP response.

    Attributes:
        response: The response.
        steps: Name of each step → its time in seconds: `name`, `connection`, `tls`, `answer`.
        sent_at: When the request went out, in Unix seconds.
        received_at: When the answer was complete, in Unix seconds.
    """

    response: Response = field(repr=False)
    steps: Mapping[str, float]
    sent_at: float
    received_at: float


def post(base: str, path: str, headers: tuple[tuple[str, str], ...], timeout: float, connect_timeout: float) -> Answer:
    """Post an empty JSON object over a connection of its own.

    Args:
        base: The service's URL, without a trailing slash.
        path: The endpoint.
        headers: Further headers.
        timeout: Seconds for the answer.
        connect_timeout: Seconds for the connection, and again for TLS.

    Raises:
        TroubleError: A step failed.
    """
    parts = urlsplit(base)
    host = parts.hostname or ""
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    steps: dict[str, float] = {}
    connection = _connect(host, port, connect_timeout, steps)
    with contextlib.ExitStack() as stack:
        stack.callback(connection.close)
        if parts.scheme == "https":
            connection = _secure(connection, host, port, steps)
            stack.callback(connection.close)
        own = (("Content-Type", "application/json"), ("Accept", "application/json"), ("Connection", "close"))
        head = request_head(parts.path + path, parts.netloc, (*own, *headers), 2)
        sent_at = time.time()
        with _timed("answer", steps):
            address = (host, port) if parts.scheme == "http" else None
            response = _exchange(connection, head + b"{}", timeout, steps, address)
        return Answer(response, steps, sent_at, time.time())


@contextlib.contextmanager
def _timed(step: str, steps: dict[str, float]) -> Generator[None]:
    begun = time.perf_counter()
    try:
        yield
    finally:
        steps[step] = time.perf_counter() - begun


def _connect(host: str, port: int, timeout: float, steps: dict[str, float]) -> socket.socket:
    try:
        with _timed("name", steps):
            addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise TroubleError("name", _text(error), steps) from None
    last: OSError | None = None
    with _timed("connection", steps):
        for family, kind, protocol, _, address in addresses:
            connection = socket.socket(family, kind, protocol)
            connection.settimeout(timeout)
            try:
                connection.connect(address)
            except OSError as error:
                connection.close()
                last = error
            else:
                return connection
    refused = isinstance(last, ConnectionRefusedError)
    raise TroubleError("refused" if refused else "unreachable", _text(last), steps)


def _secure(connection: socket.socket, host: str, port: int, steps: dict[str, float]) -> socket.socket:
    from otas_middleware._delivery.transports.direct import trusted_context  # noqa: PLC0415  # heavy, and for https only

    try:
        with _timed("tls", steps):
            return trusted_context().wrap_socket(connection, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        raise TroubleError("certificate", error.verify_message, steps) from None
    except OSError as error:
        if _speaks_http(host, port):
            raise TroubleError("speaks_http", _text(error), steps) from None
        silent = isinstance(error, TimeoutError)
        raise TroubleError("silent" if silent else "tls", _text(error), steps) from None


def _exchange(
    connection: socket.socket, data: bytes, timeout: float, steps: dict[str, float], address: tuple[str, int] | None
) -> Response:
    """Send a request and read its answer.

    Args:
        connection: The connection, with TLS where that is spoken.
        data: The request.
        timeout: Seconds for all of it.
        steps: For the error.
        address: Where it goes, if it goes there without TLS: then TLS is tried when the answer is none.
    """
    deadline = time.monotonic() + timeout
    reader = ResponseReader()
    first = b""
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may have answered all the same
            connection.sendall(data)
        while True:
            connection.settimeout(max(0.001, deadline - time.monotonic()))
            received = connection.recv(_READ_BYTES)
            first = first or received
            if reader.feed(received):
                break
    except TimeoutError:
        raise TroubleError("silent", f"no answer within {timeout:g} s", steps) from None
    except (OSError, WireError) as error:
        if address is not None and (first.startswith(_TLS_RECORDS) or _speaks_tls(address)):
            raise TroubleError("speaks_tls", _text(error), steps) from None
        raise TroubleError("not_http" if first else "closed", _text(error), steps) from None
    response = reader.response
    if address is not None and response.status == 400 and b"HTTPS port" in response.body:  # nginx says it in words
        raise TroubleError("speaks_tls", "400", steps)
    return response


def _speaks_tls(address: tuple[str, int]) -> bool:
    """Say whether a server takes part in a TLS handshake; whose certificate it has does not matter here."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection(address, _PROBE_SECONDS) as connection,
            context.wrap_socket(connection, server_hostname=address[0]),
        ):
            return True
    except (OSError, ValueError):
        return False


def _speaks_http(host: str, port: int) -> bool:
    """Say whether a server answers a plain HTTP request."""
    head = f"HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection((host, port), _PROBE_SECONDS) as connection:
            connection.sendall(head.encode("ascii", "replace"))
            return connection.recv(8).startswith(b"HTTP/")
    except (OSError, UnicodeError):
        return False


def _text(error: BaseException | None) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "handshake failed").lower().replace("_", " ")
    if isinstance(error, OSError):
        return "timed out" if isinstance(error, TimeoutError) else (error.strerror or str(error))
    return str(error)
