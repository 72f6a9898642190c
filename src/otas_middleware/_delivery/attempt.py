"""One attempt to deliver one entry: build it, turn it into a request, send that, judge the answer."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any, Protocol

from otas_middleware._delivery import process
from otas_middleware._delivery.protocols import Outcome, TransportError, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._delivery.protocols import Destination, Request, Transport
    from otas_middleware._delivery.queue import QueueItem
    from otas_middleware._event.model import Envelope

    Prologue = Callable[[Envelope, Callable[[Request], Outcome]], Outcome | None]


class Attempt(Protocol):
    """How an exporter's thread delivers: by HTTP, or by handing over to a broker. One per thread."""

    def __call__(self, entry: QueueItem, timeout: float) -> Outcome:
        """Try to deliver a built entry within `timeout` seconds."""
        ...

    def use_waits(self, look_ahead: Callable[[], QueueItem | None]) -> None:
        """Have the next entry looked for, and made ready, while an answer is on its way; if that is possible."""
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
        self._prologue: Prologue | None = getattr(destination, "prologue", None)

    def __call__(self, entry: QueueItem, timeout: float) -> Outcome:
        envelope = entry.envelope
        if envelope is None:  # pragma: no cover  # the exporter builds first
            return Outcome(Verdict.REJECTED, "not_built")
        if self._prologue is not None:
            outcome = self._prologue(envelope, lambda opening: self._send(opening, timeout))
            if outcome is not None:
                return outcome
        return self._send(entry.request or self._prepare(entry, envelope), timeout)

    def _prepare(self, entry: QueueItem, envelope: Envelope) -> Request:
        with process.no_fork:  # what pydantic sets up at its first use has locks that a child would inherit
            request = entry.request = self._destination.request(envelope)
        return request

    def use_waits(self, look_ahead: Callable[[], QueueItem | None]) -> None:
        def work() -> None:
            entry = look_ahead()
            if entry is not None and entry.envelope is not None:
                with contextlib.suppress(Exception):  # it comes again, and is told, at the entry's turn
                    self._prepare(entry, entry.envelope)

        transport: Any = self._transport
        if hasattr(transport, "while_waiting"):
            transport.while_waiting = work

    def _send(self, request: Request, timeout: float) -> Outcome:
        try:
            response = self._transport(request, timeout)
        except TransportError as error:
            return no_answer(error)
        outcome = self._destination.outcome(response)
        return dataclasses.replace(outcome, resent=True) if response.resent else outcome

    def close(self) -> None:
        close = getattr(self._transport, "close", None)
        if close is not None:
            close()


def no_answer(error: TransportError) -> Outcome:
    """Say what a transport's failure means: before the request was out it is never the event's fault."""
    reason = error.cause.replace(" ", "_")
    return Outcome(
        Verdict.RETRYABLE if error.sent else Verdict.UNAVAILABLE, reason, ambiguous=error.sent, resent=error.resent
    )
