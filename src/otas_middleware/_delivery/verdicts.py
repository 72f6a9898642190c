"""What each verdict does to an event, to its queue, and to the pace of its lane."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from otas_middleware._delivery.backoff import full_jitter
from otas_middleware._delivery.protocols import Verdict
from otas_middleware._delivery.rejected_tokens import is_young

if TYPE_CHECKING:
    from otas_middleware._delivery.exporter import Lane
    from otas_middleware._delivery.protocols import Outcome
    from otas_middleware._delivery.queue import Entry

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


def apply(lane: Lane, entry: Entry, outcome: Outcome, latency: float, now: float) -> Change:
    """Settle an entry in flight. Called under the lane's lock.

    Args:
        lane: The lane that sent it.
        entry: What was sent.
        outcome: What came of it.
        latency: Seconds that it took.
        now: `time.monotonic`.
    """
    verdict = outcome.verdict
    lane.ledger.possible_duplicates += outcome.resent
    if verdict is Verdict.DELIVERED:
        return _delivered(lane, entry, latency, now)
    lane.ledger.failures[outcome.reason] += 1
    if verdict is Verdict.REJECTED:
        lane.lose(entry, outcome.reason)
        return Change(ended=True, closed=lane.breaker.succeeded())
    if verdict is Verdict.BAD_TOKEN:
        return _bad_token(lane, entry, now)
    lane.limiter.failed(now, latency)
    if verdict is Verdict.SUSPECT:
        return _suspect(lane, entry, outcome, now)
    entry.possibly_stored = outcome.ambiguous or outcome.resent
    lane.queue.give_back(entry)
    return Change(ended=False, opened=lane.breaker.failed(outcome.reason, now, outcome.retry_after))


def _delivered(lane: Lane, entry: Entry, latency: float, now: float) -> Change:
    lane.queue.leave(entry)
    ledger = lane.ledger
    ledger.delivered += 1
    ledger.spooled -= entry.row is not None
    lane.limiter.succeeded(latency, now, lane.queue.ready)
    return Change(ended=True, closed=lane.breaker.succeeded())


def _bad_token(lane: Lane, entry: Entry, now: float) -> Change:
    """Give a token that is younger than a minute one more try; else drop the event and remember the token."""
    closed = lane.breaker.succeeded()
    token = entry.parcel.token if entry.parcel is not None else ""
    if entry.attempts == 1 and is_young(token):
        lane.queue.delay(entry, now + YOUNG_TOKEN_DELAY)
        return Change(ended=False, closed=closed)
    lane.lose(entry, "bad_token")
    lane.bad_tokens.add(token)
    return Change(ended=True, closed=closed, bad_token=True)


def _suspect(lane: Lane, entry: Entry, outcome: Outcome, now: float) -> Change:
    """Try again later, unless others have passed since this one failed first: then it is the event's own fault."""
    entry.possibly_stored = outcome.ambiguous or outcome.resent
    entry.failures += 1
    delivered = lane.ledger.delivered
    if entry.delivered_before < 0:
        entry.delivered_before = delivered
    ended = entry.failures > lane.max_retries and delivered > entry.delivered_before
    if ended:
        lane.lose(entry, "retries_exhausted")
    else:
        pause = outcome.retry_after
        lane.queue.delay(entry, now + (full_jitter(entry.failures, lane.longest) if pause is None else pause))
    if outcome.ambiguous:  # no answer at all says more about the destination than an answer of 500
        return Change(ended, opened=lane.breaker.failed(outcome.reason, now, outcome.retry_after))
    return Change(ended, opened=lane.breaker.suspect(outcome.reason, now))
