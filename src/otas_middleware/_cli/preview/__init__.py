"""What `otas-middleware preview` does: take a recorded exchange, and show the event that would be sent for it.

Here is what the readers of all formats make, one request and, where it is known, its response; and how its event is
made of it, by the very steps that a request takes: gate, selection, capture, build.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from otas_middleware._capture import Capture
from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware._errors import OtasError
from otas_middleware._recorder import Recorder
from otas_middleware._runtime import runtime
from otas_middleware._testing import make_token
from otas_middleware._testing.memory import Memory, for_recorder

if TYPE_CHECKING:
    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._event import BackendEvent

Pairs = tuple[tuple[str, str], ...]


class UnreadableError(OtasError):
    """The input is not understood. The message says what it was taken for, where it goes wrong, and what would do."""


@dataclass(frozen=True)
class Reply:
    """A response.

    Attributes:
        status: The status code.
        reason: The reason phrase; empty where the protocol has none.
        headers: Names and values.
        body: The body, as it was sent, but for a chunked transfer.
    """

    status: int
    reason: str = ""
    headers: Pairs = ()
    body: bytes = b""


@dataclass(frozen=True)
class Exchange:
    """A request and its response.

    Attributes:
        method: The method.
        target: Path and query string, percent-encoded as they were sent.
        headers: Names and values, as they were sent.
        body: The request's body.
        reply: The response; None when it is not known.
        began: When it began, in Unix seconds, or None.
        seconds: How long it took to the last byte, or None.
        first_byte: Seconds to the first byte of the response, or None.
        remarks: What the reader had to add or leave out.
    """

    method: str
    target: str
    headers: Pairs = ()
    body: bytes = b""
    reply: Reply | None = None
    began: float | None = None
    seconds: float | None = None
    first_byte: float | None = None
    remarks: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """The path, decoded as servers decode it."""
        return unquote(urlsplit(self.target).path, errors="replace") or "/"

    @property
    def query(self) -> str:
        """The query string as it was sent."""
        return urlsplit(self.target).query

    def header(self, name: str) -> str | None:
        """Return the value of the first header of this name, or None."""
        return value_of(self.headers, name)


def value_of(headers: Pairs, name: str) -> str | None:
    """Return the value of the first header of this name, or None."""
    return next((value for each, value in headers if each.lower() == name.lower()), None)


def target_of(url: str) -> str:
    """Return path and query string of a URL; one without a scheme is taken as curl takes it.

    Raises:
        UnreadableError: It is not the URL of an HTTP request.
    """
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
    except ValueError as error:
        raise UnreadableError(f"the URL {url!r} cannot be read: {error}") from None
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise UnreadableError(
            f"{url!r} is not the URL of an HTTP request; write it like https://shop.example/orders/42"
        )
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


_SKIPPED = {
    "ignored": "the settings leave this path, method or operation out "
    "(ignore_paths, ignore_methods, ignore_operations)",
    "should_record": "should_record said no",
    "sampled_out": "its session is not among those that are sampled (session_sample_rate)",
    "session_events_limit": "the session is over its limit of events",
    "session_bytes_limit": "the session is over its limit of bytes",
}


@dataclass(frozen=True)
class Preview:
    """What would become of an exchange.

    Attributes:
        exchange: The exchange.
        event: The event that would be sent; None when none would.
        withheld: Why none would be sent; empty otherwise.
        remarks: In what the event differs from the one of the request itself, and why.
        failures: What went wrong meanwhile and would have been swallowed: the place, and the exception's type and text.
    """

    exchange: Exchange
    event: BackendEvent | None
    withheld: str
    remarks: tuple[str, ...]
    failures: tuple[tuple[str, str], ...] = ()


def replay(exchange: Exchange, settings: OtasSettings, framework: str, route: str | None = None) -> Preview:
    """Record an exchange in memory.

    Args:
        exchange: The request and its response.
        settings: The application's.
        framework: What the event names as its framework.
        route: The template that a framework would match the path with, in the framework's own form.
    """
    remarks = list(exchange.remarks)
    if not settings.enabled:
        return Preview(exchange, None, "recording is switched off (OTAS_ENABLED, or enabled in the settings)", ())
    if settings.sdk_key is None:
        remarks.append("no SDK key is set: as it is, the middleware is off. Set OTAS_SDK_KEY.")
    if settings.session_jwks_url is not None:
        settings = settings.replace(session_jwks_url=None)
        remarks.append("the token's signature is not checked against the keys at session_jwks_url here.")
    memory = Memory()
    recorder = Recorder(settings, partial(for_recorder, memory))
    recorder.new_capture = partial(_Replayed, exchange)
    token, headers = _token(exchange, recorder, remarks)

    failures: list[tuple[str, str]] = []

    def note_failure(where: str, error: BaseException) -> None:
        failures.append((where, f"{type(error).__name__}: {error}"))

    with runtime.replaced(on_internal_error=note_failure, reraise=False):
        _record(recorder, exchange, token, headers, framework, route)
        envelope = next(iter(memory.envelopes()), None)
    remarks += [f"{where} failed with {error}" for where, error in failures]
    if envelope is None:
        skipped = next((reason for reason, count in recorder.selection.skipped.items() if count), "")
        withheld = _SKIPPED.get(skipped, skipped) or "before_send withheld it"
        return Preview(exchange, None, withheld, tuple(remarks), tuple(failures))
    if exchange.reply is None:
        remarks.append("no response was given: shown is the one of an empty 200. Give it with --response FILE.")
    if exchange.seconds is None:
        remarks.append("times are measured while a request runs; latency_ms is shown as 0.")
    if route is None:
        remarks.append("a framework adds metadata.route; give the template with --route to see it.")
    return Preview(exchange, envelope.event, "", tuple(remarks), tuple(failures))


class _Replayed(Capture):
    """A capture whose times are those of the exchange."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: Exchange, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._exchange = exchange
        if exchange.began is not None:
            self.captured_at = exchange.began

    @property
    def latency(self) -> float:
        return self._exchange.seconds or 0.0

    @property
    def first_response(self) -> float | None:
        return self._exchange.first_byte

    @property
    def ttfb(self) -> float | None:
        return self._exchange.first_byte


