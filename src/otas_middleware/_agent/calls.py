"""What an agent did, on its way to the worker: calls outside the domain, and what was described and not observed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otas_middleware._capture import Capture
from otas_middleware._capture.body import TAIL_BYTES, BoundedBody
from otas_middleware._errors import report_internal_error, swallowing
from otas_middleware._runtime import this_process

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._capture import Headers
    from otas_middleware._capture.body import Chunk
    from otas_middleware._capture.session import SessionInfo
    from otas_middleware._event import BackendEvent
    from otas_middleware._event.render.coding import DecodedEnd
    from otas_middleware._outbound import OutgoingRequest


CODED_BYTES = 1_048_576
"""How many bytes of a compressed answer are kept; one that is longer is decoded as it comes."""
_BASE_WEIGHT = 4096


class Call(Capture):
    """A request outside; fed by the instrumented HTTP libraries, in the midst of what the agent's code called.

    So nothing that is noted here raises: what fails is counted (see `report_internal_error`).

    It keeps the end of an answer too when that is longer than what is recorded: there, models say what they used. The
    end of a compressed answer takes decoding it all: in the worker, and for a very long one as it comes.

    Args:
        submit: Takes the finished call.
        session: The session, or `NO_SESSION`.
        outgoing: The request.
        parent_id: The event of the tool in which the call was made.
        limit: Bytes of each body to keep.
        with_traceback: Whether exceptions bring their tracebacks.
    """

    __slots__ = ("_limit", "coded_end", "outgoing", "process")

    def __init__(
        self,
        submit: Callable[[Capture], None],
        session: SessionInfo,
        outgoing: OutgoingRequest,
        parent_id: str | None,
        *,
        limit: int,
        with_traceback: bool,
    ) -> None:
        super().__init__(submit, session, limit=limit, with_traceback=with_traceback)
        self._limit = limit
        self.outgoing = outgoing
        self.parent_id = parent_id
        self.process = this_process()
        """The process whose call it is; a forked child has a copy, and is not to hand it in."""
        self.coded_end: DecodedEnd | None = None
        """Decodes the end of an answer in a content coding of which more came than is kept."""
        self.framework = outgoing.library
        self.method = outgoing.method
        self.request_headers = outgoing.headers

    @swallowing("agent.started")
    def started(self, status_code: int, headers: Headers, reason: str | None = None) -> None:
        """Note status and headers of the answer; of a compressed one more is kept, as its end needs all of it."""
        super().started(status_code, headers, reason)
        if self.coding and self._limit and not self.response.size:
            self.response = BoundedBody(max(self._limit, CODED_BYTES), TAIL_BYTES)

    @property
    def coding(self) -> str:
        """The answer's content coding; empty when it has none, or the HTTP library has undone it."""
        for name, value in self.response_headers:
            text = name.decode("latin-1") if isinstance(name, bytes) else name
            if text.lower() == "content-encoding":
                return value.decode("latin-1") if isinstance(value, bytes) else value
        return ""

    def sent(self, chunk: Chunk) -> None:
        """Note a piece of the answer that the agent has consumed."""
        try:
            if not self.response.whole or (self.coded_end is None and self.response.left < len(chunk)):
                self._decode(chunk)
            super().sent(chunk)
        except Exception:
            report_internal_error("agent.sent")

    def _decode(self, chunk: Chunk) -> None:
        """Decode a long answer's end as it comes: later it could not be, without all that came before it."""
        if self.coded_end is None:
            coding = self.coding
            if not coding:
                return
            from otas_middleware._event.render.coding import DecodedEnd  # noqa: PLC0415  # for a few answers

            self.coded_end = DecodedEnd(coding, TAIL_BYTES)
            self.coded_end.add(self.response.kept())
        self.coded_end.add(chunk.encode() if isinstance(chunk, str) else bytes(chunk))

    def cut_off(self) -> None:
        """Finish it as far as it has come: the process ends."""
        if not self.status_code:
            self.disconnected = True
        self.finish()

    @swallowing("agent.failed")
    def failed(self, error: BaseException) -> None:
        """Note the exception that the call ended with; a cancellation is the caller's own leaving."""
        if not isinstance(error, Exception):
            self.disconnected = True
        super().failed(error)

    @swallowing("agent.ended")
    def ended(self) -> None:
        """Note that the answer has come whole."""
        super().ended()

    @swallowing("agent.finish")
    def finish(self) -> None:
        """Hand the call to the queue, exactly once."""
        super().finish()

    @property
    def weight(self) -> int:
        """An estimate of the bytes held, for the queue's bound."""
        return _BASE_WEIGHT + self.request.held + self.response.held


@dataclass(slots=True)
class Note:
    """A described event on its way to the worker.

    Attributes:
        event: As described; its `metadata` is completed in the worker.
        event_id: Its id, made when it began.
        session: The session, or `NO_SESSION`.
        parent_id: The event of the tool in which it happened.
        captured_at: When it began, in Unix seconds.
    """

    event: BackendEvent
    event_id: str
    session: SessionInfo
    parent_id: str | None
    captured_at: float

    @property
    def weight(self) -> int:
        """An estimate of the bytes held, for the queue's bound."""
        return _BASE_WEIGHT + len(self.event.request_body) + len(self.event.response_body)


Item = Call | Note
"""Something that the agent did, waiting to become an event."""
