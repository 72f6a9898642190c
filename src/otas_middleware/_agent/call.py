"""One call of the agent to a host outside the domain, and its answer as far as it was consumed."""

from __future__ import annotations

from os import getpid
from time import perf_counter
from typing import TYPE_CHECKING

from otas_middleware._capture.capture import Capture

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._capture.body import Chunk
    from otas_middleware._capture.session import SessionInfo
    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._event.model import Envelope
    from otas_middleware._outbound.policy import OutgoingRequest

TAIL_BYTES = 16_384
_BASE_WEIGHT = 4096


class Call(Capture):
    """A request outside; fed by the taps of the HTTP libraries.

    It keeps the end of an answer too when that is longer than what is recorded: there, models say what they used.

    Args:
        submit: Takes the finished call.
        session: The session, or `NO_SESSION`.
        outgoing: The request.
        parent_id: The event of the tool in which the call was made.
        limit: Bytes of each body to keep.
        with_traceback: Whether exceptions bring their tracebacks.
    """

    __slots__ = ("_limit", "outgoing", "pid", "tail")

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
        self.pid = getpid()
        """The process whose call it is; a forked child has a copy, and is not to hand it in."""
        self.tail = bytearray()
        self.framework = outgoing.library
        self.method = outgoing.method
        self.request_headers = outgoing.headers

    def sent(self, chunk: Chunk) -> None:
        """Note a piece of the answer that the agent has consumed."""
        if self._first_byte is None and chunk:
            self._first_byte = perf_counter()
        self.response.add(chunk)
        if self.response.size > self._limit:
            tail = self.tail
            tail += chunk.encode() if isinstance(chunk, str) else chunk
            if len(tail) > 4 * TAIL_BYTES:
                del tail[:-TAIL_BYTES]

    def cut_off(self) -> None:
        """Finish it as far as it has come: the process ends."""
        if not self.status_code:
            self.disconnected = True
        self.finish()

    def failed(self, error: BaseException) -> None:
        """Note the exception that the call ended with; a cancellation is the caller's own leaving."""
        if not isinstance(error, Exception):
            self.disconnected = True
        super().failed(error)

    @property
    def weight(self) -> int:
        """An estimate of the bytes held, for the queue's bound."""
        return _BASE_WEIGHT + self.request.held + self.response.held + len(self.tail)

    def envelope(self, settings: OtasSettings) -> Envelope | None:
        """Make the event of this call, in the worker."""
        from otas_middleware._agent.call_event import call_parcel  # noqa: PLC0415  # heavy, in the worker only

        return call_parcel(self, settings)
