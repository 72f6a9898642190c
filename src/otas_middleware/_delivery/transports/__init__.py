"""Who carries the requests: chosen once per pipeline, made once per sending thread.

In comes a `Request`, out comes a `Response` or a `TransportError`. Nothing here knows events or what an answer means.
"""

from __future__ import annotations

import logging
import os
import warnings
from typing import TYPE_CHECKING, cast

from otas_middleware._delivery.protocols import load
from otas_middleware._errors import ConfigurationError
from otas_middleware._runtime import runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._delivery.protocols import Request, Response, Transport

logger = logging.getLogger("otas_middleware")

FORMER = frozenset({"auto", "fast"})
"""Accepted for one release."""


def transport_factory(settings: OtasSettings) -> Callable[[], Transport]:
    """Return what makes a transport; call that in the process and the thread that uses the transport.

    No HTTP client is imported here: `import otas_middleware` stays light, and a client must not exist before a fork.

    Raises:
        ConfigurationError: The setting `transport` names nothing that can be imported and called.
    """
    name = settings.transport
    if ":" in name:
        return _users_own(name)
    if name == "httpx":

        def client() -> Transport:
            from otas_middleware._delivery.transports.httpx_client import HttpxTransport  # noqa: PLC0415  # in the worker

            return HttpxTransport(settings.connect_timeout)

        return client
    if name in FORMER:
        warnings.warn(
            f"OTAS_TRANSPORT={name} is no longer known and means `direct`, the default; leave it out, and the extra "
            "`fast` too. Both go in the next release.",
            DeprecationWarning,
            stacklevel=2,
        )
        logger.warning("otas: OTAS_TRANSPORT=%s means `direct` now; leave it out, and the extra `fast` too.", name)
    if name != "celery":
        _tell_of_proxies()
    return direct_transport(settings)


def direct_transport(settings: OtasSettings) -> Callable[[], Transport]:
    """Return what makes the default transport."""

    def make() -> Transport:
        from otas_middleware._delivery.transports.direct import DirectTransport  # noqa: PLC0415  # in the worker only

        return DirectTransport(settings.connect_timeout)

    return make


def send_once(make: Callable[[], Transport], request: Request, timeout: float) -> Response:
    """Send one request over a transport of its own, and return the answer.

    Args:
        make: Makes the transport; it may import its HTTP client.
        request: What to send.
        timeout: Seconds for the whole exchange.

    Raises:
        TransportError: No complete answer came in time.
    """
    with runtime.no_fork:
        transport = make()
    try:
        return transport(request, timeout)
    finally:
        close(transport)


def close(transport: Transport) -> None:
    """Close a transport, if it can be."""
    closing: Callable[[], object] | None = getattr(transport, "close", None)
    if closing is not None:
        closing()


def _tell_of_proxies() -> None:
    """Say once that a proxy of the environment is not used."""
    for name in ("HTTPS_PROXY", "https_proxy"):
        if os.environ.get(name):
            way = "set OTAS_TRANSPORT=httpx to send them through it."
            runtime.log_once(logging.INFO, f"otas: {name} is set and not used for events; {way}")
            return


def _users_own(path: str) -> Callable[[], Transport]:
    made = load(path, "transport")
    if isinstance(made, type):
        return cast("Callable[[], Transport]", made)
    if not callable(made):
        raise ConfigurationError(f"otas_middleware: the transport {path!r} is neither a function nor a class.")
    return lambda: cast("Transport", made)
