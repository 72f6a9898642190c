"""Misbehaviour on request: what a test or `otas-middleware brain --slow/--fail/--down-after` makes the Brain do."""

from __future__ import annotations

import enum
import random
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Callable

Service = Literal["brain", "uasam", "agnost"]
SERVICES: tuple[Service, ...] = ("brain", "uasam", "agnost")


class Mode(enum.StrEnum):
    """A way to misbehave. Requests to the analytics and control endpoints are never affected."""

    HANG = "hang"
    """Answer nothing until the fault ends; the request is then handled, so an event may be stored late."""
    RESET = "reset"
    """Reset the connection; nothing is stored."""
    RESET_AFTER = "reset-after"
    """Handle the request, so that the event is stored, and reset the connection instead of answering."""
    CAPTURE_FAILED = "capture-failed"
    """`500 event_capture_failed`, as while Brain's database refuses; nothing is stored."""
    OUTAGE = "outage"
    """As while UASAM or its database is down: every key is refused, an SDK key with `401 invalid_sdk_key`."""
    BUSY = "busy"
    """`503` with an HTML page and `Retry-After: 1`, as from a proxy; nothing is stored."""
    PAGE = "page"
    """`500` with a debug page that holds the request's key and token; nothing is stored."""
    GARBAGE = "garbage"
    """Bytes that are not HTTP; nothing is stored."""
    TRUNCATED = "truncated"
    """The head of a success and the beginning of its body, then the end of the connection; nothing is stored."""


@dataclass(eq=False)
class Fault:
    """One injected fault; as a context manager it lasts as long as the block."""

    mode: Mode
    services: tuple[Service, ...]
    rate: float
    ends_at: float | None
    times: int | None
    lifted: bool = field(default=False, init=False)

    @property
    def is_active(self) -> bool:
        """Whether it still strikes: not lifted, not past its time, not used up."""
        return not self.lifted and self.is_within_time and self.times != 0

    @property
    def is_within_time(self) -> bool:
        """Whether its time is not over (a hanging request waits for this)."""
        return not self.lifted and (self.ends_at is None or time.monotonic() < self.ends_at)

    def lift(self) -> None:
        """End it now; hanging requests go on."""
        self.lifted = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.lift()


class Faults:
    """The faults of one Brain; may be changed from any thread while it runs.

    Args:
        slow_ms: How long each event waits before it is handled, in milliseconds (also settable later).
        fail_rate: The share of events that are answered `500 event_capture_failed`, from 0 to 1 (also settable later).
        down_after: After how many stored events the Brain goes down; None is never.
    """

    def __init__(self, *, slow_ms: float = 0.0, fail_rate: float = 0.0, down_after: int | None = None) -> None:
        self.slow_ms = slow_ms
        self.fail_rate = fail_rate
        self._events_left = down_after
        self._faults: list[Fault] = []
        self._random = random.Random()  # noqa: S311  # chooses which test requests fail
        self._lock = threading.Lock()
        self._down_until: float | None = None
        self._wake: Callable[[], None] = lambda: None

    def inject(
        self,
        mode: Mode | str,
        *services: Service,
        rate: float = 1.0,
        seconds: float | None = None,
        times: int | None = None,
    ) -> Fault:
        """Misbehave from now on.

        Args:
            mode: How (see `Mode`).
            *services: Where: `brain` (both log endpoints; also when none is named), `uasam`, `agnost`.
            rate: The share of requests that it strikes, from 0 to 1.
            seconds: For how long; without end when left out.
            times: How many requests it strikes; without limit when left out.

        Returns:
            The fault, to lift it, or to use it as a context manager.
        """
        ends_at = None if seconds is None else time.monotonic() + seconds
        fault = Fault(Mode(mode), services or ("brain",), rate, ends_at, times)
        with self._lock:
            self._faults = [other for other in self._faults if other.is_active]
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """End all misbehaviour: lift the faults, and reset `slow_ms`, `fail_rate` and `down_after`. Ends `down` too."""
        with self._lock:
            for fault in self._faults:
                fault.lift()
            self._faults = []
        self.slow_ms, self.fail_rate = 0.0, 0.0
        self.down_after(None)
        self.up()

    def down_after(self, events: int | None) -> None:
        """Go down after some more events.

        Args:
            events: How many are to be stored and answered before; None is never.
        """
        with self._lock:
            self._events_left = events

    def admit_event(self) -> bool:
        """Count an event that is about to be stored; False when the Brain is to be down by now."""
        with self._lock:
            if self._events_left is None:
                return True
            if self._events_left <= 0:
                return False
            self._events_left -= 1
            return True

    def after_event(self) -> None:
        """Go down if the last event that `down_after` allows has been answered."""
        if self._events_left == 0:
            self.down()

    def down(self, seconds: float | None = None) -> None:
        """Go down as a killed Brain does: connections break, requests in flight are lost, new ones are refused.

        It returns once that is so, as `up` does, except where the Brain's own thread calls it.

        Args:
            seconds: For how long; until `up` when left out.
        """
        self._down_until = float("inf") if seconds is None else time.monotonic() + seconds
        self._wake()

    def up(self) -> None:
        """Accept connections again, on the same port."""
        self._down_until = None
        self._wake()

    @property
    def seconds_down(self) -> float:
        """How long it is still to stay down: 0 while it is up, infinite until `up`."""
        until = self._down_until
        return 0.0 if until is None else max(0.0, until - time.monotonic())

    def on_change(self, wake: Callable[[], None]) -> None:
        """Tell somebody of each call of `down` and `up`.

        Args:
            wake: Called afterwards, in whatever thread that is.
        """
        self._wake = wake

    def next(self, service: Service) -> Fault | None:
        """Return the fault that strikes a request, or None; counts it against the fault's `times`.

        Args:
            service: The service that the request is for.
        """
        with self._lock:
            for fault in self._faults:
                if service in fault.services and fault.is_active and self._random.random() < fault.rate:
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None

    def fails(self) -> bool:
        """Draw from `fail_rate`."""
        return self.fail_rate > 0 and self._random.random() < self.fail_rate

    def active(self) -> list[Fault]:
        """Return the faults that still strike."""
        with self._lock:
            return [fault for fault in self._faults if fault.is_active]
