"""One event on its way to one destination, and what it weighs."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

from otas_middleware._capture.values import size_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otas_middleware._delivery.protocols import Receipt, Request, Weighted
    from otas_middleware._event import BackendEvent, Envelope

QUEUE_WEIGHT = 448
"""Bytes that the queue spends on an event beside what the event itself holds."""

TOKEN_WEIGHT = 1536
"""Bytes that it spends on a session token with the first event that waits for it."""

_EVENT_WEIGHT = 2048
"""Bytes that a built event takes beside its texts and values."""


class QueueItem:
    """One event on its way to one destination.

    Attributes:
        seq: Its place in the order of arrival, counted from 1; negative for what was read back from disk.
        token: The session token, by which turns are taken; empty where it is not known before the event is built.
        captured: What the request path left, until it is built.
        envelope: The built event.
        request: The request that delivers it, made at the first attempt and kept for the next.
        weight: Bytes that it takes in the queue, estimated, `overhead` included.
        overhead: Bytes of that which the queue itself needs.
        attempts: How often it was tried.
        failures: Failed attempts that may be its own fault.
        delivered_before: How many events had been delivered when it failed first; more since then prove that the
            destination is well and the event is not.
        possibly_stored: An attempt ended without an answer after everything was sent.
        receipt: Told what became of it, if anybody is (see `protocols.Receipt`).
        row: Its row in the disk queue, when it is there too.
    """

    # Defaults of the class, not of the instance: an item is made on the request path.
    seq = 0
    attempts = 0
    failures = 0
    delivered_before = -1
    possibly_stored = False
    overhead = QUEUE_WEIGHT
    envelope: Envelope | None = None
    request: Request | None = None
    row: int | None = None

    def __init__(
        self, token: str, weight: int, captured: Weighted | None = None, receipt: Receipt | None = None
    ) -> None:
        self.token = token
        self.weight = weight + QUEUE_WEIGHT
        self.captured = captured
        self.receipt = receipt

    def carry_token(self) -> None:
        """Add what the queue spends on a session token, once: the item is the first that waits with it."""
        if self.overhead == QUEUE_WEIGHT:
            self.overhead = QUEUE_WEIGHT + TOKEN_WEIGHT
            self.weight += TOKEN_WEIGHT

    def settled(self, disposition: str, stored_as: str = "") -> None:
        """Say what became of it, once, to whoever asked for a receipt."""
        receipt, self.receipt = self.receipt, None
        if receipt is not None:
            receipt(disposition, stored_as)

    def __lt__(self, other: QueueItem) -> bool:
        """Say whether it arrived before another: what was on disk did, there by its rows."""
        return self.seq > other.seq if self.seq < 0 and other.seq < 0 else self.seq < other.seq

    def copy(self) -> QueueItem:
        """Return another item for the same event, as one that may have been stored if it was tried."""
        captured = self.captured  # before the envelope: who builds it sets that first
        copy = QueueItem(self.token, 0, captured, self.receipt)
        self.receipt = None
        copy.envelope, copy.row = self.envelope, self.row
        copy.weight, copy.overhead = self.weight, self.overhead
        copy.seq = self.seq
        copy.failures = self.failures
        copy.possibly_stored = self.possibly_stored or self.attempts > 0
        return copy


def built(envelope: Envelope) -> QueueItem:
    """Return an item for a finished event."""
    item = QueueItem(envelope.token, weight_of(envelope.event))
    item.envelope = envelope
    return item


def weight_of(event: BackendEvent) -> int:
    """Return how many bytes a built event holds on to, estimated."""
    return (
        _EVENT_WEIGHT
        + size_of(event.path)
        + size_of(event.query_params)
        + size_of(event.request_headers)
        + size_of(event.response_headers)
        + size_of(event.request_body)
        + size_of(event.response_body)
        + size_of(event.post_data)
        + size_of(event.error)
        + size_of(event.metadata)
        + size_of(event.custom_properties)
    )


def token_of(captured: Weighted) -> str:
    """Return the session token of what is to be built; the empty text where that cannot be told yet."""
    token = getattr(getattr(captured, "session", captured), "token", "")
    return token if isinstance(token, str) else ""


class BuiltOnce:
    """One capture on its way to several destinations: all of them get the same event with the same id.

    Args:
        captured: What the request path left.
        destinations: Their names; what becomes of it at the first one is what is told.
    """

    __slots__ = (
        "_captured",
        "_destinations",
        "_dispositions",
        "_envelope",
        "_error",
        "_lock",
        "_receipt",
        "_stored_as",
        "token",
        "weight",
    )

    def __init__(self, captured: Weighted, destinations: Sequence[str]) -> None:
        self.token = token_of(captured)
        self.weight = captured.weight
        self._captured: Weighted | None = captured
        self._lock = threading.Lock()
        self._envelope: Envelope | None = None
        self._error: Exception | None = None
        self._receipt: Receipt | None = getattr(captured, "receipt", None)
        self._destinations = destinations
        self._dispositions: dict[str, str] = {}
        self._stored_as = ""

    def receipt_of(self, destination: str) -> Receipt | None:
        """Return what a destination's queue tells."""
        return None if self._receipt is None else partial(self._settled, destination)

    def _settled(self, destination: str, disposition: str, stored_as: str = "") -> None:
        with self._lock:
            self._dispositions[destination] = disposition
            self._stored_as = self._stored_as or stored_as
            over = len(self._dispositions) == len(self._destinations)
            cut_off = "exit" in self._dispositions.values()
        if self._receipt is None:
            return
        first = self._destinations[0]
        if disposition != "exit" and (cut_off or not over):
            self._receipt(disposition if destination == first else "", "", destination)
        if over:
            self._receipt("exit" if cut_off else self._dispositions[first], self._stored_as)

    def build(self, build: Callable[[Weighted], Envelope | None]) -> Envelope | None:
        """Return the envelope; the first one to ask builds it.

        Raises:
            Exception: What building raised, for each who asks.
        """
        with self._lock:
            captured, self._captured = self._captured, None
            if captured is not None:
                try:
                    self._envelope = build(captured)
                except Exception as error:  # raised again below, and for the other destinations
                    self._error = error
        if self._error is not None:
            raise self._error
        return self._envelope
