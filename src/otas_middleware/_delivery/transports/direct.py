"""The default transport: one kept-alive connection, and its socket used directly.

A general client spends most of its time on what a fixed request does not need (URL merging, cookies, redirects, header
models, tracing). This transport connects by httpcore's network backend and TLS configuration and then uses the socket
itself: head and body are written in one piece, which is one segment on the wire where it fits, and spares Brain's
development server 43 ms of Nagle's algorithm. It writes no log lines that could be captured and come back.

Proxies from the environment are not used: the application's `HTTP_PROXY` is not meant for its telemetry, and keys
must not reach a proxy by accident. Who needs one sets `OTAS_TRANSPORT=httpx`. `SSL_CERT_FILE` and `SSL_CERT_DIR` are
honoured.
"""

from __future__ import annotations

import dataclasses
import socket
import ssl
from functools import cached_property
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

from otas_middleware._delivery.protocols import Request, Response, TransportError
from otas_middleware._delivery.transports.http1 import ResponseReader, WireError, read_whole, request_head
from otas_middleware._runtime import monotonic

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpcore2 as httpcore
    from httpcore2 import NetworkStream
else:
    try:
        import httpcore2 as httpcore
    except ImportError:  # the last release under the old name; the API is the same
        import httpcore

TLS_ERROR = "tls error"
"""What a handshake fails with, such as a certificate of an authority that is not known."""

_READ_BYTES = 65_536

_TAKEN = b"HTTP/1.1 201"
"""How an answer begins that says nothing new; any other may echo secrets, and is not kept until the next."""

_FRESH = 0.05
"""Seconds after its last answer in which a connection is not asked whether the server has closed it."""

_TOLERANCE = 0.9
"""A socket's time-out is not set anew (a system call) for as long as this share of it is left."""


class _ClosedBeforeError(Exception):
    """A kept-alive connection ended before any byte of the answer: the server had closed it already."""

    def __init__(self, *, sent: bool) -> None:
        self.sent = sent


