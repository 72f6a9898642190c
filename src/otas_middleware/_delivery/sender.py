"""One event's delivery: build it, make its request, send that, judge the answer, and settle what comes of it.

Whatever goes wrong with one event is that event's own fault: it is counted as `internal_error` with its place, and
neither the worker nor the destination suffers for it. A destination is judged by its answers, and by having none.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from otas_middleware._capture.session import RejectedTokens
from otas_middleware._delivery.protocols import Outcome, Verdict, is_header_value
from otas_middleware._delivery.queue_item import weight_of
from otas_middleware._delivery.retry import Disposition, full_jitter
from otas_middleware._errors import report_internal_error
from otas_middleware._runtime import monotonic, runtime

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Sequence

    from otas_middleware._delivery.limiter import Pace
    from otas_middleware._delivery.log import DeliveryLog
    from otas_middleware._delivery.queue import Queue
    from otas_middleware._delivery.queue_item import QueueItem
    from otas_middleware._delivery.retry import Decision, PeerClock, RetryPolicy
    from otas_middleware._delivery.spooler import Spooler
    from otas_middleware._delivery.transports import Attempt
    from otas_middleware._event import Envelope
    from otas_middleware._runtime import Deadline


_PASSING = (OSError, ImportError, MemoryError)
"""What a build fails with for want of descriptors or memory, when it imports what this kind of body needs."""


_NOTICEABLE = 0.002
"""Seconds; what building takes longer could pass for a destination's slowness."""

_TOGETHER_SECONDS = 0.004
"""Of CPU: for so long events are built one after the other where no application's threads wait for Python's lock."""


class Hooks:
    """Who is told what. All do nothing until they are set; none of them is called under a lock."""

    def __init__(self) -> None:
        self.bad_token: Callable[[str], object] = _ignore
        """Told of each session token that the destination has rejected for good, before its event counts as lost."""
        self.misconfigured: Callable[[Outcome], object] = _ignore
        """Told when the destination begins to refuse us."""
        self.delivered: Callable[[Envelope, Outcome], object] = _ignore
        """Told of each delivered event, before `flush` can see that it has left."""
        self.pressed: Callable[[], object] = _ignore
        """Told when memory fills up or the destination goes away."""


def _ignore(*_: object) -> None:
    """Take the place of a hook that nobody has set."""


