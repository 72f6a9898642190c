"""Puts a pipeline together from the settings: destinations, transports, exporters, spools and maintenance."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import threading
from typing import TYPE_CHECKING, Any

from otas_middleware._delivery import process
from otas_middleware._delivery.destinations import BrainDestination, sites
from otas_middleware._delivery.exporter import Exporter
from otas_middleware._delivery.queue_item import BuiltOnce
from otas_middleware._delivery.transports import HttpAttempt, transport_factory
from otas_middleware._errors import ConfigurationError, MissingExtraError, report_internal_error
from otas_middleware._runtime import monotonic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._delivery.codec import TokenCipher
    from otas_middleware._delivery.destinations import Site
    from otas_middleware._delivery.disk_queue import DiskQueue
    from otas_middleware._delivery.protocols import Destination, Outcome
    from otas_middleware._delivery.retry import PeerClock
    from otas_middleware._delivery.transports import Attempt
    from otas_middleware._event import Envelope, EventSource

    Build = Callable[[Any, OtasSettings], Envelope | None]
    """Makes a finished event of what the request path left; None leaves the request out."""


class State:
    """What belongs to one process."""

    __slots__ = ("agent", "backend", "ending", "exporters", "maintenance", "pid")

    def __init__(self, exporters: Sequence[tuple[Exporter, frozenset[EventSource]]], maintenance: Maintenance) -> None:
        self.pid = os.getpid()
        self.ending = threading.RLock()  # a signal's handler may end it while this thread does
        """Held by who ends the exporters."""
        self.maintenance = maintenance
        self.exporters = tuple(exporter for exporter, _ in exporters)
        self.backend = tuple(exporter for exporter, sources in exporters if "backend" in sources)
        self.agent = tuple(exporter for exporter, sources in exporters if "agent" in sources)


class PipelineFactory:
    """Makes the states of one pipeline, one for each process. Checks the settings at once, and makes nothing else.

    Takes what `Pipeline` takes, and raises what that raises.
    """

    def __init__(
        self,
        settings: OtasSettings,
        build: Build,
        on_bad_token: Callable[[str], object],
        on_delivered: Callable[[Envelope, Outcome], object],
        *,
        trusting: bool = False,
    ) -> None:
        self._settings = settings
        # A signature that is checked, here or by a relay's host: nobody invented that token.
        self._trusting = trusting or bool(settings.session_secret or settings.session_jwks_url)
        self._build = build
        self._on_bad_token = on_bad_token
        self._on_delivered = on_delivered
        self._transport = transport_factory(settings)
        if process.threads_are_greenlets() and settings.relay in {None, "auto"}:  # else it may never be needed
            _import_what_delivers(settings)
        self._cipher = make_cipher(settings)
        if settings.durability == "spool" and settings.spool_dir is None:
            raise ConfigurationError(
                "otas_middleware: durability='spool' needs a directory; set OTAS_SPOOL_DIR to one of its own."
            )
        if settings.transport == "celery":
            check_celery(settings)

    def state(self) -> State:
        """Make the exporters of this process; nothing is started or opened."""
        settings = self._settings
        places = sites(settings)
        exporters = [(self._exporter(site), site.sources) for site in places]
        tasks: list[Callable[[float], float]] = []
        for (exporter, _), site in zip(exporters, places, strict=True):
            if settings.spool_dir is not None or settings.on_loss is not None:
                tasks.append(exporter.maintain)
            if settings.stats_interval:
                tasks.append(Summary(exporter, settings.stats_interval))
            if isinstance(site.destination, BrainDestination):
                tasks += self._watch_key(exporter, site.destination)
        maintenance = Maintenance(tasks)
        for exporter, _ in exporters:
            exporter.hooks.pressed = maintenance.wake
            exporter.on_start(maintenance.start)
        return State(exporters, maintenance)

    def _watch_key(self, exporter: Exporter, brain: BrainDestination) -> list[Callable[[float], float]]:
        settings = self._settings
        if settings.sdk_key is None or settings.uasam_url is None or brain.source != "backend":
            return []
        from otas_middleware._delivery.destinations.uasam import KeyWatch  # noqa: PLC0415  # for those who have one

        key = settings.sdk_key.get_secret_value()
        watch = KeyWatch(settings.uasam_url, key, self._transport, exporter.log, brain.learn_project)
        exporter.hooks.misconfigured = watch.refused
        return [watch.learn] if settings.project_id is None else []

    def _exporter(self, site: Site) -> Exporter:
        settings, build = self._settings, self._build
        exporter = Exporter(
            site.destination.name,
            settings,
            lambda captured: build_once(captured, build, settings),
            self._attempt(site.destination),
            trusting=self._trusting or "backend" not in site.sources,  # an agent's session is our own
            disk=self._disk(site),
        )
        exporter.hooks.bad_token = self._on_bad_token
        exporter.hooks.delivered = self._on_delivered
        return exporter

    def _disk(self, site: Site) -> DiskQueue | None:
        settings = self._settings
        if settings.spool_dir is None:
            return None
        from otas_middleware._delivery.disk_queue import DiskQueue  # noqa: PLC0415  # sqlite3, for those who spool

        mark = hashlib.sha256(site.account.encode()).hexdigest()[:12]
        path = settings.spool_dir / f"otas-{site.destination.name}-{mark}.sqlite3"
        return DiskQueue(path, settings.spool_max_bytes, self._cipher)

    def _attempt(self, destination: Destination) -> Callable[[PeerClock], Attempt]:
        settings, cipher, make_transport = self._settings, self._cipher, self._transport
        if settings.transport != "celery":
            return lambda clock: HttpAttempt(destination, make_transport(), clock)

        def publish(_clock: PeerClock) -> Attempt:
            from otas_middleware._delivery.transports.celery import CeleryAttempt  # noqa: PLC0415  # for those who use it

            return CeleryAttempt(destination.name, settings, cipher)

        return publish


def _import_what_delivers(settings: OtasSettings) -> None:
    """Import now, while nobody waits, what a worker would import with the first event."""
    names = ["otas_middleware._event.build"]
    names += [f"otas_middleware._event.redact.{name}" for name in ("markup", "tables", "values")]
    if settings.transport == "httpx":
        names.append("otas_middleware._delivery.transports.httpx_client")
    elif ":" not in settings.transport:
        names.append("otas_middleware._delivery.transports.direct")
    try:
        for name in names:
            importlib.import_module(name)
    except Exception:  # of libraries that do not go with eventlet, such as trio: a worker will try again
        report_internal_error("delivery.import", "the application starts without it, and delivery tries again")


def build_once(captured: Any, build: Build, settings: OtasSettings) -> Envelope | None:
    """Make an event of a capture, or take the one that was made of it for another destination."""
    if isinstance(captured, BuiltOnce):
        return captured.build(lambda inner: build(inner, settings))
    return build(captured, settings)


def make_cipher(settings: OtasSettings) -> TokenCipher | None:
    """Return what encrypts tokens that are written down or handed over, if a key is set."""
    if settings.spool_key is None:
        return None
    from otas_middleware._delivery.codec import TokenCipher  # noqa: PLC0415  # for those who encrypt

    return TokenCipher(settings.spool_key.get_secret_value())


def check_celery(settings: OtasSettings) -> None:
    """Check what can be checked before the user's Celery application is imported, which happens in the worker.

    Raises:
        ConfigurationError: It is not said where the application is.
        MissingExtraError: Celery is not installed.
    """
    if importlib.util.find_spec("celery") is None:
        raise MissingExtraError("OTAS_TRANSPORT=celery", "celery")
    if settings.celery_app is None:
        raise ConfigurationError(
            "otas_middleware: OTAS_TRANSPORT=celery needs OTAS_CELERY_APP: your Celery application, such as "
            "proj.celery:app."
        )


_AFTER_A_FAULT = 1.0
"""Seconds until the tasks run again after one of them failed."""


class Summary:
    """A task: one line with an exporter's counters in the log, each `interval` seconds."""

    def __init__(self, exporter: Exporter, interval: float) -> None:
        self._exporter = exporter
        self._interval = interval
        self._next = monotonic() + interval

    def __call__(self, now: float) -> float:
        if now >= self._next:
            self._next = now + self._interval
            self._exporter.log.summary(self._exporter.stats())
        return self._next - now