class DirectTransport:
    """Sends requests over one connection, which is kept open for the next one. For one thread.

    A connection that the server has closed meanwhile (gunicorn: after 2 s) is replaced without a failure. The
    resolution of a host name is the system's and may take longer than the time given.

    Args:
        connect_timeout: Seconds for connecting, and again for the TLS handshake, within the request's own time.
    """

    def __init__(self, connect_timeout: float) -> None:
        "".encode("idna")  # the codec is imported now, not in the middle of a fork (see `_runtime.Runtime.no_fork`)
        self._connect_timeout = connect_timeout
        self.meanwhile: Callable[[], float] | None = None
        """Called once, when the next request is out and its answer on its way; returns the seconds that it took, which
        are none of the exchange's. May raise nothing."""
        self._backend = httpcore.SyncBackend()
        self._stream: NetworkStream | None = None
        self._socket: socket.socket | None = None
        self._timeout = 0.0
        self._used = 0.0
        self._url = ""
        self._origin = ("", "", 0)
        self._target = self._host = ""

    def __call__(self, request: Request, timeout: float) -> Response:
        now = monotonic()
        deadline = now + timeout
        if request.url != self._url:
            self._set_target(request.url)
        data = request_head(self._target, self._host, request.headers, len(request.body)) + request.body
        if self._stream is not None and now - self._used > _FRESH and self._stream.get_extra_info("is_readable"):
            self.close()  # what an idle connection has to say is that it is closed
        connection = self._socket
        if connection is None:
            return self._exchange(self._connect(deadline), data, deadline, kept_alive=False)
        try:
            return self._exchange(connection, data, deadline, kept_alive=True)
        except _ClosedBeforeError as closed:
            sent = closed.sent
        try:
            response = self._exchange(self._connect(deadline), data, deadline, kept_alive=False)
        except TransportError as error:
            raise TransportError(error.cause, sent=error.sent or sent, resent=sent and error.sent) from error
        return dataclasses.replace(response, resent=sent)

    def close(self) -> None:
        """Close the connection."""
        stream, self._stream, self._socket = self._stream, None, None
        if stream is not None:
            stream.close()

    def _set_target(self, url: str) -> None:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        origin = (parts.scheme, host, port)
        if origin != self._origin:
            self.close()
        self._origin = origin
        self._url = url
        self._target = parts.path or "/"
        self._host = parts.netloc

    def _connect(self, deadline: float) -> socket.socket:
        scheme, host, port = self._origin
        try:
            stream = self._backend.connect_tcp(host, port, timeout=self._seconds_until(deadline))
            if scheme == "https":
                stream = stream.start_tls(self._context, server_hostname=host, timeout=self._seconds_until(deadline))
        except httpcore.ConnectTimeout:
            raise TransportError("connect timeout", sent=False) from None
        except (httpcore.ConnectError, OSError, UnicodeError) as error:
            cause = why(error)
            if cause == TLS_ERROR:  # the authorities' file may have been renewed
                self.__dict__.pop("_context", None)
            raise TransportError(cause, sent=False) from None
        connection: socket.socket = stream.get_extra_info("socket")
        self._stream, self._socket, self._timeout = stream, connection, 0.0
        return connection

    def _seconds_until(self, deadline: float) -> float:
        left = deadline - monotonic()
        if left <= 0:
            raise TransportError("connect timeout", sent=False)
        return min(self._connect_timeout, left)

    @cached_property
    def _context(self) -> ssl.SSLContext:
        return trusted_context()

    def _exchange(self, connection: socket.socket, data: bytes, deadline: float, *, kept_alive: bool) -> Response:
        sent = started = False
        try:
            try:
                self._limit(connection, deadline)
                connection.sendall(data)
                sent = True
                meanwhile, self.meanwhile = self.meanwhile, None
                if meanwhile is not None:
                    deadline += meanwhile()
            except TimeoutError:
                raise
            except OSError:
                pass  # a server may answer, and close, before it has read everything
            self._limit(connection, deadline)
            first = connection.recv(_READ_BYTES)
            started = first != b""
            known = read_whole(first) if first.startswith(_TAKEN) else None
            response, reusable = known or self._read_on(connection, first, deadline)
        except TimeoutError:
            self._fail("timeout", sent=sent)
        except (OSError, WireError) as error:
            if kept_alive and not started:
                self.close()
                raise _ClosedBeforeError(sent=sent) from None
            garbage = isinstance(error, WireError) and started
            self._fail("bad answer" if garbage else "connection closed", sent=sent)
        except BaseException:
            self.close()
            raise
        if reusable:
            self._used = monotonic()
        else:
            self.close()
        return response

    def _read_on(self, connection: socket.socket, first: bytes, deadline: float) -> tuple[Response, bool]:
        """Return the response of which these are the first bytes, as `read_whole` does."""
        reader = ResponseReader()
        complete = reader.feed(first)
        while not complete:
            self._limit(connection, deadline)
            complete = reader.feed(connection.recv(_READ_BYTES))
        return reader.response, reader.reusable

    def _limit(self, connection: socket.socket, deadline: float) -> None:
        """Let the next call of the socket take no longer than until the deadline, or a ninth more.

        Raises:
            TimeoutError: The time is up.
        """
        left = deadline - monotonic()
        if left <= 0:
            raise TimeoutError
        if not self._timeout * _TOLERANCE <= left <= self._timeout:
            self._timeout = left
            connection.settimeout(left)

    def _fail(self, cause: str, *, sent: bool) -> NoReturn:
        self.close()
        raise TransportError(cause, sent=sent) from None


def trusted_context() -> ssl.SSLContext:
    """Return the TLS configuration: the system's authorities, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`."""
    context = httpcore.default_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def why(error: BaseException) -> str:
    """Name the reason of a failed connection in plain words; the error's own text may hold addresses."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, ConnectionRefusedError):
            return "connection refused"
        if isinstance(inner, socket.gaierror | UnicodeError):
            return "host name not found"
        if isinstance(inner, ssl.SSLError):
            return TLS_ERROR
        inner = inner.__cause__ or inner.__context__
    return "connection failed"
