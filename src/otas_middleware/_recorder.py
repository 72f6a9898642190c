"""The composition root: settings, token gate, delivery. Adapters ask it for a capture and get one or None."""

from __future__ import annotations

import logging
import time
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, cast

from otas_middleware import _errors
from otas_middleware._capture import Capture
from otas_middleware._capture.context import current, deferring_interruptions, delivering, in_delivery, run_or_defer
from otas_middleware._capture.selection import Selection
from otas_middleware._capture.session import TokenGate
from otas_middleware._errors import ConfigurationError
from otas_middleware._runtime import Source, monotonic, runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otas_middleware._capture import Headers
    from otas_middleware._capture.verify import ByKeySet, Verifier
    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._delivery import Weighted
    from otas_middleware._event import Envelope

_KNOWN = ("fastapi", "litestar", "quart", "flask", "falcon", "bottle", "pyramid", "django", "starlette")
_names: dict[type[Any], str | None] = {}


def framework_of(app: object, otherwise: str) -> str:
    """Return the name of the framework that an application, or a method of one, belongs to.

    Args:
        app: The application.
        otherwise: The name of those that belong to none, such as `wsgi`.
    """
    kind = cast("type[Any]", type(getattr(app, "__self__", app)))
    if kind not in _names:
        roots = {base.__module__.partition(".")[0] for base in kind.__mro__}
        _names[kind] = next((known for known in _KNOWN if known in roots), None)
    return _names[kind] or otherwise


class Delivery(Source, Protocol):
    """Where a recorder's finished captures go: the background pipeline, or the memory of the test kit."""

    def put(self, item: Weighted, /) -> None:
        """Take a finished capture. Never blocks, never raises: this is the end of the request path."""
        ...

    def put_envelope(self, envelope: Envelope, /) -> None:
        """Take a finished event (the agent's side, user code)."""
        ...

    @property
    def crowded(self) -> bool:
        """Whether so much is waiting that what will hardly be sent had better not be taken."""
        ...


