"""What each verdict does to an event, to its queue, and to the pace of its exporter."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from otas_middleware._delivery.backoff import full_jitter
from otas_middleware._delivery.protocols import Verdict
from otas_middleware._delivery.rejected_tokens import is_young

if TYPE_CHECKING:
    from otas_middleware._delivery.exporter import Exporter
    from otas_middleware._delivery.protocols import Outcome
    from otas_middleware._delivery.queue import QueueItem

YOUNG_TOKEN_DELAY = 3.0
"""Seconds before a token that Brain's clock may not have reached yet is tried once more."""


class Change(NamedTuple):
    """What an outcome changed, for those who act on it outside the lock."""

    ended: bool
    """The event has met its fate."""
    opened: bool = False
    """The destination is taken to be away from now on."""
    closed: bool = False
    """The destination is back."""
    bad_token: bool = False
    """The event's session token has been refused for good."""


def apply(exporter: Exporter, entry: QueueItem, outcome: Outcome, latency: float, now: float) -> Change:
    """Settle an entry in flight. Called under the exporter's lock.

    Args:
        exporter: The exporter that sent it.
        entry: What was sent.
        outcome: What came of it.
        latency: Seconds that it took.
        now: `time.monotonic`.
    """
    verdict = outcome.verdict
    exporter.counters.possible_duplicates += outcome.resent
    if verdict is Verdict.DELIVERED:
        return _delivered(exporter, entry, outcome, latency, now)
    exporter.counters.failures[outcome.reason] += 1
    if verdict is Verdict.REJECTED:
        exporter.lose(entry, outcome.reason)
        return Change(ended=True, closed=exporter.breaker.succeeded())
    if verdict is Verdict.BAD_TOKEN:
        return _bad_token(exporter, entry, now)
    exporter.limiter.failed(now, latency)
    if verdict is Verdict.RETRYABLE:
        return _suspect(exporter, entry, outcome, now)
    entry.possibly_stored = outcome.ambiguous or outcome.resent
    exporter.queue.give_back(entry)
    return Change(ended=False, opened=exporter.breaker.failed(outcome.reason, now, outcome.retry_after))


def _delivered(exporter: Exporter, entry: QueueItem, outcome: Outcome, latency: float, now: float) -> Change:
    exporter.queue.leave(entry)
    entry.settled("delivered", outcome.stored_as)
    counters = exporter.counters
    counters.delivered += 1
    counters.spooled -= entry.row is not None
    exporter.limiter.succeeded(latency, now, exporter.queue.ready)
    return Change(ended=True, closed=exporter.breaker.succeeded())


def _bad_token(exporter: Exporter, entry: QueueItem, now: float) -> Change:
    """Give a token that is younger than a minute one more try; else drop the event and remember the token."""
    closed = exporter.breaker.succeeded()
    token = entry.envelope.token if entry.envelope is not None else ""
    if entry.attempts == 1 and is_young(token):
        exporter.queue.delay(entry, now + YOUNG_TOKEN_DELAY)
        return Change(ended=False, closed=closed)
    exporter.lose(entry, "bad_token")
    exporter.bad_tokens.add(token)
    return Change(ended=True, closed=closed, bad_token=True)


def _suspect(exporter: Exporter, entry: QueueItem, outcome: Outcome, now: float) -> Change:
    """Try again later, unless others have passed since this one failed first: then it is the event's own fault."""
    entry.possibly_stored = outcome.ambiguous or outcome.resent
    entry.failures += 1
    delivered = exporter.counters.delivered
    if entry.delivered_before < 0:
        entry.delivered_before = delivered
    ended = entry.failures > exporter.max_retries and delivered > entry.delivered_before
    if ended:
        exporter.lose(entry, "retries_exhausted")
    else:
        pause = outcome.retry_after
        exporter.queue.delay(entry, now + (full_jitter(entry.failures, exporter.longest) if pause is None else pause))
    if outcome.ambiguous:  # no answer at all says more about the destination than an answer of 500
        return Change(ended, opened=exporter.breaker.failed(outcome.reason, now, outcome.retry_after))
    return Change(ended, opened=exporter.breaker.suspect(outcome.reason, now))
