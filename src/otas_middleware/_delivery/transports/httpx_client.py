"""The transport `httpx`: a client of that library, with proxies and certificates of the environment, and HTTP/2.

For who needs what the default leaves out: `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, and `SSL_CERT_FILE` and
`SSL_CERT_DIR`, as httpx reads them. HTTP/2 is spoken where the package `h2` is installed (`pip install
'httpx2[http2]'`) and the server offers it. It takes several times the CPU of the default, and the time given counts
for each step, not for all of them together.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from typing import TYPE_CHECKING

from otas_middleware._compat import httpx
from otas_middleware._delivery.protocols import MAX_REPLY_BYTES, Request, Response, TransportError
from otas_middleware._delivery.transports.direct import TLS_ERROR, why

if TYPE_CHECKING:
    import httpx2

_CAUSES = (
    (httpx.ConnectTimeout, "connect timeout", False),
    (httpx.PoolTimeout, "connect timeout", False),
    (httpx.ProxyError, "proxy error", False),
    (httpx.UnsupportedProtocol, "bad address", False),
    (httpx.LocalProtocolError, "bad request", False),
    (httpx.TimeoutException, "timeout", True),
    (httpx.ProtocolError, "bad answer", True),
)


class HttpxTransport:
    """Sends requests by a client of its own. For one thread.

    Args:
        connect_timeout: Seconds for connecting, within the request's own time.
    """

    def __init__(self, connect_timeout: float) -> None:
        self._connect_timeout = connect_timeout
        self._kept_alive = False
        self._client: httpx2.Client | None = _client()

    def __call__(self, request: Request, timeout: float) -> Response:
        kept_alive, self._kept_alive = self._kept_alive, False
        try:
            response = self._exchange(request, timeout)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as error:
            if not kept_alive:
                raise _translated(error) from None
            # The server had closed it after the last request, or did so now; nobody can tell.
            try:
                response = dataclasses.replace(self._exchange(request, timeout), resent=True)
            except httpx.TransportError as second:
                failure = _translated(second)
                raise TransportError(failure.cause, sent=True, resent=failure.sent) from None
        except httpx.TransportError as error:
            failure = _translated(error)
            if failure.cause == TLS_ERROR:  # the authorities' file may have been renewed
                self.close()
            raise failure from None
        self._kept_alive = True
        return response

    def _exchange(self, request: Request, timeout: float) -> Response:
        times = httpx.Timeout(timeout, connect=min(timeout, self._connect_timeout))
        if self._client is None:
            self._client = _client()
        with self._client.stream(
            "POST", request.url, content=request.body, headers=request.headers, timeout=times
        ) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Response(response.status_code, headers, _body(response))

    def close(self) -> None:
        """Close the client and its connection."""
        client, self._client = self._client, None
        if client is not None:
            client.close()


def _client() -> httpx2.Client:
    return httpx.Client(
        headers={"Accept-Encoding": "identity"},
        http2=importlib.util.find_spec("h2") is not None,
        follow_redirects=False,
        limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
    )


def _body(response: httpx2.Response) -> bytes:
    """Return the body as far as it is wanted; a longer one is left on a connection that is given up."""
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) >= MAX_REPLY_BYTES:
            break
    return bytes(body[:MAX_REPLY_BYTES])


def _translated(error: httpx2.TransportError) -> TransportError:
    """Return the failure in plain words: httpx's own text may hold addresses."""
    if isinstance(error, httpx.ConnectError):
        return TransportError(why(error), sent=False)
    for kind, cause, sent in _CAUSES:
        if isinstance(error, kind):
            return TransportError(cause, sent=sent)
    return TransportError("connection closed", sent=True)
