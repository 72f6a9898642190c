"""How a worker delivers one prepared event: over a transport of its own. Celery's way is `transports.celery`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from otas_middleware._delivery.protocols import Outcome, TransportError, Verdict
from otas_middleware._delivery.transports import close

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._delivery.clock import PeerClock
    from otas_middleware._delivery.protocols import Destination, Request, Transport
    from otas_middleware._delivery.queue_item import QueueItem
    from otas_middleware._event.model import Envelope

    Prologue = Callable[[Envelope, Callable[[Request], Outcome]], Outcome | None]


class Attempt(Protocol):
    """How a worker delivers: by HTTP, or by handing over to a broker. One per thread."""

    def prepare(self, item: QueueItem) -> None:
        """Make what is to be sent of a built event, unless it has been made."""
        ...

    def __call__(self, item: QueueItem, timeout: float) -> Outcome:
        """Try to deliver a prepared event within `timeout` seconds."""
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

    def prepare(self, item: QueueItem) -> None:
        """Make the event's request."""
        if item.request is None and item.envelope is not None:
            item.request = self._destination.request(item.envelope)

    def __call__(self, item: QueueItem, timeout: float) -> Outcome:
        envelope, request = item.envelope, item.request
        if envelope is None or request is None:
            raise ValueError("the event was not prepared")
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
