"""Delivery into memory: what recorders get instead of the background pipeline while a test looks on."""

from __future__ import annotations

import gc
import threading
from typing import TYPE_CHECKING, Any, cast

from otas_middleware._capture import Capture
from otas_middleware._event import Parcel

if TYPE_CHECKING:
    from otas_middleware._delivery import Weighted
    from otas_middleware._recorder import Recorder


class Memory:
    """What all recorders of the process have recorded since it was made.

    A capture is built into its event when a test looks, in the test's own thread: the request path does what it does
    in production, and an exception of the build step arrives where it can be read.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._begun: list[Capture] = []
        self._finished: list[tuple[Recorder, Capture] | Parcel] = []
        self._parcels: list[Parcel] = []
        self._building = threading.Lock()
        self.taken = 0
        """How many captures and events came in."""
        self.withheld = 0
        """How many captures the build step left out: by a pattern of `ignore_paths`, or as `before_send` said."""

    def begin(self, *arguments: Any, **options: Any) -> Capture:
        """Make a capture (see `Capture`) and remember it until it is finished."""
        capture = Capture(*arguments, **options)
        with self._changed:
            self._begun.append(capture)
        return capture

    def take(self, item: tuple[Recorder, Capture] | Parcel) -> None:
        """Keep a finished capture or event."""
        with self._changed:
            self._finished.append(item)
            self.taken += 1
            self._changed.notify_all()

    def parcels(self) -> list[Parcel]:
        """Return the events of everything that has finished, in the order in which it did."""
        if self.unfinished():
            self._finish_abandoned()
        with self._building:
            while self._finished:
                item = self._finished.pop(0)
                parcel = item if isinstance(item, Parcel) else item[0].build(item[1], item[0].settings)
                if parcel is None:
                    self.withheld += 1
                else:
                    self._parcels.append(parcel)
            return list(self._parcels)

    def unfinished(self) -> int:
        """Return how many requests have begun and are not over."""
        with self._changed:
            self._begun = [capture for capture in self._begun if not capture.finished]
            return len(self._begun)

    def _finish_abandoned(self) -> None:
        """Do what a server would have done: test clients leave responses unclosed, and unread if nobody looks."""
        with self._changed:
            begun = list(self._begun)
        for capture in begun:
            if _whole(capture):
                capture.ended()
                capture.finish()
        if self.unfinished():
            gc.collect()  # a response that was thrown away may wait for this to be closed

    def wait(self, count: int, timeout: float) -> bool:
        """Wait until so many captures have finished; return whether they have."""
        with self._changed:
            return self._changed.wait_for(lambda: self.taken >= count, timeout)

    def clear(self) -> None:
        """Forget everything."""
        with self._building, self._changed:
            self._begun.clear()
            self._finished.clear()
            self._parcels.clear()
            self.taken = self.withheld = 0


class MemoryDelivery:
    """One recorder's way into a memory."""

    def __init__(self, recorder: Recorder, memory: Memory) -> None:
        self._recorder = recorder
        self._memory = memory
        self._taken = 0
        recorder.new_capture = memory.begin

    def put(self, item: Weighted, /) -> None:
        """Take a finished capture."""
        self._taken += 1
        self._memory.take((self._recorder, cast("Capture", item)))

    def put_parcel(self, parcel: Parcel, /) -> None:
        """Take a finished event."""
        self._taken += 1
        self._memory.take(parcel)

    def flush(self, _timeout: float, /) -> bool:
        """Say that nothing is waiting."""
        return True

    def stats(self) -> dict[str, Any]:
        """Return counters as the pipeline does, everything being delivered at once."""
        return {"captured": self._taken, "delivered": self._taken, "queued": 0, "dropped": {}}


def _whole(capture: Capture) -> bool:
    """Say whether as much of the response was taken as its headers announce."""
    sizes = [
        int(value)
        for name, value in capture.response_headers
        if value.isdigit() and name.lower() in {"content-length", b"content-length"}
    ]
    return sizes == [capture.response.size]