class Recorder:
    """Records requests for one set of settings; shared by all adapters of the process that have equal settings.

    Args:
        settings: Checked settings with an SDK key or another destination.
        deliver: Makes the delivery; the process's own way when left out.
    """

    def __init__(self, settings: OtasSettings, deliver: Callable[[Recorder], Delivery] | None = None) -> None:
        self.settings = settings
        self.gate = TokenGate(secret_verifier(settings))
        self.selection = Selection(settings)
        self._takes_all = self.selection.takes_all
        self._key_set = key_set(settings)
        self.new_capture: Callable[..., Capture] = Capture
        self.pipeline: Delivery
        self._in_background: Delivery | None = None
        if deliver is None:
            self.follow()
        else:
            self.pipeline = deliver(self)
        self._limit = settings.max_body_bytes
        self._traceback = settings.capture_traceback
        self._durable = settings.durability != "memory"

    def __reduce__(self) -> tuple[Callable[[OtasSettings], Recorder], tuple[OtasSettings]]:
        return _shared, (self.settings,)  # a copied or unpickled application has the recorder of its process

    def follow(self) -> None:
        """Deliver as the process does now: in the background, or into the memory of a test."""
        make = runtime.behaviour.deliver
        self.new_capture = Capture
        if make is not None:
            self.pipeline = make(self)
            return
        if self._in_background is None:
            self._in_background = in_background(self)
        self.pipeline = self._in_background

    def begin(
        self,
        token: str | bytes,
        framework: str,
        method: str,
        path: str,
        query_string: str | bytes,
        headers: Headers,
    ) -> Capture | None:
        """Start the capture of a request that carries a token.

        Args:
            token: The token header's value as the server gave it.
            framework: The adapter's name for the framework, such as `flask`.
            method: The request's method.
            path: The full path, decoded.
            query_string: As the server gave it.
            headers: The request's headers as the server gave them; not changed by anybody afterwards.

        Returns:
            The capture to feed, or None when this request is not to be recorded.
        """
        if delivering.get():
            return None  # else each event whose delivery is logged would bring forth the next
        now = time.time()
        session = self.gate.admit(token, now)
        if session is None:
            return None
        if not (self._takes_all or self.selection.wants(method, path, query_string, headers, session, framework)):
            return None
        capture = self.new_capture(self._submit, session, self._limit, self._traceback, now)
        capture.durable = self._durable
        capture.framework = framework
        capture.method = method
        capture.path = path
        capture.query_string = query_string
        capture.request_headers = headers
        outer = current.get()
        if outer is not None and not outer.finished:
            capture.parent_id = outer.identify()  # a request that the application makes to itself
        return capture

    def _submit(self, capture: Capture) -> None:
        run_or_defer(self.pipeline.put if self._takes_all else self._deliver_selected, capture)

    def _deliver_selected(self, capture: Capture) -> None:
        failed = capture.exception is not None or capture.status_code >= 400
        session_id = capture.session.session_id
        if not (failed or self.selection.samples(session_id) or self.pipeline.crowded):
            capture.sampled_out = True  # whether what was called has failed is found out in the background
        elif not self.selection.keeps(session_id, capture.weight, failed=failed):
            return
        self.pipeline.put(capture)

    def submit_at_once(self, capture: Capture) -> bool:
        """Give a closed capture to the delivery, if that takes no waiting although it must not be lost any more.

        Returns:
            False when that cannot be said: then `capture.submit` does it, and may write to a disk.
        """
        put: Callable[[Capture], bool] | None = getattr(self.pipeline, "put_at_once", None)
        with deferring_interruptions():
            return put is not None and self._takes_all and put(capture)

    def build(self, capture: Capture, settings: OtasSettings) -> Envelope | None:
        """Make the envelope of a finished capture, in the worker; None when it is not to be sent after all."""
        if self.selection.matches_pattern(capture.path):
            return None
        if self._key_set is not None and not self._confirm(capture, self._key_set):
            return None
        return _build()(capture, settings, self.selection)

    def _confirm(self, capture: Capture, key_set: ByKeySet) -> bool:
        from otas_middleware._capture.verify import KeysUnavailableError  # noqa: PLC0415  # an extra

        if capture.session.verified:
            return True
        try:
            # A durable event is made within its request, which waits for no key.
            claims = key_set(capture.session.token, wait=not self._durable)
        except KeysUnavailableError:
            return True  # recorded as unverified: Brain checks the token itself
        if claims is None:
            self.gate.learn("bad_signature", capture.session.token)
            return False
        capture.session = self.gate.confirm(capture.session)
        return True


@cache
def _build() -> Callable[[Capture, OtasSettings, Selection], Envelope | None]:
    """Return what makes events: asked once, since an import costs more than a call, even of what is imported."""
    from otas_middleware._event.build import build  # noqa: PLC0415  # heavy, and first needed in the worker

    return build


def secret_verifier(settings: OtasSettings) -> Verifier | None:
    """Return what checks a token's signature by the secret of the settings, or None without one.

    Raises:
        MissingExtraError: PyJWT is not installed.
    """
    if settings.session_secret is None:
        return None
    from otas_middleware._capture.verify import by_secret  # noqa: PLC0415  # an extra

    return by_secret(settings.session_secret.get_secret_value())


def key_set(settings: OtasSettings) -> ByKeySet | None:
    """Return what checks a token's signature by public keys, or None when the settings name no address of any.

    Raises:
        MissingExtraError: PyJWT is not installed.
    """
    if settings.session_jwks_url is None:
        return None
    from otas_middleware._capture.verify import ByKeySet  # noqa: PLC0415  # an extra

    return ByKeySet(settings.session_jwks_url)


def in_background(recorder: Recorder) -> Delivery:
    """Deliver by the pipeline: what applications get."""
    from otas_middleware._delivery import open_delivery  # noqa: PLC0415  # heavy, for applications that record

    return open_delivery(recorder.settings, recorder.build, raw=True, on_token=recorder.gate.learn)


