"""The HTTP clients of an agent session: new ones, existing ones, and what other libraries are given."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from otas_middleware._errors import swallowing
from otas_middleware._runtime import SharedWeakSet

if TYPE_CHECKING:
    import aiohttp
    import httpx
    import httpx2
    import requests

    from otas_middleware._outbound import OutboundPolicy
    from otas_middleware._outbound.aiohttp_middleware import AiohttpMiddleware

logger = logging.getLogger("otas_middleware")

_Client = TypeVar("_Client")


class HttpClients:
    """Makes and instruments clients whose calls carry the token inside the domain, and are logged outside it.

    Each method that makes something of httpx takes `library`: `"httpx2"` or `"httpx"`. Left out, it is the one that is
    installed, and `httpx2` where both are.

    Args:
        policy: Decides over each request.
    """

    def __init__(self, policy: OutboundPolicy) -> None:
        self._policy = policy
        self._clients: SharedWeakSet[Any] = SharedWeakSet()
        self._async_clients: SharedWeakSet[Any] = SharedWeakSet()
        self._instrumented: SharedWeakSet[Any] = SharedWeakSet()

    @property
    def clients(self) -> list[Any]:
        """The HTTP clients that were made or instrumented here and are still in use."""
        return list({*self._clients, *self._async_clients, *self._instrumented})

    @overload
    def client(self, *, library: Literal["httpx2"] | None = None, **options: Any) -> httpx2.Client: ...
    @overload
    def client(self, *, library: Literal["httpx"], **options: Any) -> httpx.Client: ...
    @overload
    def client(self, *, library: str, **options: Any) -> Any: ...
    def client(self, *, library: str | None = None, **options: Any) -> Any:
        """Return a new `Client` of httpx; closed with the session.

        Args:
            library: `"httpx2"` or `"httpx"`.
            **options: As the library's `Client` takes them, proxies and transports included.

        Raises:
            ValueError: `library` is neither of the two.
            ImportError: It is not installed.
        """
        made = self._made(_module(library).Client, self.transport, library, options)
        self._clients.add(made)
        return made

    @overload
    def async_client(self, *, library: Literal["httpx2"] | None = None, **options: Any) -> httpx2.AsyncClient: ...
    @overload
    def async_client(self, *, library: Literal["httpx"], **options: Any) -> httpx.AsyncClient: ...
    @overload
    def async_client(self, *, library: str, **options: Any) -> Any: ...
    def async_client(self, *, library: str | None = None, **options: Any) -> Any:
        """Return a new `AsyncClient` of httpx; closed with the session where that is ended by `async with` or `aclose`.

        Args:
            library: `"httpx2"` or `"httpx"`.
            **options: As the library's `AsyncClient` takes them.

        Raises:
            ValueError: `library` is neither of the two.
            ImportError: It is not installed.
        """
        made = self._made(_module(library).AsyncClient, self.async_transport, library, options)
        self._async_clients.add(made)
        return made

    def _made(self, kind: Any, transport: Any, library: str | None, options: dict[str, Any]) -> Any:
        """Return a new client, instrumented after it was made: so it keeps the proxies of the environment."""
        made = kind(**options)
        try:
            return self.instrument(made)
        except TypeError:  # a version whose private names are others (see `instrument`)
            if options.get("transport") is None:
                logger.warning(
                    "otas: with this version of httpx, session.client() takes no proxies of the environment."
                )
            return kind(**{**options, "transport": transport(options.get("transport"), library=library)})

    def requests_session(self) -> requests.Session:
        """Return a new `requests.Session`; closed with this session."""
        from otas_middleware._outbound.requests_adapter import InstrumentedSession  # noqa: PLC0415  # optional

        made = InstrumentedSession(self._policy)
        self._clients.add(made)
        return made

    def aiohttp_session(self, **options: Any) -> aiohttp.ClientSession:
        """Return a new `aiohttp.ClientSession`; closed with this session by `async with` or `aclose`.

        Call it where an event loop runs, as aiohttp's own.

        Args:
            **options: As `aiohttp.ClientSession` takes them; `middlewares` run before ours.
        """
        from aiohttp import ClientSession  # noqa: PLC0415  # optional

        middlewares = (*options.pop("middlewares", ()), self.aiohttp_middleware())
        made = ClientSession(middlewares=middlewares, **options)
        self._async_clients.add(made)
        return made

    def aiohttp_middleware(self) -> AiohttpMiddleware:
        """Return a client middleware for aiohttp 3.12 and later: `ClientSession(middlewares=(..., this))`.

        Put it last, so that it sees each request as it is sent. What is given to one call
        (`client.get(url, middlewares=...)`) takes the place of the session's, as aiohttp has it.
        """
        from otas_middleware._outbound.aiohttp_middleware import AiohttpMiddleware  # noqa: PLC0415  # optional

        return AiohttpMiddleware(self._policy)

    def instrument(self, client: _Client) -> _Client:
        """Have the calls of an existing client carry the token and be logged, and return that same client.

        Args:
            client: A `Client` or `AsyncClient` of `httpx2` or `httpx` (of a class derived from them too, such as
                `openai.DefaultHttpxClient`), or a `requests.Session`, to which its adapters have been mounted.

        Raises:
            TypeError: It is something else; use `transport`, `aiohttp_middleware`, `headers_for` and `log`.
        """
        from otas_middleware._outbound.clients import instrument  # noqa: PLC0415  # heavy

        instrument(client, self._policy)
        self._instrumented.add(client)
        return client

    @overload
    def transport(
        self, inner: httpx2.BaseTransport | None = None, *, library: Literal["httpx2"] | None = None
    ) -> httpx2.BaseTransport: ...
    @overload
    def transport(self, inner: Any = None, *, library: str) -> Any: ...
    def transport(self, inner: Any = None, *, library: str | None = None) -> Any:
        """Return an httpx transport, for whatever takes one.

        Args:
            inner: The transport that sends. When left out, `HTTPTransport()` of the library, or, where none is named,
                of that of the client which it is given to.
            library: `"httpx2"` or `"httpx"`.

        Raises:
            ValueError: `library` is neither of the two.
            ImportError: It is not installed.
        """
        return self._wrapped(inner, library, "HTTPTransport")

    @overload
    def async_transport(
        self, inner: httpx2.AsyncBaseTransport | None = None, *, library: Literal["httpx2"] | None = None
    ) -> httpx2.AsyncBaseTransport: ...
    @overload
    def async_transport(self, inner: Any = None, *, library: str) -> Any: ...
    def async_transport(self, inner: Any = None, *, library: str | None = None) -> Any:
        """Return an asynchronous httpx transport, for whatever takes one.

        Args:
            inner: The transport that sends; the library's own when left out, as of `transport`.
            library: `"httpx2"` or `"httpx"`.

        Raises:
            ValueError: `library` is neither of the two.
            ImportError: It is not installed.
        """
        return self._wrapped(inner, library, "AsyncHTTPTransport")

    def _wrapped(self, inner: Any, library: str | None, kind: str) -> Any:
        from otas_middleware._outbound.httpx_transport import OwnTransport, wrap_transport  # noqa: PLC0415  # heavy

        if inner is None:
            inner = OwnTransport(kind) if library is None else getattr(_module(library), kind)()
        return wrap_transport(inner, self._policy)

    def headers_for(self, url: str) -> dict[str, str]:
        """Return the headers that a request to this URL is to carry, for libraries that have no adapter here.

        Ask anew for each request, after a redirect too. Creates the session if there is none, which may block.

        Args:
            url: The whole URL of the request.

        Returns:
            The session token's header for a URL inside the domain, an empty dictionary for any other.
        """
        from otas_middleware._outbound.clients import headers_for  # noqa: PLC0415  # as the others

        return headers_for(url, self._policy)

    def _instrument_again(self) -> None:
        """Have those clients that were instrumented before the session was closed, and opened again, be so again."""
        for client in self._instrumented:
            self.instrument(client)

    def _uninstrument(self) -> None:
        """Leave the clients that exist as they were; one may see many sessions, one after the other."""
        from otas_middleware._outbound.clients import uninstrument  # noqa: PLC0415  # as the others

        for client in self._instrumented:
            with swallowing("agent.uninstrument"):
                uninstrument(client, self._policy)

    def _close_clients(self) -> None:
        """Close the synchronous clients that were made here, whatever their own `close` does."""
        for client in self._clients:
            try:
                client.close()
            except Exception as error:  # the next ones are to be closed, and what was logged delivered
                _not_closed(client, error)

    async def _aclose_clients(self) -> None:
        """Close the asynchronous clients that were made here, such as one of an event loop that has ended."""
        for client in self._async_clients:
            try:
                await (client.aclose() if hasattr(client, "aclose") else client.close())
            except Exception as error:  # as above
                _not_closed(client, error)


def _module(library: str | None) -> Any:
    """Return the httpx library that is asked for (see `installed`)."""
    from otas_middleware._outbound.httpx_library import installed  # noqa: PLC0415  # heavy

    return installed(library).module


def _not_closed(client: object, error: Exception) -> None:
    logger.warning("otas: a %s of the session could not be closed (%s).", type(client).__name__, type(error).__name__)
