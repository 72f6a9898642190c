"""The request path: one request's bounded copy (`Capture`), of bytes, sizes, clock, exception; and who may be recorded.

In comes what the adapters see of a request. No I/O, no JSON, no decoding, no regular expression, no lock: the rest is
the worker's, who reads what is finished. Nothing here imports delivery, rendering or a framework.
"""

from __future__ import annotations

import sys
from time import perf_counter, time
from typing import TYPE_CHECKING

from otas_middleware._capture.body import TAIL_BYTES, BoundedBody, declared_size
from otas_middleware._capture.session import new_event_id
from otas_middleware._capture.values import PAIR_WEIGHT, describe_exception, is_loss_of_client, size_of, size_of_params
from otas_middleware._errors import report_internal_error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Literal

    from otas_middleware._capture.body import Chunk
    from otas_middleware._capture.session import SessionInfo
    from otas_middleware._capture.values import CapturedException

    HeadWaitsFor = Literal["nothing", "result", "chunk", "byte"]
    Headers = Sequence[tuple[bytes, bytes]] | Sequence[tuple[str, str]]

_BASE_WEIGHT = 1280
"""Bytes of a capture itself, with the objects that every one holds."""

_MANY_PARTS = 64
_MOST_CHECKPOINTS = 5_000


class Capture:
    """What one recorded request was.

    An adapter creates it through `Recorder.begin`, feeds it, and calls `finish` once; later calls do nothing. Times are
    seconds; path and headers are as the server gave them, the path decoded and with all mounts.
    """

    __slots__ = (
        "_ambient",
        "_end",
        "_first_byte",
        "_started",
        "_submit",
        "_t0",
        "_weight",
        "_with_traceback",
        "captured_at",
        "checkpoints",
        "complete",
        "custom_properties",
        "disconnected",
        "durable",
        "ends_early",
        "event_id",
        "exception",
        "finished",
        "framework",
        "head_waits_for",
        "method",
        "opaque",
        "parent_id",
        "path",
        "path_params",
        "query_string",
        "reason",
        "request",
        "request_headers",
        "response",
        "response_headers",
        "route",
        "sampled_out",
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
        self._started: float | None = None
        self._submit = submit
        self._with_traceback = with_traceback
        self._weight = 0
        self.captured_at = time() if now is None else now
        self.session = session
        self.request = BoundedBody(limit)
        self.response = BoundedBody(limit, TAIL_BYTES if limit else 0)
        self.framework = ""
        self.method = self.path = ""
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
        self.complete = False
        """The response's last byte was handed on."""
        self.durable = False
        """It must be finished before the response's last byte is handed on (`durability="spool"`)."""
        self.ends_early = False
        """Closing the response can bring nothing new, so that its last chunk is its end; test clients close late."""
        self.opaque = False
        """The body went a way on which it cannot be seen, such as a file that the server sends itself."""
        self.head_waits_for: HeadWaitsFor = "nothing"
        """Until when the server holds status and headers back, and answers itself if the application fails (WSGI)."""
        self.finished = False
        self.event_id = ""
        """The event's id, once somebody asked for it (`identify`); else it is made with the event."""
        self.parent_id: str | None = None
        """The id of the event of the request in which the application made this one, in the same process."""
        self.sampled_out = False
        """Sampling leaves it out, unless what was called turns out to have failed."""
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
        self._started = perf_counter()
        self.status_code = status_code
        self.response_headers = headers
        self.reason = reason
        if status_code >= 500 and self.exception is None:
            handled = sys.exception()
            if handled is not None and id(handled) != self._ambient:
                self.failed(handled)

    def sent(self, chunk: Chunk) -> None:
        """Note a chunk of the response body that was handed on."""
        if self._first_byte is None:
            if chunk:
                self._first_byte = perf_counter()
            if chunk or self.head_waits_for == "chunk":
                self.head_waits_for = "nothing"
        self.response.add(chunk)

    def failed(self, error: BaseException) -> None:
        """Note the exception that the request ended with.

        Once the client is known to have gone, being cut off and failing to reach it are no failures of the application.
        Without that knowledge they are: a worker's time-out raises `SystemExit`, a time limit cancels.

        Args:
            error: What was raised; no reference to it is kept.
        """
        try:
            if not (self.disconnected and is_loss_of_client(error)):
                self.exception = describe_exception(error, with_traceback=self._with_traceback)
        except Exception:  # called where the application's exception is on its way, and must go on
            report_internal_error("capture.failed")

    def broke_off(self, error: BaseException) -> None:
        """Note an exception that goes on to the server, which answers itself if it has sent nothing yet (PEP 3333)."""
        self.failed(error)
        if self.head_waits_for != "nothing" and not (self.finished or self.disconnected):
            self.status_code, self.response_headers, self.reason = 0, (), None

    def ended(self) -> None:
        """Stop the clock: the response's last byte was handed on."""
        self._end = perf_counter()
        self.complete = True

    @property
    def whole(self) -> bool:
        """Whether the response, as noted so far, is all that its headers announce; a client then waits for no more."""
        return self.status_code != 0 and self._missing() == 0

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
        if self.close():
            try:
                self._submit(self)
            except RecursionError:  # the application is that deep; what is around it finishes
                self.finished = False
                raise

    def close(self) -> bool:
        """Take no more; return whether it was open, and `submit` is to be called, in this thread or another."""
        if self.finished:
            return False
        self.finished = True
        for body in (self.request, self.response):
            if len(body.parts) > _MANY_PARTS:
                body.pack()
        if self._end is None:
            self._end = perf_counter()
        if not self.status_code and self.exception is None and not self.disconnected:
            self.status_code = 500  # what the server answers where no response began, or none got out
        return True

    def submit(self) -> None:
        """Give the closed capture to the delivery."""
        self._submit(self)

    @property
    def aborted(self) -> bool:
        """Whether the client is known not to have got the whole response; read by the worker."""
        if not self.status_code or self._started is None:  # no response began, or none got out
            return self.disconnected
        missing = self._missing()
        if self.complete:
            return bool(missing) and not self.opaque
        if self.exception is not None and not self.disconnected:
            return False
        # A server may leave a body unread that it would not send, or that it knows to be at its end.
        return missing != 0

    def _missing(self) -> int | None:
        """Return how many bytes are left of what the response's headers announce; None where they say nothing."""
        if self._bodiless():
            return 0
        declared = declared_size(self.response_headers)
        return None if declared is None else max(0, declared - self.response.size)

    def trim(self) -> None:
        """Drop of the response what goes beyond the length that it announces, which no server sends; for the worker."""
        declared = declared_size(self.response_headers)
        if declared is not None:
            self.response.trim(declared)

    def _bodiless(self) -> bool:
        """Say whether no body follows the headers (RFC 9110, sections 9.3.2, 15.3.5 and 15.4.5)."""
        return self.method == "HEAD" or self.status_code in {204, 304}

    def identify(self) -> str:
        """Return the id that the event will have."""
        if not self.event_id:
            self.event_id = new_event_id()
        return self.event_id

    def checkpoint(self, name: str, attributes: dict[str, object]) -> None:
        """Note a named moment with attributes, in milliseconds since the request began; no more than an event holds."""
        entry = (name, (perf_counter() - self._t0) * 1000.0, attributes)
        if self.checkpoints is None:
            self.checkpoints = [entry]
        elif len(self.checkpoints) < _MOST_CHECKPOINTS:
            self.checkpoints.append(entry)

    def annotate(self, properties: Mapping[str, object]) -> None:
        """Add properties to the event; a later value of a name replaces an earlier one."""
        self.custom_properties = {**(self.custom_properties or {}), **properties}

    @property
    def latency(self) -> float:
        """Seconds from the beginning to the last body byte (or to now, while it runs)."""
        return (perf_counter() if self._end is None else self._end) - self._t0

    @property
    def ttfb(self) -> float | None:
        """Seconds to the first body byte; None when there was none, or the protocol sends none."""
        return None if self._first_byte is None or self._bodiless() else self._first_byte - self._t0

    @property
    def first_response(self) -> float | None:
        """Seconds to the response's headers; None when there were none."""
        return None if self._started is None else self._started - self._t0

    @property
    def request_size(self) -> int:
        """Bytes of the request body that the application read."""
        return self.request.size

    @property
    def response_size(self) -> int | None:
        """Bytes of the response body that were handed on; of an opaque one those that its headers declare, if any."""
        if self._bodiless():
            return 0
        if self.opaque:
            return declared_size(self.response_headers)
        return self.response.size

    def request_body(self) -> bytes:
        """Return the kept beginning of the request body."""
        return self.request.kept()

    def response_body(self) -> bytes:
        """Return the kept beginning of the response body; nothing where the protocol sends none."""
        return b"" if self._bodiless() else self.response.kept()

    def response_end(self) -> tuple[bytes, bool]:
        """Return the kept end of a longer response body, and whether bytes between beginning and end are lost."""
        return (b"", False) if self._bodiless() else self.response.end()

    @property
    def weight(self) -> int:
        """Bytes that this holds on to, estimated, for the queue's bound."""
        if self._weight:
            return self._weight
        asked, answered = self.request_headers, self.response_headers
        try:
            weight = 0
            for headers in (asked, answered):
                for name, value in headers:
                    weight += len(name) + len(value)
        except (TypeError, ValueError):  # an application or a test client put what is no text among them
            weight = size_of(asked) + size_of(answered)
        weight += _BASE_WEIGHT + PAIR_WEIGHT * (len(asked) + len(answered)) + len(self.path) + len(self.query_string)
        weight += self.request.held + self.response.held
        if self.path_params:
            weight += size_of_params(self.path_params, self.path)
        for rare in (self.exception, self.custom_properties, self.checkpoints):
            if rare:
                weight += size_of(rare)
        if self.finished:
            self._weight = weight
        return weight

    def __repr__(self) -> str:
        return f"<Capture {self.method} {self.status_code} of session {self.session.session_id}>"
