"""What an HTTP status means where nothing more is known about the service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otas_middleware._delivery.backoff import retry_after
from otas_middleware._delivery.protocols import DELIVERED, Outcome, Verdict

if TYPE_CHECKING:
    from otas_middleware._delivery.protocols import Response

_UNWELL = frozenset({408, 425, 429, 502, 503, 504})
_REFUSED = frozenset({401, 403, 404, 405, 407, 410, 501, 505})
_REJECTED = frozenset({400, 413, 414, 415, 422, 431})


def by_status(response: Response) -> Outcome:
    """Judge an answer by its status alone (RFC 9110).

    2xx is a success. What concerns the event rejects it (400, 413, 422, …); what concerns us or the address keeps
    everything and tells the operator (redirects, 401, 403, 404, …); overload and gateways ask for patience (429, 503,
    …). Anything else may be the event's fault or the service's.
    """
    status = response.status
    if 200 <= status < 300:
        return DELIVERED
    reason = f"http_{status}"
    wait = retry_after(response.headers.get("retry-after"))
    if status in _REJECTED:
        return Outcome(Verdict.REJECTED, reason)
    if status in _REFUSED or status < 400:
        return Outcome(Verdict.MISCONFIGURED, reason, "Check the address and the credentials.", wait)
    return Outcome(Verdict.UNAVAILABLE if status in _UNWELL else Verdict.RETRYABLE, reason, "", wait)
