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

from otas_middleware._delivery import process
from otas_middleware._delivery.attempt import HttpAttempt
from otas_middleware._delivery.backoff import full_jitter
from otas_middleware._delivery.circuit_breaker import Breaker
from otas_middleware._delivery.destinations import sites
from otas_middleware._delivery.factory import make_cipher
from otas_middleware._delivery.protocols import Outcome, Verdict
from otas_middleware._delivery.rejected_tokens import is_young
from otas_middleware._delivery.transports import transport_factory
from otas_middleware._delivery.transports.celery import TASK, MessageError, decode
from otas_middleware._delivery.verdicts import YOUNG_TOKEN_DELAY
from otas_middleware._errors import MissingExtraError

if TYPE_CHECKING:
    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._delivery.attempt import Attempt
    from otas_middleware._delivery.queue import QueueItem

try:
    celery = cast("Any", importlib.import_module("celery"))
    exceptions = cast("Any", importlib.import_module("celery.exceptions"))
    signals = cast("Any", importlib.import_module("celery.signals"))
except ModuleNotFoundError as error:  # pragma: no cover  # without the extra
    raise MissingExtraError("otas_middleware.celery", "celery") from error

logger = logging.getLogger("otas_middleware")

HOLD = 10.0
"""Seconds that a worker waits with a message for a destination that is away, before it lets others have it."""


class TaskDeliverer:
    """Delivers in one process of a worker: destinations, connections, and what it has learnt of how they are.

    Args:
        settings: The worker's own.
    """

    def __init__(self, settings: OtasSettings) -> None:
        self.settings = settings
        self.cipher = make_cipher(settings)
        self._transport = transport_factory(settings)
        self._destinations = {site.destination.name: site.destination for site in sites(settings)}
        self._breakers: dict[str, Breaker] = {}
        self._delivered_at: dict[str, float] = {}
        self._local = threading.local()
        self._lock = threading.Lock()

    def deliver(self, destination: str, entry: QueueItem) -> Outcome:
        """Deliver, or wait for up to `HOLD` seconds until that can be tried.

        Raises:
            MessageError: The destination is not among this worker's.
        """
        if destination not in self._destinations:
            raise MessageError(f"this worker has no destination {destination!r}; give it the settings of the backends")
        with self._lock:
            breaker = self._breakers.setdefault(destination, Breaker(self.settings.max_retry_delay))
        attempt = self._attempt(destination)
        until = time.monotonic() + HOLD
        while True:
            now = time.monotonic()
            with self._lock:
                wait = breaker.wait(now)
                if wait == 0.0:
                    breaker.sent()
            if wait > 0.0:
                if now + wait >= until:
                    time.sleep(max(0.0, min(HOLD, until - now)))
                    return Outcome(Verdict.UNAVAILABLE, breaker.reason or "away")
                time.sleep(min(wait, 0.1 if wait == float("inf") else wait))
                continue
            outcome = attempt(entry, self.settings.request_timeout)
            self._learn(destination, breaker, outcome)
            if outcome.verdict not in {Verdict.UNAVAILABLE, Verdict.MISCONFIGURED}:
                return outcome

    def delivered_since(self, destination: str, moment: float | None) -> bool:
        """Say whether this process has delivered another event since then (Unix seconds)."""
        return moment is not None and self._delivered_at.get(destination, 0.0) > moment

    def _attempt(self, destination: str) -> Attempt:
        attempts: dict[str, Attempt] = self._local.__dict__.setdefault("attempts", {})
        if destination not in attempts:
            with process.no_fork:
                attempts[destination] = HttpAttempt(self._destinations[destination], self._transport())
        return attempts[destination]

    def _learn(self, destination: str, breaker: Breaker, outcome: Outcome) -> None:
        now = time.monotonic()
        opened = closed = False
        with self._lock:
            if outcome.verdict in {Verdict.UNAVAILABLE, Verdict.MISCONFIGURED} or outcome.ambiguous:
                opened = breaker.failed(outcome.reason, now, outcome.retry_after)
            elif outcome.verdict is Verdict.RETRYABLE:
                opened = breaker.suspect(outcome.reason, now)
            else:
                closed = breaker.succeeded()
                if outcome.verdict is Verdict.DELIVERED:
                    self._delivered_at[destination] = time.time()
        if opened:
            logger.warning("otas: %s takes no events now (%s). %s", destination, outcome.reason, outcome.advice)
        elif closed:
            logger.info("otas: %s takes events again.", destination)


