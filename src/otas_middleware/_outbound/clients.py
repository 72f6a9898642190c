"""Instrumentation of clients that exist, by the library that they are of; and the headers for any other."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware._config.origins import locate
from otas_middleware._outbound import Scope, without_layer
from otas_middleware._outbound.httpx_library import library_of_client
from otas_middleware._outbound.httpx_transport import wrap_transport

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._outbound import OutboundPolicy


def instrument(client: object, policy: OutboundPolicy) -> None:
    """Have a policy decide over an existing client's requests, and record them.

    Args:
        client: A `Client` or `AsyncClient` of httpx2 or httpx, or a `requests.Session`.
        policy: Decides; one that instruments a client twice does so once.

    Raises:
        TypeError: It is not a client of a library that is known here, or one that cannot be instrumented any more.
    """
    if library_of_client(client) is not None:
        _instrument_httpx(client, policy)
        return
    if "requests" in sys.modules:
        from requests import Session  # noqa: PLC0415  # optional; whose object this may be has imported it

        from otas_middleware._outbound.requests_adapter import wrap_session  # noqa: PLC0415  # as above

        if isinstance(client, Session):
            wrap_session(client, policy)
            return
    raise TypeError(
        f"{type(client).__name__} is neither an httpx Client or AsyncClient nor a requests.Session; "
        "pass the one that it is built on (aiohttp: session.aiohttp_middleware()), "
        "or set the headers of headers_for(url) on each of its requests."
    )


def _instrument_httpx(client: Any, policy: OutboundPolicy) -> None:
    """Put our transport around those of a client, of its proxies and its mounts.

    httpx documents no way to change the transports of a client that exists, so this is the one place that knows its
    private names; without them a client can still be made with `session.client()` or `session.transport()`.

    Raises:
        TypeError: The private names are not there.
    """
    if getattr(client, "_transport", None) is None or getattr(client, "_mounts", None) is None:
        raise TypeError(
            f"This version of httpx keeps the transports of its {type(client).__name__} where they cannot be found, so "
            "an existing client cannot be instrumented; make it with session.client(), or give it "
            "transport=session.transport()."
        )
    _change_transports(client, lambda each: wrap_transport(each, policy))


def _change_transports(client: Any, change: Callable[[Any], Any]) -> None:
    client._transport = change(client._transport)  # noqa: SLF001  # see `_instrument_httpx`
    mounts: dict[Any, Any] = client._mounts  # noqa: SLF001  # as above
    mounts.update({pattern: change(mounted) for pattern, mounted in mounts.items() if mounted is not None})


def uninstrument(client: Any, policy: OutboundPolicy) -> None:
    """Take out of a client what `instrument` put there for a policy, whatever others put around it since.

    Args:
        client: One that this policy has instrumented.
        policy: Decides over nothing any more.
    """
    if library_of_client(client) is None:
        for prefix, adapter in client.adapters.items():
            client.adapters[prefix] = without_layer(adapter, policy)
        return
    _change_transports(client, lambda each: without_layer(each, policy))


def headers_for(url: str, policy: OutboundPolicy) -> dict[str, str]:
    """Return the token's header for a URL inside, else nothing; may block (see `OutboundPolicy.token`)."""
    location = locate(url)
    if location is None or policy.scope(*location) is not Scope.INSIDE:
        return {}
    token = policy.token_at_hand() or policy.token()
    return {} if token is None else {TOKEN_HEADER: token}
