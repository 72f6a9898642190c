"""One attempt to deliver one entry: build it, turn it into a request, send that, judge the answer."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Protocol

from otas_middleware._delivery._protocols import Outcome, TransportError, Verdict

if TYPE_CHECKING:
    from otas_middleware._delivery._protocols import Destination, Transport
    from otas_middleware._delivery._queue import Entry


class Attempt(Protocol):
    """How a lane's thread delivers: by HTTP, or by handing over to a broker. One per thread."""

    def __call__(self, entry: Entry, timeout: float) -> Outcome:
        """Try to deliver a built entry within `timeout` seconds."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class HttpAttempt:
    """Delivers over a transport of its own.

    Args:
        destination: Makes requests and judges answers.
        transport: Carries them; used by one thread only.
    """

    def __init__(self, destination: Destination, transport: Transport) -> None:
        self._destination = destination
        self._transport = transport

    def __call__(self, entry: Entry, timeout: float) -> Outcome:
        request = entry.request
        if request is None:
            if entry.parcel is None:  # pragma: no cover  # the lane builds first
                return Outcome(Verdict.REJECTED, "not_built")
            request = entry.request = self._destination.request(entry.parcel)
        try:
            response = self._transport(request, timeout)
        except TransportError as error:
            return no_answer(error)
        outcome = self._destination.outcome(response)
        return dataclasses.replace(outcome, ambiguous=True) if response.resent else outcome

    def close(self) -> None:
        close = getattr(self._transport, "close", None)
        if close is not None:
            close()


def no_answer(error: TransportError) -> Outcome:
    """Say what a transport's failure means: before the request was out it is never the event's fault."""
    reason = error.cause.replace(" ", "_")
    return Outcome(Verdict.SUSPECT if error.sent else Verdict.UNWELL, reason, ambiguous=error.sent)