def open_recorder(
    keywords: Mapping[str, Any],
    framework: tuple[Mapping[str, object], str] = ({}, "{}"),
    settings: OtasSettings | None = None,
) -> Recorder | None:
    """Return the recorder for the given configuration, or None when the middleware is off.

    No network and no thread: those begin with the first recorded request. A missing SDK key is one warning.

    Args:
        keywords: Settings by field name, the strongest source.
        framework: The framework's own configuration, as the fields of `FrameworkSettings`.
        settings: Complete settings; no other source is read then, and `keywords` change single fields of them.

    Raises:
        ConfigurationError: A name is unknown or a value cannot be used.
    """
    try:
        from otas_middleware._config.sources import FrameworkSettings, load_settings  # noqa: PLC0415  # needs pydantic
    except ImportError as error:  # one interpreter of a process can load pydantic's native part
        runtime.log_once(
            logging.ERROR,
            f"otas_middleware is off: pydantic cannot be imported ({error}). Have a server's applications share one "
            "interpreter: single-interpreter = true (uWSGI), WSGIApplicationGroup %{GLOBAL} (mod_wsgi).",
        )
        return None
    if settings is None:
        settings = load_settings(keywords, FrameworkSettings(*framework))
    elif not hasattr(settings, "model_fields_set"):
        raise ConfigurationError(
            f"otas_middleware: settings= is of type {type(settings).__name__}; give it an OtasSettings, "
            "or the settings by their names."
        )
    elif keywords:
        settings = settings.replace(**keywords)
    if not settings.enabled:
        runtime.off_because.add("disabled")
        return None
    if not (has_destination(settings) or runtime.behaviour.record_without_key):
        runtime.off_because.add("no_sdk_key")
        runtime.log_once(
            logging.WARNING,
            "otas_middleware is off: no SDK key. Set OTAS_SDK_KEY to the project's backend key to record agent "
            "requests, or OTAS_ENABLED=0 to silence this warning.",
        )
        return None
    return _shared(settings)


def has_destination(settings: OtasSettings) -> bool:
    """Return whether there is anywhere to send events: Brain, Agnost, or a destination of the user's own."""
    return bool(settings.sdk_key or settings.agnost_org_id or settings.destinations)


def _shared(settings: OtasSettings) -> Recorder:
    with runtime.lock:
        recorder: Recorder | None = runtime.recorders.get(settings)
        if recorder is None:
            recorder = runtime.recorders[settings] = Recorder(settings)
            if settings.redact_patterns or settings.redact_path_patterns:
                from otas_middleware._event.patterns import warn_of_patterns  # noqa: PLC0415  # heavy

                warn_of_patterns(settings)
    return recorder


def recorders() -> list[Recorder]:
    """Return all recorders of this process."""
    with runtime.lock:
        return list(runtime.recorders.values())


runtime.lead("deliver", recorders)


def flush(timeout: float = 2.0) -> bool:
    """Wait until everything queued has been delivered or spooled.

    Args:
        timeout: The longest wait, in seconds, over all queues together.

    Returns:
        True when nothing waits any more; False when the time was up first, or in a handler that interrupts delivery.
    """
    if in_delivery.get():
        return False
    deadline = monotonic() + min(timeout, 1e9)  # no lock can be waited for until infinity
    done = True
    for source in [*(recorder.pipeline for recorder in recorders()), *runtime.sources]:
        done = source.flush(max(0.0, deadline - monotonic())) and done
    return done


def stats() -> dict[str, Any]:
    """Return the counters of this process, summed over all recorders and the agent's side.

    Returns:
        The delivery counters (`captured`, `delivered`, `queued`, `dropped` by reason, …), `refused` (requests whose
        token was not admitted, by reason), `skipped` (requests that the settings leave out, by reason) and
        `internal_errors` (failures of our own that were swallowed, by place).
    """
    total: dict[str, Any] = {"refused": {}, "skipped": {}, "internal_errors": dict(_errors.counts)}
    for recorder in recorders():
        _add(total, recorder.pipeline.stats())
        _add(total["refused"], recorder.gate.refused)
        _add(total["skipped"], recorder.selection.skipped)
    for source in runtime.sources:
        _add(total, source.stats())
    return total


def _add(total: dict[str, Any], part: Mapping[str, Any]) -> None:
    for name, value in part.items():
        if isinstance(value, dict):
            _add(total.setdefault(name, {}), cast("dict[str, Any]", value))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            total[name] = total.get(name, 0) + value
        else:
            total[name] = value
