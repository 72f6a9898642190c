"""Background delivery: a bounded queue, threads that send, retries, and an account of every event.

In come captures and finished envelopes; out go requests to destinations, and counters that balance at any moment. May
import `_event`, `_capture` and `_config`; start with `pipeline`, then `exporter`.
"""

from __future__ import annotations

from otas_middleware._delivery.pipeline import Pipeline
from otas_middleware._delivery.protocols import (
    DELIVERED,
    Destination,
    Outcome,
    Request,
    Response,
    Transport,
    TransportError,
    Verdict,
    Weighted,
)

__all__ = [
    "DELIVERED",
    "Destination",
    "Outcome",
    "Pipeline",
    "Request",
    "Response",
    "Transport",
    "TransportError",
    "Verdict",
    "Weighted",
]
