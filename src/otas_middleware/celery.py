"""Delivery by Celery: the task that workers run, anywhere, for events that backends have handed to the broker.

In the backends: `OTAS_TRANSPORT=celery` and `OTAS_CELERY_APP=proj.celery:app`. In the workers, which need the same
`OTAS_*` settings (the key above all, which no message holds):

```python
app.conf.imports += ("otas_middleware.celery",)      # in proj/celery.py
```

```console
$ celery -A proj worker -Q otas                       # delivers
$ celery -A proj worker -Q otas.dead                  # tries again what could not be delivered
```

A message is acknowledged when its event has been delivered, so a worker that dies in the middle loses nothing; the
event may then arrive twice, with the same `metadata.event_id`. While the destination is away, a worker holds one
message and probes, and the rest stays in the broker. What the destination rejects, or fails on again and again while it
takes other events, goes to the queue `otas.dead`. With SQS, whose messages hold 256 KiB at most, keep
`OTAS_MAX_BODY_BYTES` small.
"""

from __future__ import annotations

import importlib
import logging
import threading
import time
from typing import TYPE_CHECKING, Any, cast

from otas_middleware._delivery.codec import Message, UnreadableError, read_message
from otas_middleware._delivery.destinations import sites
from otas_middleware._delivery.factory import make_cipher
from otas_middleware._delivery.protocols import Outcome, Verdict
from otas_middleware._delivery.retry import Breaker, Disposition, PeerClock, RetryPolicy, full_jitter
from otas_middleware._delivery.transports import HttpAttempt, transport_factory
from otas_middleware._delivery.transports.celery import TASK
from otas_middleware._errors import MissingExtraError, report_internal_error
from otas_middleware._runtime import ForkSafeLock, monotonic, runtime

if TYPE_CHECKING:
    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._delivery.protocols import Destination
    from otas_middleware._delivery.retry import Decision
    from otas_middleware._delivery.transports import Attempt

try:
    celery = cast("Any", importlib.import_module("celery"))
    exceptions = cast("Any", importlib.import_module("celery.exceptions"))
    signals = cast("Any", importlib.import_module("celery.signals"))
except ModuleNotFoundError as error:  # pragma: no cover  # without the extra
    raise MissingExtraError("otas_middleware.celery", "celery") from error

logger = logging.getLogger("otas_middleware")

HOLD = 10.0
"""Seconds that a worker waits with a message for a destination that is away, before it lets others have it."""


class _Peer:
    """What a process of a worker knows of one destination."""

    def __init__(self, destination: Destination, settings: OtasSettings) -> None:
        self.destination = destination
        self.clock = PeerClock()
        self.breaker = Breaker(settings.max_retry_delay)
        self.policy = RetryPolicy(settings.max_retries, settings.max_retry_delay, self.clock)
        self.delivered_at = 0.0
        """Unix seconds of the last delivery."""


class TaskDeliverer:
    """Delivers in one process of a worker: destinations, connections, and what it has learnt of how they are.

    Args:
        settings: The worker's own.
    """

    def __init__(self, settings: OtasSettings) -> None:
        self.settings = settings
        self.dead_queue = f"{settings.celery_queue}.dead"
        self._cipher = make_cipher(settings)
        self._make_transport = transport_factory(settings)
        self._peers = {site.destination.name: _Peer(site.destination, settings) for site in sites(settings)}
        self._local = threading.local()
        self._lock = threading.Lock()

    def read(self, message: object) -> Message:
        """Return what a message says.

        Raises:
            UnreadableError: It is not one of ours, or not for this worker.
        """
        read = read_message(message, self._cipher)
        if read.destination not in self._peers:
            name = read.destination if read.destination.isidentifier() and len(read.destination) <= 40 else "that name"
            raise UnreadableError(f"this worker has no destination {name}; give it the settings of the backends")
        return read

    def deliver(self, message: Message) -> tuple[Outcome, Decision]:
        """Deliver, or wait for up to `HOLD` seconds until that can be tried; return what came of it."""
        peer = self._peers[message.destination]
        ahead = peer.policy.ahead(message.item.token)
        outcome = Outcome(Verdict.BAD_TOKEN, "token_from_the_future") if ahead else self._try(message, peer)
        others_passed = message.failed_at is not None and peer.delivered_at > message.failed_at
        decision = peer.policy.decide(
            outcome,
            message.item.token,
            attempts=message.failures + 1,
            failures=message.failures,
            others_passed=others_passed,
        )
        return outcome, decision

    def close(self) -> None:
        """Close the calling thread's connections."""
        attempts: dict[str, Attempt] = self._local.__dict__.pop("attempts", {})
        for attempt in attempts.values():
            attempt.close()

    def _try(self, message: Message, peer: _Peer) -> Outcome:
        until = monotonic() + HOLD
        while True:
            now = monotonic()
            with self._lock:
                wait = peer.breaker.wait(now)
                if wait == 0.0:
                    peer.breaker.sent()
            if wait > 0.0:
                if now + wait >= until:
                    time.sleep(max(0.0, min(HOLD, until - now)))
                    return Outcome(Verdict.UNAVAILABLE, peer.breaker.reason or "away")
                time.sleep(min(wait, 0.1 if wait == float("inf") else wait))
                continue
            outcome = self._attempt(message, peer)
            self._learn(peer, outcome)
            if outcome.verdict not in {Verdict.UNAVAILABLE, Verdict.MISCONFIGURED}:
                return outcome

    def _attempt(self, message: Message, peer: _Peer) -> Outcome:
        attempts: dict[str, Attempt] = self._local.__dict__.setdefault("attempts", {})
        try:
            attempt = attempts.get(message.destination)
            if attempt is None:
                with runtime.no_fork:
                    attempt = attempts[message.destination] = HttpAttempt(
                        peer.destination, self._make_transport(), peer.clock
                    )
            attempt.prepare(message.item)
            return attempt(message.item, self.settings.request_timeout)
        except Exception:  # an extension of the user's own, or this one event
            report_internal_error("celery.deliver")
            return Outcome(Verdict.RETRYABLE, "internal_error", ambiguous=True)

    def _learn(self, peer: _Peer, outcome: Outcome) -> None:
        with self._lock:
            opened, closed = peer.breaker.learn(outcome, monotonic())
            if outcome.verdict == Verdict.DELIVERED:
                peer.delivered_at = time.time()
        name = peer.destination.name
        if opened:
            logger.warning("otas: %s takes no events now (%s). %s", name, outcome.reason, outcome.advice)
        elif closed:
            logger.info("otas: %s takes events again.", name)


