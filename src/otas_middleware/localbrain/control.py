"""Endpoints of this Brain's own, under `/_local/`: what its state is, and misbehaviour for tests in other processes.

The server listens on loopback only, but a web page in a browser on this machine can post to it. It cannot send JSON
across origins without asking first, which is never granted; and a request that names an origin is refused.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from otas_middleware.localbrain.faults import Mode
from otas_middleware.localbrain.pages import DjangoJSON, RefusedError

if TYPE_CHECKING:
    from starlette.responses import Response

    from otas_middleware.localbrain.faults import Faults
    from otas_middleware.localbrain.incoming import Incoming
    from otas_middleware.localbrain.store import Store

Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class FaultOrder(BaseModel):
    """The body of `POST /_local/faults`: a mode, or one or more of the settings."""

    model_config = ConfigDict(extra="forbid")

    mode: Mode | Literal["down"] | None = None
    services: tuple[Literal["brain", "uasam", "agnost"], ...] = ("brain",)
    rate: Share = 1.0
    seconds: Seconds | None = None
    times: Annotated[int, Field(ge=1)] | None = None
    slow_ms: Annotated[float, Field(ge=0, le=600_000)] | None = None
    fail_rate: Share | None = None
    down_after: Annotated[int, Field(ge=1)] | None = None


class Control:
    """Handles the endpoints."""

    def __init__(self, store: Store, faults: Faults) -> None:
        self._store = store
        self._faults = faults

    async def state(self, incoming: Incoming) -> Response:  # noqa: ARG002  # a handler's form
        """`GET /_local/state`: how much is stored, and how it misbehaves."""
        return self._state()

    async def events(self, incoming: Incoming) -> Response:
        """`GET /_local/events?session_id=&after=&limit=`: stored events, of one session or all, by order of arrival.

        `after` is the `id` of the last event that the caller has; without a `limit` there are at most 1,000.
        """
        try:
            after, limit = (
                int(incoming.parameter(name) or default) for name, default in (("after", 0), ("limit", 1000))
            )
        except ValueError:
            raise RefusedError(DjangoJSON({"error": "after and limit must be integers"}, 400)) from None
        session_id = incoming.parameter("session_id")
        found = await asyncio.to_thread(self._store.events, session_id, after=after, limit=limit)
        return DjangoJSON({"events": found})

    async def agnost(self, incoming: Incoming) -> Response:  # noqa: ARG002  # a handler's form
        """`GET /_local/agnost`: what Agnost's two endpoints took."""
        sessions, events = await asyncio.to_thread(lambda: (self._store.agnost_sessions(), self._store.agnost_events()))
        return DjangoJSON({"sessions": sessions, "events": events})

    async def inject(self, incoming: Incoming) -> Response:
        """`POST /_local/faults`: misbehave (see `FaultOrder`)."""
        _refuse_browsers(incoming)
        try:
            order = FaultOrder.model_validate_json(incoming.body)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise RefusedError(DjangoJSON({"error": wrong}, 400)) from None
        if order.mode == "down":
            if order.seconds is None:
                raise RefusedError(DjangoJSON({"error": "down needs seconds: nobody could end it from outside"}, 400))
            self._faults.down(order.seconds)
        elif order.mode is not None:
            self._faults.inject(order.mode, *order.services, rate=order.rate, seconds=order.seconds, times=order.times)
        if order.slow_ms is not None:
            self._faults.slow_ms = order.slow_ms
        if order.fail_rate is not None:
            self._faults.fail_rate = order.fail_rate
        if order.down_after is not None:
            self._faults.down_after(order.down_after)
        return self._state()

    async def clear(self, incoming: Incoming) -> Response:
        """`POST /_local/faults/clear`: behave again."""
        _refuse_browsers(incoming)
        self._faults.clear()
        return self._state()

    def _state(self) -> Response:
        counts = {
            table: self._store.read(f"SELECT count(*) AS n FROM {table}")[0]["n"]  # noqa: S608  # the names below
            for table in ("event", "session", "agnost_session", "agnost_event")
        }
        active = [{"mode": fault.mode, "services": fault.services} for fault in self._faults.active()]
        return DjangoJSON(
            {
                "stored": counts,
                "slow_ms": self._faults.slow_ms,
                "fail_rate": self._faults.fail_rate,
                "faults": active,
            }
        )


def _refuse_browsers(incoming: Incoming) -> None:
    if incoming.header(b"origin") or incoming.header(b"content-type") != "application/json":
        raise RefusedError(DjangoJSON({"error": "send Content-Type: application/json and no Origin"}, 403))
