"""One request's bounded copy: bytes, sizes, clock, exception. The request path only appends here.

No I/O, no JSON, no decoding, no regular expression, no lock: everything else is done by the worker, which gets the
object from `finish` on and reads it only.
"""

from __future__ import annotations

import sys
from time import perf_counter, time
from typing import TYPE_CHECKING

from otas_middleware._capture.body import BoundedBody
from otas_middleware._capture.exception import describe_exception, innermost
from otas_middleware._capture.weight import size_of
from otas_middleware._internal_errors import report_internal_error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from otas_middleware._capture.body import Chunk
    from otas_middleware._capture.exception import CapturedException
    from otas_middleware._capture.session import SessionInfo

    Headers = Sequence[tuple[bytes, bytes]] | Sequence[tuple[str, str]]

_BASE_WEIGHT = 2048
"""Bytes of a capture itself, with the objects that every one holds."""

_PAIR_WEIGHT = 150
"""Bytes that a header takes beside its characters."""

_MANY_PARTS = 64


class Capture:
    """What one recorded request was.

    An adapter creates it through `Recorder.begin`, feeds it, and calls `finish` once; later calls do nothing. The
    attributes are documented in `docs/architecture.md`; times are seconds.
    """

    __slots__ = (
        "_ambient",
        "_end",
        "_first_byte",
        "_submit",
        "_t0",
        "_weight",
        "_with_traceback",
        "aborted",
        "captured_at",
        "checkpoints",
        "complete",
        "custom_properties",
        "disconnected",
        "durable",
        "ends_early",
        "exception",
        "finished",
        "framework",
        "method",
        "opaque",
        "path",
        "path_params",
        "query_string",
        "reason",
        "request",
        "request_headers",
        "response",
        "response_headers",
        "route",
        "session",
        "status_code",
    )

    def __init__(
        self,
        submit: Callable[[Capture], None],
        session: SessionInfo,
        limit: int,
        with_traceback: bool,  # noqa: FBT001  # calling a class by keywords costs a third of a microsecond
        now: float | None = None,
    ) -> None:
        self._t0 = perf_counter()
        self._ambient = id(sys.exception())  # being handled around the request, and none of its own
        self._end: float | None = None
        self._first_byte: float | None = None
        self._submit = submit
        self._with_traceback = with_traceback
        self._weight = 0
        self.captured_at = time() if now is None else now
        self.session = session
        self.request = BoundedBody(limit)
        self.response = BoundedBody(limit)
        self.framework = ""
        self.method = ""
        self.path = ""
        self.query_string: bytes | str = b""
        self.request_headers: Headers = ()
        self.response_headers: Headers = ()
        self.status_code = 0
        """0 until a response was started, and for good when an exception or the client's leaving prevented it."""
        self.reason: str | None = None
        """The reason phrase, where the protocol of the framework has one (WSGI)."""
        self.route: str | None = None
        """The framework's own template; `_event.routes.template` brings it into the form `/orders/{order_id}`."""
        self.path_params: Mapping[str, object] | None = None
        self.exception: CapturedException | None = None
        self.disconnected = False
        """The client is known to have gone before the response was complete."""
        self.aborted = False
        self.complete = False
        """The response's last byte was handed on."""
        self.durable = False
        """It must be finished before the response's last byte is handed on (`durability="spool"`)."""
        self.ends_early = False
        """Closing the response can bring nothing new, so that its last chunk is its end; test clients close late."""
        self.opaque = False
        """The body went a way on which it cannot be seen, such as a file that the server sends itself."""
        self.finished = False
        self.custom_properties: dict[str, object] | None = None
        self.checkpoints: list[tuple[str, float, dict[str, object]]] | None = None

    @property
    def taker(self) -> object:
        """Who gets it when it is finished: the recorder that made it, or None where a plain function does."""
        return getattr(self._submit, "__self__", None)

    def started(self, status_code: int, headers: Headers, reason: str | None = None) -> None:
        """Note the status and headers of the response; a second start replaces the first (PEP 3333, `exc_info`).

        A server error that is sent from inside an `except` block names the exception that the framework handled.
        """
        self.status_code = status_code
        self.response_headers = headers
        self.reason = reason
        if status_code >= 500 and self.exception is None:
            handled = sys.exception()
            if handled is not None and id(handled) != self._ambient:
                self.failed(handled)

    def sent(self, chunk: Chunk) -> None:
        """Note a chunk of the response body that was handed on."""
        if self._first_byte is None and chunk:
            self._first_byte = perf_counter()
        self.response.add(chunk)

    def failed(self, error: BaseException) -> None:
        """Note the exception that the request ended with.

        Cancellation and everything else that is not an `Exception` means that the request was cut off, not that the
        application failed; so does a failure to reach a client that is known to have gone.
        """
        if not isinstance(error, Exception):
            self.aborted = True
            return
        inner = innermost(error)
        if self.disconnected and (isinstance(inner, OSError) or type(inner).__name__ == "ClientDisconnect"):
            return
        try:
            self.exception = describe_exception(error, with_traceback=self._with_traceback)
        except Exception:  # called where the application's exception is on its way, and must go on
            report_internal_error("capture.failed")

    def ended(self) -> None:
        """Stop the clock: the response's last byte was handed on."""
        self._end = perf_counter()
        self.complete = True

    @property
    def whole(self) -> bool:
        """Whether the response, as noted so far, is all that its headers announce; a client then waits for no more."""
        return self.status_code != 0 and (self._bodiless() or self._declared_size() == self.response.size)

    def secure(self, *, last: bool = False) -> None:
        """Finish before the bytes go out with which the client has the whole response (`durability="spool"`).

        Args:
            last: They are known to be the last ones; otherwise the response's headers must tell.
        """
        try:
            if not self.finished and (last or self.whole):
                self.ended()
                self.finish()
        except Exception:
            report_internal_error("capture.secure")

    def finish(self) -> None:
        """Hand the capture to the queue, exactly once."""
        if self.finished:
            return
        self.finished = True
        for body in (self.request, self.response):
            if len(body.parts) > _MANY_PARTS:
                body.pack()
        if self._end is None:
            self._end = perf_counter()
        if not (self.complete and self.status_code):
            self._judge_the_end()
        self._submit(self)

    def _judge_the_end(self) -> None:
        """Say what it means that the response's end was not seen, or its beginning."""
        if self.status_code:
            if not self.aborted and (self.disconnected or self.exception is None):
                # A server may leave a body unread that it would not send, or that it knows to be at its end.
                self.aborted = not self._bodiless() and self._declared_size() != self.response.size
        elif self.disconnected:
            self.aborted = True
        elif self.exception is None and not self.aborted:
            self.status_code = 500  # what servers answer for an application that did not

    def _bodiless(self) -> bool:
        """Say whether no body follows the headers (RFC 9110, sections 9.3.2, 15.3.5 and 15.4.5)."""
        return self.method == "HEAD" or self.status_code in {204, 304}

    def _declared_size(self) -> int | None:
        for name, value in self.response_headers:
            text = name.decode("latin-1") if isinstance(name, bytes) else name
            if text.lower() == "content-length" and value.isdigit():
                return int(value)
        return None

    def checkpoint(self, name: str, attributes: dict[str, object]) -> None:
        """Note a named moment with attributes, in milliseconds since the request began."""
        entry = (name, (perf_counter() - self._t0) * 1000.0, attributes)
        if self.checkpoints is None:
            self.checkpoints = [entry]
        else:
            self.checkpoints.append(entry)

    def annotate(self, properties: Mapping[str, object]) -> None:
        """Add properties to the event; a later value of a name replaces an earlier one."""
        if self.custom_properties is None:
            self.custom_properties = dict(properties)
        else:
            self.custom_properties.update(properties)

    @property
    def latency(self) -> float:
        """Seconds from the beginning to the last body byte (or to now, while it runs)."""
        return (perf_counter() if self._end is None else self._end) - self._t0

    @property
    def ttfb(self) -> float | None:
        """Seconds to the first body byte; None when there was none, or the protocol sends none."""
        return None if self._first_byte is None or self._bodiless() else self._first_byte - self._t0

    @property
    def request_size(self) -> int:
        """Bytes of the request body that the application read."""
        return self.request.size

    @property
    def response_size(self) -> int:
        """Bytes of the response body that were handed on; of an opaque one those that its headers declare."""
        if self._bodiless():
            return 0
        if self.opaque:
            return self._declared_size() or 0
        return self.response.size

    def request_body(self) -> bytes:
        """Return the kept beginning of the request body."""
        return self.request.kept()

    def response_body(self) -> bytes:
        """Return the kept beginning of the response body; nothing where the protocol sends none."""
        return b"" if self._bodiless() else self.response.kept()

    @property
    def token(self) -> str:
        """The session token."""
        return self.session.token

    @property
    def weight(self) -> int:
        """Bytes that this holds on to, estimated, for the queue's bound."""
        if not self._weight:
            weight = _weigh(self)
            if not self.finished:
                return weight
            self._weight = weight
        return self._weight

    def __repr__(self) -> str:
        return f"<Capture {self.method} {self.status_code} of session {self.session.session_id}>"


def _weigh(capture: Capture) -> int:
    weight = _BASE_WEIGHT + capture.request.held + capture.response.held
    weight += len(capture.path) + len(capture.query_string)
    for headers in (capture.request_headers, capture.response_headers):
        try:
            weight += _PAIR_WEIGHT * len(headers) + sum([len(name) + len(value) for name, value in headers])
        except TypeError:  # an application or a test client put what is no text among them
            weight += size_of(headers)
    for rare in (capture.exception, capture.custom_properties, capture.checkpoints, capture.path_params):
        if rare:
            weight += size_of(rare)
    return weight