_deliverer: TaskDeliverer | None = None
_deliverer_lock = ForkSafeLock()


def task_deliverer() -> TaskDeliverer:
    """Return this process's deliverer, with the settings of the environment."""
    global _deliverer  # noqa: PLW0603  # one per process
    with _deliverer_lock:
        if _deliverer is None:
            from otas_middleware._config.sources import load_settings  # noqa: PLC0415  # pydantic only when needed

            _deliverer = TaskDeliverer(load_settings({}))
        return _deliverer


def use(settings: OtasSettings | None) -> None:
    """Deliver with these settings instead of those of the environment (None: the environment's again)."""
    global _deliverer  # one per process
    with _deliverer_lock:
        before, _deliverer = _deliverer, None if settings is None else TaskDeliverer(settings)
    if before is not None:
        before.close()


def _deliver(task: Any, message: Any) -> None:
    """Deliver one event; see the module's text."""
    work = task_deliverer()
    try:
        read = work.read(message)
    except UnreadableError as error:
        logger.error("otas: a message cannot be delivered: %s. It goes to the dead-letter queue.", error)  # noqa: TRY400
        fields = cast("dict[str, Any]", message) if isinstance(message, dict) else {"message": message}
        _dead_letter(task, work, fields, f"unreadable: {error}")
        return
    outcome, decision = work.deliver(read)
    disposition = decision.disposition
    if disposition is Disposition.DELIVERED:
        return
    if disposition is Disposition.LOST:
        logger.warning("otas: %s rejected an event (%s). %s", read.destination, outcome.reason, outcome.advice)
        _dead_letter(task, work, {**message, "failures": 0, "failed_at": None}, outcome.reason)
    elif disposition is Disposition.TOKEN_REJECTED:  # anybody can send bad tokens, so they must not fill a queue
        logger.info("otas: an event was dropped: its session token was refused.")
    elif disposition is Disposition.RETURNED:
        _again(task, message, full_jitter(5, work.settings.max_retry_delay))
    else:  # delayed by its own failure, or held back with its token
        failed_at = read.failed_at or time.time()
        _again(task, {**message, "failures": read.failures + 1, "failed_at": failed_at}, decision.delay)


def _again(task: Any, message: dict[str, Any], seconds: float) -> None:
    """Put the message back for later; ends the task by an exception of Celery's."""
    raise task.retry(args=(message,), kwargs={}, countdown=seconds, throw=False)


def _dead_letter(task: Any, work: TaskDeliverer, message: dict[str, Any], reason: str) -> None:
    """Move the message to the dead-letter queue, where it waits for somebody to look into the reason."""
    message = {**message, "reason": reason}
    if _is_dead(task, work, message):
        # It is being tried again from there and fails again: it stays, without keeping the worker busy.
        _again(task, message, work.settings.max_retry_delay)
    task.apply_async(args=({**message, "buried": True},), queue=work.dead_queue)


def _is_dead(task: Any, work: TaskDeliverer, message: dict[str, Any]) -> bool:
    """Say whether a message comes from the dead-letter queue.

    Delayed deliveries (quorum queues) and topic exchanges put further words before a queue's routing key, or use
    another one; what was buried says so itself.
    """
    delivery: dict[str, object] = task.request.delivery_info or {}
    key = str(delivery.get("routing_key") or "")
    if f".{key}".endswith(f".{work.dead_queue}"):
        return True
    return message.get("buried") is True and not f".{key}".endswith(f".{work.settings.celery_queue}")


deliver: Any = celery.shared_task(
    _deliver,
    name=TASK,
    bind=True,
    acks_late=True,
    reject_on_worker_lost=True,
    acks_on_failure_or_timeout=False,
    ignore_result=True,
    max_retries=None,
    serializer="json",
)
"""The task. Its rate limit is `OTAS_CELERY_RATE_LIMIT`, for each worker."""


def _limit_rate(**_: object) -> None:
    deliver.rate_limit = task_deliverer().settings.celery_rate_limit


signals.celeryd_after_setup.connect(_limit_rate)