class Maintenance:
    """Runs tasks, each of which says in how many seconds it wants to run again.

    Args:
        tasks: Called with `monotonic`; each returns seconds.
    """

    def __init__(self, tasks: Sequence[Callable[[float], float]]) -> None:
        self._tasks = tasks
        self._lock = threading.Lock()
        self._wake: threading.Event | None = None
        """The running thread's own; another one's, or None, tells it to end."""

    def start(self) -> None:
        """Start the thread, unless it runs or there is nothing to do."""
        with self._lock:
            if self._wake is not None or not self._tasks:
                return
            wake = self._wake = threading.Event()
        started = False
        try:
            started = process.start_thread(lambda: self._run(wake), "otas-maintenance")
        finally:
            if not started:
                self._wake = None

    def wake(self) -> None:
        """Run the tasks now."""
        wake = self._wake
        if wake is not None:
            wake.set()

    def stop(self) -> None:
        """Let the thread end; `start` starts another."""
        with self._lock:
            wake, self._wake = self._wake, None
        if wake is not None:
            wake.set()

    def _run(self, wake: threading.Event) -> None:
        while self._wake is wake:
            wake.clear()
            pause = 60.0
            for task in self._tasks:
                try:
                    pause = min(pause, task(monotonic()))
                except BaseException:  # `sys.exit` in an extension ends no thread of ours
                    pause = min(pause, _AFTER_A_FAULT)
                    report_internal_error("delivery.maintenance")
            if self._wake is wake:
                wake.wait(pause)
