"""One destination's lane: its queue, its pace, and what each outcome does to both.

The request path only calls `offer`. The lane's threads (`_crew.py`) call `take` and `process`. A lane that stands still
does not hold up another.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from otas_middleware import _guard
from otas_middleware._delivery._breaker import Breaker
from otas_middleware._delivery._crew import Crew
from otas_middleware._delivery._ledger import Ledger
from otas_middleware._delivery._limiter import Limiter
from otas_middleware._delivery._notices import Notices
from otas_middleware._delivery._pacing import full_jitter
from otas_middleware._delivery._protocols import Outcome, Verdict
from otas_middleware._delivery._queue import Entry, Queue
from otas_middleware._delivery._tokens import BadTokens, is_young

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._delivery._protocols import Weighted
    from otas_middleware._delivery._sender import Attempt
    from otas_middleware._event import Parcel
    from otas_middleware._settings import OtasSettings

YOUNG_TOKEN_DELAY = 3.0
"""Seconds before a token that Brain's clock may not have reached yet is tried once more."""

_ENTRY_WEIGHT = 2048
"""Bytes that a built entry takes beside its text, estimated."""


class Lane:
    """The way of all events to one destination, in one process.

    Args:
        name: The destination's name, for logs and counters.
        settings: Limits and times.
        build: Makes a parcel of what the request path left; None drops the event.
        attempt: Makes one thread's way of delivering.
        on_bad_token: Told of each session token that the destination refused.
    """

    def __init__(
        self,
        name: str,
        settings: OtasSettings,
        build: Callable[[Any], Parcel | None],
        attempt: Callable[[], Attempt],
        on_bad_token: Callable[[str], None],
    ) -> None:
        self.name = name
        self.lock = threading.Lock()
        self.queue = Queue()
        self.ledger = Ledger()
        self.breaker = Breaker(settings.max_retry_delay)
        self.limiter = Limiter(settings.max_connections)
        self.crew = Crew(self, attempt)
        self.request_timeout = settings.request_timeout
        self._max_events = settings.queue_max_events
        self._max_bytes = settings.queue_max_bytes
        self._max_retries = settings.max_retries
        self._longest = settings.max_retry_delay
        self._build = build
        self._on_bad_token = on_bad_token
        self._notices = Notices()
        self._bad_tokens = BadTokens()

    def offer(self, item: Weighted | Entry) -> None:
        """Queue an item (request path). What does not fit pushes the oldest out."""
        queue = self.queue
        with self.lock:
            self.ledger.captured += 1
            queue.add(item)
            if queue.bytes > self._max_bytes or queue.count > self._max_events:
                self._overflow()
            if not self.crew.sleeping:
                return
            self.crew.sleeping = False
        self.crew.wake()

    def _overflow(self) -> None:
        queue = self.queue
        while queue.bytes > self._max_bytes or queue.count > self._max_events:
            oldest = queue.pop_oldest()
            if oldest is None:
                return  # all that is left is in flight
            if oldest.row is None:
                self.ledger.lose("queue_full")

    @property
    def queued(self) -> int:
        """How many events are in memory only, those in flight included. Called under the lock."""
        return self.queue.count - self.queue.rows

    def take(self, now: float) -> tuple[Entry | None, float | None]:
        """Return the next entry to send, or the seconds until there may be one (None: until something arrives).

        Called under the lock. The entry is in flight from here on and must be given to `process`.
        """
        pause = self.breaker.wait(now)
        if pause > 0:
            return None, pause
        entry = self.queue.take(now)
        if entry is None and not self.breaker.closed and self.queue.delayed:
            entry = self.queue.take(float("inf"))  # nothing else to probe with
        if entry is None:
            return None, self.queue.due(now)
        self.breaker.sent()
        return entry, None

    def process(self, entry: Entry, attempt: Attempt, timeout: float) -> None:
        """Build an entry, try to deliver it, and settle what comes of it. Takes as long as the destination needs."""
        if entry.parcel is None and not self._make(entry):
            return
        parcel = entry.parcel
        if parcel is not None and parcel.token in self._bad_tokens:
            self._drop(entry, "bad_token")
            return
        with self.lock:
            self.ledger.retries += entry.attempts > 0
            self.ledger.possible_duplicates += entry.possibly_stored
            entry.attempts += 1
            entry.possibly_stored = False
        started = time.monotonic()
        try:
            outcome = attempt(entry, timeout)
        except Exception:  # a transport or destination of the user's own; swallow logs it
            outcome = Outcome(Verdict.SUSPECT, "internal_error", ambiguous=True)
            self._settle(entry, outcome, time.monotonic() - started)
            _guard.swallow("delivery.attempt")
            return
        self._settle(entry, outcome, time.monotonic() - started)

    def _make(self, entry: Entry) -> bool:
        """Build the parcel; return False when that ended the entry."""
        try:
            entry.parcel = self._build(entry.item)
        except Exception:  # rendering meets whatever a client sent; swallow logs it
            self._drop(entry, "build_failed")
            _guard.swallow("delivery.build")
            return False
        entry.item = None
        if entry.parcel is None:
            self._drop(entry, "filtered")
            return False
        event = entry.parcel.event
        with self.lock:
            self.queue.reweigh(entry, 2 * (len(event.request_body) + len(event.response_body)) + _ENTRY_WEIGHT)
        return True

    def _drop(self, entry: Entry, reason: str) -> None:
        """End an entry that was not sent."""
        with self.lock:
            if self.queue.flight.pop(entry.seq, None) is not None:
                self.breaker.unsent()
                self._lose(entry, reason)
                self.crew.notice_settled()

    def _lose(self, entry: Entry, reason: str) -> None:
        self.queue.forget(entry)
        if entry.row is not None:
            self.ledger.spooled -= 1
        self.ledger.lose(reason)

    def _settle(self, entry: Entry, outcome: Outcome, latency: float) -> None:
        """Apply an outcome to the entry, the queue and the pace, then tell who wants to know."""
        now = time.monotonic()
        closed = opened = bad_token = False
        with self.lock:
            if entry.seq not in self.queue.flight:
                return  # the end of the process has taken it over
            verdict = outcome.verdict
            if verdict is Verdict.DELIVERED:
                closed = self._delivered(entry, outcome, latency, now)
            else:
                self.ledger.failures[outcome.reason] += 1
                if verdict is Verdict.REJECTED:
                    closed = self.breaker.succeeded()
                    del self.queue.flight[entry.seq]
                    self._lose(entry, outcome.reason)
                elif verdict is Verdict.BAD_TOKEN:
                    closed = self.breaker.succeeded()
                    bad_token = self._refused_token(entry, now)
                elif verdict is Verdict.SUSPECT:
                    opened = self._suspected(entry, outcome, latency, now)
                else:
                    self.queue.give_back(entry)
                    self.limiter.failed(now, latency)
                    opened = self.breaker.failed(outcome.reason, now, outcome.retry_after)
            self.crew.notice_settled()
            waiting = self.queue.count
        if bad_token and entry.parcel is not None:
            self._on_bad_token(entry.parcel.token)
        self._tell(outcome, waiting, opened=opened, closed=closed)

    def _delivered(self, entry: Entry, outcome: Outcome, latency: float, now: float) -> bool:
        del self.queue.flight[entry.seq]
        self.queue.forget(entry)
        self.ledger.delivered += 1
        self.ledger.possible_duplicates += outcome.ambiguous
        if entry.row is not None:
            self.ledger.spooled -= 1
        self.limiter.succeeded(latency, now, backlog=self.queue.ready > 0)
        return self.breaker.succeeded()

    def _refused_token(self, entry: Entry, now: float) -> bool:
        """Give a token that is younger than a minute one more try; else drop the event and remember the token."""
        parcel = entry.parcel
        if parcel is None or (entry.attempts == 1 and is_young(parcel.token)):
            self.queue.delay(entry, now + YOUNG_TOKEN_DELAY)
            return False
        del self.queue.flight[entry.seq]
        self._lose(entry, "bad_token")
        self._bad_tokens.add(parcel.token)
        return True

    def _suspected(self, entry: Entry, outcome: Outcome, latency: float, now: float) -> bool:
        """Try again later, unless others have passed since this one failed first: then it is the event's own fault."""
        entry.possibly_stored = outcome.ambiguous
        entry.failures += 1
        if entry.delivered_before < 0:
            entry.delivered_before = self.ledger.delivered
        if entry.failures > self._max_retries and self.ledger.delivered > entry.delivered_before:
            del self.queue.flight[entry.seq]
            self._lose(entry, "retries_exhausted")
        else:
            pause = full_jitter(entry.failures, self._longest) if outcome.retry_after is None else outcome.retry_after
            self.queue.delay(entry, now + pause)
        self.limiter.failed(now, latency)
        if outcome.ambiguous:  # no answer at all says more about the destination than an answer of 500
            return self.breaker.failed(outcome.reason, now, outcome.retry_after)
        return self.breaker.suspect(outcome.reason, now)

    def end(self, deadline: float) -> None:
        """Deliver until the deadline (`time.monotonic` seconds), then count what remains as lost."""
        self.crew.last_chance(deadline)
        with self.lock:
            while self.queue.pop_oldest() is not None:
                self.ledger.lose("exit")
            for entry in list(self.queue.flight.values()):
                del self.queue.flight[entry.seq]
                self._lose(entry, "exit")
        self.report_losses()

    def stats(self) -> dict[str, Any]:
        """Return the counters and the state, all taken at one moment."""
        with self.lock:
            ledger = self.ledger
            return {
                "captured": ledger.captured,
                "delivered": ledger.delivered,
                "spooled": ledger.spooled,
                "dropped": dict(ledger.dropped),
                "queued": self.queued,
                "queued_bytes": self.queue.bytes,
                "in_flight": len(self.queue.flight),
                "retries": ledger.retries,
                "possible_duplicates": ledger.possible_duplicates,
                "failures": dict(ledger.failures),
                "connections": self.limiter.limit,
                "state": self.breaker.reason or "ok",
            }

    def _tell(self, outcome: Outcome, waiting: int, *, opened: bool, closed: bool) -> None:
        say = self._notices.say
        if opened:
            say(
                "away",
                logging.WARNING,
                "otas: %s takes no events now (%s); %d wait in memory and are sent when it does. %s",
                self.name,
                outcome.reason,
                waiting,
                outcome.advice,
            )
        elif closed:
            say("back", logging.INFO, "otas: %s takes events again; %d wait.", self.name, waiting)
        if outcome.verdict is Verdict.REJECTED:
            say(
                f"rejected {outcome.reason}",
                logging.WARNING,
                "otas: %s rejected an event (%s); it was dropped and counted. %s",
                self.name,
                outcome.reason,
                outcome.advice,
            )
        self.report_losses()

    def report_losses(self) -> None:
        """Write one line about what was lost since the last one, at most once a minute."""
        if not self.ledger.unreported:
            return
        with self.lock:
            losses = dict(self.ledger.unreported)
        total = sum(losses.values())
        details = ", ".join(f"{count} {reason}" for reason, count in sorted(losses.items()))
        if self._notices.say(
            "lost",
            logging.WARNING,
            "otas: %d events for %s were lost (%s). otas_middleware.stats() has the sums.",
            total,
            self.name,
            details,
        ):
            with self.lock:
                self.ledger.unreported.subtract(losses)
                self.ledger.unreported += type(self.ledger.unreported)()
