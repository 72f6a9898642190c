"""All hosts with the same settings, and the one pipeline that delivers for them."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from otas_middleware._delivery.pipeline import Pipeline
from otas_middleware._delivery.relay import packets
from otas_middleware._delivery.relay.connection import Connection, Waiting
from otas_middleware._delivery.relay.frames import decode_event, decode_request, event_id, source_of, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._capture.capture import Capture
    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._event.model import Envelope

    BuildCapture = Callable[[Capture, OtasSettings], Envelope | None]
    OnToken = Callable[[str, str], None]
    MakeBuild = Callable[[OtasSettings, OnToken], BuildCapture]
    """Makes what builds events of captures with these settings; it is given who is told of tokens."""

_SLACK = 1024
"""Events that one packet may bring beyond the bound."""

_SMALL = 80
"""Bounds below this have no room for a packet of many events between them and twice of them."""

_MOST_TOKENS = 1024

_ENDING_SHARE = 0.6
"""Of the time that an ending host waits, what delivery gets before the rest goes to disk."""


class Tenant:
    """Delivers what hosts with these settings hand over.

    Args:
        settings: As the first of them said.
        make_build: See `MakeBuild`.
        wake: Called when something has been settled, in any thread.
        trusting: The hosts have checked the signature of each token.
    """

    def __init__(
        self, settings: OtasSettings, make_build: MakeBuild, wake: Callable[[], None], *, trusting: bool = False
    ) -> None:
        self.connections: set[Connection] = set()
        self.settings = settings
        self.waiting = 0
        """How many events are not settled."""
        self.waiting_bytes = 0
        self._lock = threading.Lock()
        self._wake = wake
        self._tokens: list[tuple[str, str]] = []
        self._build_capture = make_build(settings, self._found_out)
        # The relay stops reading at the hosts' own bounds, so that its pipeline must never push out an event. With a
        # disk queue that begins to write beyond half of its bounds: just where reading would stop.
        most = settings.queue_max_events
        writes = settings.spool_dir is not None and most > _SMALL
        wide = settings.replace(
            queue_max_events=2 * most - 2 if writes else 2 * most + _SLACK, queue_max_bytes=2 * settings.queue_max_bytes
        )
        self.pipeline = Pipeline(wide, self._build, lambda token: self._found_out("rejected", token), trusting=trusting)
        self._texts: dict[bytes, str] = {}

    def put(self, frame: memoryview, connection: Connection) -> None:
        """Take a frame of a host's in."""
        parts = packets.read(frame)
        waiting = Waiting(bytes(frame), connection, parts.number, self._token(parts.token))
        with self._lock:
            self.waiting += 1
            self.waiting_bytes += waiting.weight
        self.pipeline.put(waiting, source_of(parts))

    def _token(self, octets: memoryview) -> str:
        """Return a token's text, the same object for all events of a session."""
        key = bytes(octets)
        found = self._texts.get(key)
        if found is None:
            if len(self._texts) >= _MOST_TOKENS:
                self._texts.clear()
            found = self._texts[key] = text(octets)
        return found

    def _build(self, waiting: Any, settings: OtasSettings) -> Envelope | None:
        """Make the event of a frame, in the worker."""
        frame = packets.read(waiting.frame)
        if frame.kind == packets.EVENT:
            return decode_event(frame)
        capture = decode_request(frame)
        if not capture.event_id:
            capture.event_id = event_id(waiting.secret, frame.number)
        return self._build_capture(capture, settings)

    def settled(self, weight: int) -> None:
        """Take note that one event is settled. Called in any thread."""
        with self._lock:
            self.waiting -= 1
            self.waiting_bytes -= weight
        self._wake()

    @property
    def room(self) -> int:
        """How many more events may be read now."""
        if self.waiting_bytes >= self.settings.queue_max_bytes:
            return 0
        return max(0, self.settings.queue_max_events - self.waiting)

    def _found_out(self, verdict: str, token: str) -> None:
        self._tokens.append((verdict, token))
        self._wake()

    def report(self, *, ended: bool = False) -> bool:
        """Tell the hosts what there is to tell; return whether there was anything."""
        tokens, self._tokens = self._tokens, []
        for told in tokens:
            for connection in self.connections:
                connection.tell(packets.TOKEN, told)
        found = [connection.report(ended=ended) for connection in self.connections]
        return any(found) or bool(tokens)

    def flush(self, seconds: float, *, ending: bool) -> None:
        """Deliver now, in a thread, because a host waits so long; if that ends, write to disk what is left by then."""
        threading.Thread(target=self._flush, args=(seconds, ending), name="otas-relay-flush", daemon=True).start()

    def _flush(self, seconds: float, ending: bool) -> None:  # noqa: FBT001  # a thread's argument
        on_disk = ending and self.settings.spool_dir is not None
        deadline = time.monotonic() + seconds
        done = self.pipeline.flush(seconds * _ENDING_SHARE if on_disk else seconds)
        if on_disk and not done:
            self.pipeline.close(max(0.1, 0.8 * (deadline - time.monotonic())))

    def stats(self) -> dict[str, Any]:
        """Return where it sends, for whom, and the pipeline's counters."""
        return {
            "brain_url": self.settings.brain_url,
            "hosts": sorted({connection.pid for connection in self.connections}),
            "sockets": len(self.connections),
            "waiting": self.waiting,
            "waiting_bytes": self.waiting_bytes,
            **self.pipeline.stats(),
        }