class Sender:
    """Delivers the events that an exporter's workers are given.

    Args:
        queue: Where they come from, and where their disposition is counted.
        pace: Learns how the destination is.
        policy: Decides what an outcome means for the event.
        clock: The destination's.
        log: Who tells the operator.
        build: Makes an envelope of what the request path left; None drops the event.
    """

    def __init__(
        self,
        queue: Queue,
        pace: Pace,
        policy: RetryPolicy,
        clock: PeerClock,
        log: DeliveryLog,
        build: Callable[[Any], Envelope | None],
    ) -> None:
        self.hooks = Hooks()
        self.spooler: Spooler | None = None
        self._queue = queue
        self._pace = pace
        self._policy = policy
        self._clock = clock
        self._log = log
        self._build = build
        self._rejected = RejectedTokens()

    def deliver(self, items: deque[QueueItem], attempt: Attempt, timeout: float) -> bool:
        """Build the first of some events, try to send it, and settle what comes of it. Raises no `Exception`.

        While its answer is on its way the next one is built: an answer that comes at once is not waited for then.

        Args:
            items: They are in flight; the first is taken out, and has left it afterwards.
            attempt: The calling thread's way of delivering.
            timeout: Seconds for the exchange.

        Returns:
            Whether the destination took it, and so may be sent the next.
        """
        item = items.popleft()
        try:
            if item.token in self._rejected:  # not worth building
                self._drop(item, "bad_token")
            elif self.build(item) and item.envelope is not None:
                token = item.envelope.token
                if self._may_go(item, token) and self._prepared(item, attempt):
                    return self._send(item, token, attempt, timeout, items)
        except BaseException as error:  # ours, and this event's alone
            self._drop(item, "internal_error")
            if not isinstance(error, Exception):
                raise
            report_internal_error("delivery.deliver")
        return False

    def _build_next(self, items: deque[QueueItem], attempt: Attempt) -> None:
        """Build the next event, and make its request; in a process that only delivers, more of them.

        Args:
            items: What comes next; those that this ended are taken out.
            attempt: The calling thread's way of delivering.
        """
        until = time.thread_time() + _TOGETHER_SECONDS if runtime.only_delivers else 0.0
        for item in tuple(items):
            if item.request is not None or item.token in self._rejected:
                continue
            built = False
            try:
                built = self.build(item) and self._prepared(item, attempt)
            finally:
                if not built:
                    items.remove(item)
            if not until or time.thread_time() > until:
                return

    def give_back(self, items: Sequence[QueueItem]) -> None:
        """Put events in flight, in their order, in front of all others: they were not sent."""
        for item in reversed(items):
            self._reweigh(item)
            self._queue.give_back(item)

    def _may_go(self, item: QueueItem, token: str) -> bool:
        """Say whether an event may be sent now; if not, settle it."""
        if not is_header_value(token) or (token is not item.token and token in self._rejected):
            self._drop(item, "bad_token")
            return False
        wait = self._policy.ahead(token)
        if wait:
            self._pace.unsent()
            self._reweigh(item)
            self._queue.hold(item, monotonic() + wait)
            self._log.clocks(wait, self._clock.offset)
            return False
        if item.row is not None and self.spooler is not None and not self.spooler.lease_is_good(monotonic()):
            self._pace.unsent()
            self._queue.leave_on_disk(item)
            return False
        return True

    def _prepared(self, item: QueueItem, attempt: Attempt) -> bool:
        """Make an event's request, unless it has been made; if that cannot be done, settle it."""
        if item.request is not None:
            return True
        try:
            with runtime.no_fork:  # what pydantic sets up at its first use has locks that a child would inherit
                attempt.prepare(item)
        except Exception:  # a destination of the user's own, or a value that cannot be sent
            self._drop(item, "internal_error")
            report_internal_error("delivery.prepare")
            return False
        return True

    def build(self, item: QueueItem) -> bool:
        """Build the event of an item in flight, unless it has one; return False when that ended it, or put it off."""
        if item.envelope is not None:
            return True
        try:
            with runtime.no_fork:  # it imports what it needs for each kind of body
                envelope = self._build(item.captured)
        except BaseException as error:  # rendering meets whatever a client sent
            if isinstance(error, _PASSING) and item.failures < self._policy.max_retries:
                self._pace.unsent()
                item.failures += 1
                self._queue.delay(item, monotonic() + full_jitter(item.failures, self._policy.longest))
            else:
                self._drop(item, "internal_error")
            if not isinstance(error, Exception):
                raise
            report_internal_error("delivery.build")
            return False
        if envelope is None:
            self._drop(item, "filtered")
            return False
        item.envelope = envelope
        item.captured = None
        return True

    def _send(self, item: QueueItem, token: str, attempt: Attempt, timeout: float, following: deque[QueueItem]) -> bool:
        if not self._queue.begin(item):
            return False  # the end of the process has taken it over
        started = monotonic()
        built = 0.0

        def build_next() -> float:
            nonlocal built
            begun = monotonic()
            with suppress(SystemExit):  # of code of the user's; its event has been dropped
                self._build_next(following, attempt)
            built = monotonic() - begun
            return built

        try:
            outcome = attempt(item, timeout, build_next if following else None)
        except BaseException as error:  # a transport or destination of the user's own
            self._settle(item, token, Outcome(Verdict.RETRYABLE, "internal_error", ambiguous=True), started)
            if not isinstance(error, Exception):
                raise
            report_internal_error("delivery.attempt")
            return False
        if built > _NOTICEABLE:  # when the answer came nobody knows; the destination is not judged by our own time
            started = min(started + built, monotonic() - self._pace.latency)
        self._settle(item, token, outcome, started)
        return outcome.verdict == Verdict.DELIVERED

    def _settle(self, item: QueueItem, token: str, outcome: Outcome, started: float) -> None:
        now = monotonic()
        if outcome.verdict == Verdict.DELIVERED:
            self._tell("delivered", self.hooks.delivered, item.envelope, outcome)
        opened, closed = self._pace.learn(outcome, now - started, now, self._queue)
        if outcome.verdict == Verdict.DELIVERED:
            if outcome.resent:
                self._queue.account.note("", resent=True)
            self._delete_rows(self._queue.delivered(item, outcome.stored_as))
        else:
            self._queue.account.note(outcome.reason, resent=outcome.resent)
            self._apply(item, token, outcome, self._decision(item, token, outcome), now)
        if opened:
            self._queue.account.interrupt()
            self.hooks.pressed()
            if outcome.verdict == Verdict.MISCONFIGURED:
                self._tell("misconfigured", self.hooks.misconfigured, outcome)
        self._log.outcome(outcome, opened=opened, closed=closed)
        if dropped := self._queue.dropped():
            self._log.losses(dropped)

    def _decision(self, item: QueueItem, token: str, outcome: Outcome) -> Decision:
        if outcome.verdict == Verdict.RETRYABLE and item.delivered_before < 0:
            item.delivered_before = self._queue.account.stats.delivered
        return self._policy.decide(
            outcome,
            token,
            attempts=item.attempts,
            failures=item.failures,
            others_passed=self._queue.account.stats.delivered > item.delivered_before >= 0,
        )

    def _apply(self, item: QueueItem, token: str, outcome: Outcome, decision: Decision, now: float) -> None:
        """Do what was decided to an event that was not delivered."""
        disposition, due = decision.disposition, now + decision.delay
        if disposition is Disposition.LOST:
            ended = self._queue.lost(item, decision.reason)
        elif disposition is Disposition.TOKEN_REJECTED:
            self._tell("bad_token", self.hooks.bad_token, token)
            self._rejected.add(token)
            ended = self._queue.lost(item, decision.reason, others=True)
        else:
            ended = []
            self._reweigh(item)
            item.possibly_stored = outcome.ambiguous or outcome.resent
            if disposition is Disposition.RETURNED:
                self._queue.give_back(item)
            elif disposition is Disposition.DELAYED:
                item.failures += 1
                self._queue.delay(item, due)
            else:
                self._queue.hold(item, due)
                if ahead := self._policy.ahead(token):
                    self._log.clocks(ahead, self._clock.offset)
        self._delete_rows(ended)

    def _drop(self, item: QueueItem, reason: str) -> None:
        """End an event that was not sent."""
        self._pace.unsent()
        self._delete_rows(self._queue.lost(item, reason))

    def _reweigh(self, item: QueueItem) -> None:
        """Correct the weight of an event that was built and now waits on, perhaps with its request."""
        if item.envelope is not None:
            body = 0 if item.request is None else len(item.request.body)
            self._queue.reweigh(item, weight_of(item.envelope.event) + body)

    def _delete_rows(self, items: list[QueueItem]) -> None:
        if self.spooler is not None and (rows := [item.row for item in items if item.row is not None]):
            self.spooler.acknowledge(rows)

    def finish_deleting(self, deadline: Deadline) -> None:
        """Wait until what was delivered is deleted from the disk too, from where it would be sent again.

        Args:
            deadline: Until when.
        """
        while self.spooler is not None and self._pace.sending and not self._queue.in_flight and deadline.left():
            time.sleep(0.001)  # in another thread; a commit takes as long

    def _tell(self, what: str, hook: Callable[..., object], *values: object) -> None:
        try:
            hook(*values)
        except Exception:
            report_internal_error(f"delivery.{what}")
