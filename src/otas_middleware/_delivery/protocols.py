"""The two extension points of delivery, and the plain records that pass between them.

A `Destination` turns an envelope into an HTTP request and says what an answer means. A `Transport` carries one request
out and one response back. Either can be replaced by the user's own; a transport may be a plain function.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol, cast

from otas_middleware._errors import ConfigurationError, OtasError
from otas_middleware._version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otas_middleware._event import Envelope

MAX_REPLY_BYTES = 65_536
"""How much of an answer is read; real answers have some hundred bytes, error pages are never kept."""


class Weighted(Protocol):
    """What the queue holds before it is built: anything that knows its size in memory.

    If it has a `token`, or a `session` that has one, events take turns by that session token. If it has a `receipt`,
    that is told what became of it.
    """

    @property
    def weight(self) -> int:
        """Bytes that the item holds on to, estimated."""
        ...


class Receipt(Protocol):
    """Told what became of an item: an item may have one as its attribute `receipt`.

    It is called in any thread, perhaps under a lock of the exporter's, so that it must be quick and not raise: once
    when all is over, and before that for each of several destinations that is done with the item before others are.
    """

    def __call__(self, disposition: str, stored_as: str = "", destination: str = "", /) -> None:
        """Take note.

        Args:
            disposition: `delivered`, `spooled` (it is in the disk queue), or the reason for which it was dropped. Of
                several destinations that of the first one, or `exit` where the process ended before all were
                done with it.
            stored_as: The id that the destination gave it, where it says one.
            destination: The one that is done with it while others are not; the disposition is empty if that is
                not the first.
        """
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP POST, ready to be sent.

    Attributes:
        url: Absolute URL without query; there are no redirects to follow.
        headers: Names and values in ASCII; `Host` and `Content-Length` are the transport's. They hold secrets.
        body: The whole body, uncompressed: Brain understands neither chunks nor encodings.
        status_suffices: Of a `201 Created` the body is not wanted, and a transport may leave it unread.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)
    status_suffices: bool = False


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to one request.

    Attributes:
        status: HTTP status code.
        headers: Lower-case names; of a repeated header the last value.
        body: At most `MAX_REPLY_BYTES`. It may echo secrets (debug pages do), so it is never logged or stored.
        resent: The request went out twice, because a kept-alive connection turned out to be closed.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    resent: bool = False


def json_headers(key: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the headers of a request in JSON: who sends it, and one more, by which the service knows us."""
    return (
        ("Content-Type", "application/json"),
        ("Accept", "application/json"),
        ("User-Agent", f"otas-middleware/{__version__}"),
        key,
    )


def fields_of(response: Response) -> dict[str, Any]:
    """Return the members of the JSON object that an answer is; none of a page or garbage."""
    try:
        return as_object(json.loads(response.body))
    except (ValueError, RecursionError):
        return {}


def as_object(value: object) -> dict[str, Any]:
    """Return a JSON object as it is, and anything else as an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


class TransportError(OtasError):
    """No answer came.

    Args:
        cause: One or two plain words for counters and the log, such as `connection refused`; never a payload.
        sent: Whether the whole request may have reached the other side. The event may then be stored although
            nobody said so, and sending it again may duplicate it.
        resent: The request went out twice, because a kept-alive connection turned out to be closed.
    """

    def __init__(self, cause: str, *, sent: bool, resent: bool = False) -> None:
        super().__init__(cause)
        self.cause = cause
        self.sent = sent
        self.resent = resent


class Transport(Protocol):
    """Carries one request out and one response back.

    Each sending thread makes its own transport and calls it from that thread only, one request at a time. If it has a
    `close()`, that is called when the thread ends.
    """

    def __call__(self, request: Request, timeout: float, /) -> Response:
        """Send the request and wait for the answer.

        Args:
            request: What to send, with a `Content-Length` and without chunks; redirects are not followed.
            timeout: Seconds for the whole exchange.

        Raises:
            TransportError: No complete answer came in time.
        """
        ...


class Verdict(StrEnum):
    """What an answer means for the event and for the destination. Text, so that one may be given by its value."""

    DELIVERED = "delivered"
    REJECTED = "rejected"
    """This event will never be accepted: drop and count it."""
    BAD_TOKEN = "bad_token"  # noqa: S105  # a verdict, not a secret
    """No event of this session will be accepted for a while."""
    RETRYABLE = "retryable"
    """The event or the destination is at fault. Tried again; dropped when others pass and this one does not."""
    UNAVAILABLE = "unavailable"
    """The destination is overloaded or away: keep everything and come back later."""
    MISCONFIGURED = "misconfigured"
    """The destination refuses us, whatever the event (a key, a wrong address): keep everything, tell the operator."""

    SUSPECT = RETRYABLE  # an alias, as the two below
    """The name of `RETRYABLE` before 0.2."""
    UNWELL = UNAVAILABLE
    """The name of `UNAVAILABLE` before 0.2."""
    REFUSED = MISCONFIGURED
    """The name of `MISCONFIGURED` before 0.2."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A verdict with its reason.

    Attributes:
        verdict: What to do.
        reason: A short stable word for counters and logs, such as `invalid_sdk_key` or `http_503`.
        advice: What the operator should do about it, for the log; empty where nothing can be done here.
        retry_after: Seconds that the destination asked us to wait, or None.
        ambiguous: The event may have been stored although nobody said so.
        resent: Within this one attempt it was sent twice, and may have been stored twice.
        stored_as: The id that the destination gave a delivered event, where it says one.
    """

    verdict: Verdict
    reason: str
    advice: str = ""
    retry_after: float | None = None
    ambiguous: bool = False
    resent: bool = False
    stored_as: str = ""


DELIVERED = Outcome(Verdict.DELIVERED, "delivered")


class Destination(Protocol):
    """A service that takes events, one HTTP request each.

    If it has a method `prologue(envelope, send)`, that is called before each attempt and may send requests of its own
    first; it returns None to go on, or the outcome to settle the event with.
    """

    @property
    def name(self) -> str:
        """A short name for counters, logs and spool files: letters, digits and `-`."""
        ...

    def request(self, envelope: Envelope) -> Request:
        """Return the request that delivers an envelope; called in the worker, at most once for each and process.

        Args:
            envelope: A redacted event, with the token of its session.
        """
        ...

    def outcome(self, response: Response) -> Outcome:
        """Say what an answer means. It must not raise, and it must not keep the response.

        Args:
            response: The answer to the request.
        """
        ...


@lru_cache(maxsize=256)  # a session has many events, and looking at each character takes longer than sending some
def is_header_value(token: str) -> bool:
    """Say whether a session token can be sent at all; an empty one is left to the destination to refuse."""
    return token.isascii() and (token.isprintable() or not token)


def load(path: str, what: str) -> object:
    """Import an extension of the user's own.

    Args:
        path: Where it is, such as `shop.telemetry:Archive`.
        what: What it is to be, for the error.

    Raises:
        ConfigurationError: The path leads nowhere.
    """
    from otas_middleware._config.types import import_path  # noqa: PLC0415  # pydantic, for those who have extensions

    try:
        return import_path(path)
    except ValueError as error:
        raise ConfigurationError(f"otas_middleware: the {what} {path!r} {str(error).removeprefix('it ')}.") from error