def _token(exchange: Exchange, recorder: Recorder, remarks: list[str]) -> tuple[str, list[tuple[str, str]]]:
    """Return a token that is admitted, and the request's headers with it."""
    token = exchange.header(TOKEN_HEADER)
    settings = recorder.settings
    secret = settings.session_secret.get_secret_value() if settings.session_secret is not None else None
    stand_in = make_token(secret=secret)
    if token is None:
        remarks.append(
            f"the request carries no {TOKEN_HEADER}: as it is, nothing is recorded. Shown is the event of an agent's."
        )
    elif recorder.gate.admit(token, time.time()) is None:
        reason = next(iter(recorder.gate.refused))
        remarks.append(
            f"the session token is refused ({reason}): as it is, nothing is recorded. Shown is the event of another."
        )
    else:
        return token, list(exchange.headers)
    others = [(name, value) for name, value in exchange.headers if name.lower() != TOKEN_HEADER.lower()]
    return stand_in, [*others, (TOKEN_HEADER, stand_in)]


def _record(
    recorder: Recorder,
    exchange: Exchange,
    token: str,
    headers: list[tuple[str, str]],
    framework: str,
    route: str | None,
) -> None:
    capture = recorder.begin(token, framework, exchange.method, exchange.path, exchange.query, headers)
    if capture is None:
        return
    capture.route = route
    capture.request.add(exchange.body)
    reply = exchange.reply or Reply(200)
    capture.started(reply.status, list(reply.headers), reply.reason or None)
    if reply.body:
        capture.sent(reply.body)
    capture.ended()
    capture.finish()
