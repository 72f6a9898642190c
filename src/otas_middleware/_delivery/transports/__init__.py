"""How a worker delivers a prepared event, and who carries the requests: chosen once per pipeline, made once per thread.

Into a transport comes a `Request`, out comes a `Response` or a `TransportError`: it knows neither events nor what an
answer means. An `Attempt` asks the destination for both. Celery's is `celery`.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import warnings
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import urlsplit

from otas_middleware._delivery.protocols import Outcome, TransportError, Verdict, load
from otas_middleware._errors import ConfigurationError
from otas_middleware._runtime import runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._delivery.protocols import Destination, Request, Response, Transport
    from otas_middleware._delivery.queue_item import QueueItem
    from otas_middleware._delivery.retry import PeerClock
    from otas_middleware._event import Envelope

    Prologue = Callable[[Envelope, Callable[[Request], Outcome]], Outcome | None]

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


class Attempt(Protocol):
    """How a worker delivers: by HTTP, or by handing over to a broker. One per thread."""

    def prepare(self, item: QueueItem) -> None:
        """Make what is to be sent of a built event, unless it has been made."""
        ...

    def __call__(self, item: QueueItem, timeout: float, meanwhile: Callable[[], float] | None = None) -> Outcome:
        """Try to deliver a prepared event.

        Args:
            item: It.
            timeout: Seconds.
            meanwhile: May be called while the answer is on its way; returns the seconds that it took, raises nothing.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class HttpAttempt:
    """Delivers over a transport of its own.

    Args:
        destination: Makes requests and judges answers.
        transport: Carries them; used by one thread only.
        clock: Learns the destination's time from its answers.
    """

    def __init__(self, destination: Destination, transport: Transport, clock: PeerClock) -> None:
        self._destination = destination
        self._transport = transport
        self._clock = clock
        self._prologue: Prologue | None = getattr(destination, "prologue", None)
        self._waiting: Any = transport if hasattr(transport, "meanwhile") else None

    def prepare(self, item: QueueItem) -> None:
        """Make the event's request."""
        if item.request is None and item.envelope is not None:
            item.request = self._destination.request(item.envelope)

    def __call__(self, item: QueueItem, timeout: float, meanwhile: Callable[[], float] | None = None) -> Outcome:
        envelope, request = item.envelope, item.request
        if envelope is None or request is None:
            raise ValueError("the event was not prepared")
        if self._waiting is not None:
            self._waiting.meanwhile = meanwhile
        if self._prologue is not None:
            outcome = self._prologue(envelope, lambda opening: self._exchange(opening, timeout))
            if outcome is not None:
                return outcome
        return self._exchange(request, timeout)

    def _exchange(self, request: Request, timeout: float) -> Outcome:
        try:
            response = self._transport(request, timeout)
        except TransportError as error:
            return no_answer(error, request.url)
        except OSError:  # a transport of the user's own lets the network's failures through
            return no_answer(TransportError("connection failed", sent=True), request.url)
        outcome = self._destination.outcome(response)
        self._clock.learn(response.headers.get("date"), urgent=outcome.verdict == Verdict.BAD_TOKEN)
        return dataclasses.replace(outcome, resent=True) if response.resent else outcome

    def close(self) -> None:
        """Close the transport, if it can be."""
        close(self._transport)


def no_answer(error: TransportError, url: str = "") -> Outcome:
    """Return what a transport's failure means: before the request was out it is never the event's fault.

    Args:
        error: The failure.
        url: Where the request went; its host and port are named in the log.
    """
    reason = error.cause.replace(" ", "_")
    verdict = Verdict.RETRYABLE if error.sent else Verdict.UNAVAILABLE
    place = urlsplit(url).netloc.rpartition("@")[2]
    what = "What came from {} is not HTTP" if reason == "bad_answer" else "No answer came from {}"
    advice = f"{what.format(place)}; otas-middleware doctor says why." if place else ""
    return Outcome(verdict, reason, advice, ambiguous=error.sent, resent=error.resent)