_courier: TaskDeliverer | None = None
_courier_lock = threading.Lock()


def courier() -> TaskDeliverer:
    """Return this process's courier, with the settings of the environment."""
    global _courier  # noqa: PLW0603  # one per process
    with _courier_lock:
        if _courier is None:
            from otas_middleware._config.sources import load_settings  # noqa: PLC0415  # pydantic only when needed

            _courier = TaskDeliverer(load_settings({}))
        return _courier


def use(settings: OtasSettings | None) -> None:
    """Deliver with these settings instead of those of the environment (None: the environment's again)."""
    global _courier  # noqa: PLW0603  # one per process
    with _courier_lock:
        _courier = None if settings is None else TaskDeliverer(settings)


def _deliver(task: Any, message: dict[str, Any]) -> None:
    """Deliver one event; see the module's text."""
    try:
        work = courier()
        entry = decode(message, work.cipher)
        destination = str(message["destination"])
        outcome = work.deliver(destination, entry)
    except MessageError as error:
        logger.error("otas: a message cannot be delivered: %s. It goes to the queue of the dead.", error)  # noqa: TRY400
        _bury(task, message, "unreadable")
        return
    if outcome.verdict is Verdict.DELIVERED:
        return
    if outcome.verdict is Verdict.REJECTED:
        logger.warning("otas: %s rejected an event (%s). %s", destination, outcome.reason, outcome.advice)
        _bury(task, message, outcome.reason)
    elif outcome.verdict is Verdict.BAD_TOKEN:
        _bad_token(task, entry, message)
    elif outcome.verdict is Verdict.RETRYABLE:
        _suspect(task, work, message, outcome)
    else:
        _again(task, message, full_jitter(5, work.settings.max_retry_delay))


def _bad_token(task: Any, entry: QueueItem, message: dict[str, Any]) -> None:
    """Drop the event: anybody can send bad tokens, so they must not fill a queue. A young one gets another try."""
    if entry.envelope is not None and not message["failures"] and is_young(entry.envelope.token):
        _again(task, {**message, "failures": 1}, YOUNG_TOKEN_DELAY)
    logger.info("otas: an event was dropped: its session token was refused.")


def _suspect(task: Any, work: TaskDeliverer, message: dict[str, Any], outcome: Outcome) -> None:
    failures = int(message["failures"]) + 1
    failed_at = message["failed_at"]
    if failures > work.settings.max_retries and work.delivered_since(str(message["destination"]), failed_at):
        _bury(task, message, outcome.reason)
        return
    changed = {**message, "failures": failures, "failed_at": failed_at or time.time()}
    wait = outcome.retry_after
    _again(task, changed, full_jitter(failures, work.settings.max_retry_delay) if wait is None else wait)


def _again(task: Any, message: dict[str, Any], seconds: float) -> None:
    """Put the message back for later; ends the task by an exception of Celery's."""
    raise task.retry(args=(message,), kwargs={}, countdown=seconds, throw=False)


def _bury(task: Any, message: dict[str, Any], reason: str) -> None:
    """Move the message to the queue of the dead, where it waits for somebody to look into the reason."""
    dead = f"{courier().settings.celery_queue}.dead"
    if task.request.delivery_info and task.request.delivery_info.get("routing_key") == dead:
        # It is being tried again from there and fails again: it stays, without keeping the worker busy.
        _again(task, {**message, "failures": 0, "failed_at": None}, courier().settings.max_retry_delay)
    task.apply_async(args=({**message, "failures": 0, "failed_at": None, "reason": reason},), queue=dead)


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
    deliver.rate_limit = courier().settings.celery_rate_limit


def _end(**_: object) -> None:
    """Deliver what the tasks of this pool process have captured; billiard leaves without `atexit`."""
    process.end()


signals.celeryd_after_setup.connect(_limit_rate)
signals.worker_process_shutdown.connect(_end)
