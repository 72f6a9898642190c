"""A transport that does its work outside of Python: pyreqwest, Rust's reqwest (extra `fast`).

It holds the interpreter for a third of the time that the default transport does, so the application's own threads wait
less. Its runtime's threads do not survive a fork, so a client is made only in the process and the thread that uses it.
Redirects, cookies, decompression and proxies are off, as in the default transport, and for the same reasons.
"""

from __future__ import annotations

import dataclasses
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from pyreqwest.client import SyncClientBuilder
from pyreqwest.exceptions import DecodeError, DetailedPyreqwestError, PyreqwestError, RequestTimeoutError

from otas_middleware._delivery.protocols import MAX_REPLY_BYTES, Request, Response, TransportError

if TYPE_CHECKING:
    from pyreqwest.response import SyncResponse

_WANTED = ("content-type", "retry-after")

_REASONS = (
    ("connection refused", "connection refused"),
    ("dns error", "host name not found"),
    ("certificate", "tls error"),
    ("tls", "tls error"),
)


class FastTransport:
    """Sends requests over one kept-alive connection. For one thread of one process.

    Args:
        connect_timeout: Seconds for connecting, within the request's own time.
    """

    def __init__(self, connect_timeout: float) -> None:
        self._client = (
            SyncClientBuilder()
            .follow_redirects(enable=False)
            .referer(enable=False)
            .gzip(enable=False)
            .brotli(enable=False)
            .zstd(enable=False)
            .deflate(enable=False)
            .no_proxy()
            .http1_only()
            .pool_max_idle_per_host(1)
            .connect_timeout(timedelta(seconds=connect_timeout))
            .build()
        )
        self._kept_alive = False

    def __call__(self, request: Request, timeout: float) -> Response:
        kept_alive, self._kept_alive = self._kept_alive, False
        deadline = time.monotonic() + timeout
        try:
            response = self._exchange(request, timeout)
        except TransportError as error:
            if not (kept_alive and error.cause == "connection closed"):
                raise
            # The server had closed it after the last request, or did so now; nobody can tell.
            try:
                again = self._exchange(request, max(0.001, deadline - time.monotonic()))
            except TransportError as second:
                raise TransportError(second.cause, sent=True, resent=second.sent) from second
            response = dataclasses.replace(again, resent=True)
        self._kept_alive = True
        return response

    def _exchange(self, request: Request, timeout: float) -> Response:
        prepared = self._client.post(request.url).headers(request.headers).body_bytes(request.body)
        try:
            with prepared.timeout(timedelta(seconds=timeout)).build_streamed() as response:
                status = response.status
                if status == 201 and request.status_suffices:
                    return Response(status, {})  # asking for the rest would cost as much as all before
                return Response(status, _headers(response), _body(response))
        except PyreqwestError as error:
            raise _translate(error) from None

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def _headers(response: SyncResponse) -> dict[str, str]:
    found = ((name, response.get_header(name)) for name in _WANTED)
    return {name: value for name, value in found if value is not None}


def _body(response: SyncResponse) -> bytes:
    """Return the body, up to the limit; a longer one is left on a connection that is then given up."""
    piece = response.body_reader.read(MAX_REPLY_BYTES)
    return b"" if piece is None else bytes(piece)


def _translate(error: PyreqwestError) -> TransportError:
    """Name the failure; only one while connecting is sure to have happened before anything was sent."""
    causes: list[str] = []
    if isinstance(error, DetailedPyreqwestError) and error.details:
        causes = [cause["message"].lower() for cause in error.details.get("causes") or ()]
    sent = "client error (connect)" not in causes
    if isinstance(error, RequestTimeoutError):
        return TransportError("timeout" if sent else "connect timeout", sent=sent)
    if sent:
        return TransportError("bad answer" if isinstance(error, DecodeError) else "connection closed", sent=True)
    text = " ".join(causes[1:])  # the first names the address
    reasons = (reason for mark, reason in _REASONS if mark in text)
    return TransportError(next(reasons, "connection failed"), sent=False)
