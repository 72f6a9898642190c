"""A stream on which nothing happens costs nothing, and its client's leaving is noticed at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from otas_middleware.localbrain import LocalBrain
from servers.applications.behaviour import FIRST
from servers.catalogue import combination
from servers.pair import fresh_name, pair_of
from servers.resources import cpu_seconds
from servers.wire import Call

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from servers.catalogue import Combination

SECONDS = 2.0
NOISE = 0.05

STREAMING = [
    pytest.param(combination("uvicorn, httptools", "Starlette"), id="Starlette"),
    pytest.param(combination("uvicorn, httptools", "ASGI callable"), id="ASGI callable", marks=pytest.mark.slow),
    pytest.param(combination("uvicorn, h11", "Django (async)"), id="Django", marks=pytest.mark.slow),
    pytest.param(combination("hypercorn, asyncio", "Starlette"), id="hypercorn", marks=pytest.mark.slow),
    pytest.param(combination("granian, ASGI", "Starlette"), id="granian", marks=pytest.mark.slow),
    pytest.param(combination("daphne", "Django (async)"), id="daphne", marks=pytest.mark.slow),
]


@pytest.mark.check("quiet stream")
@pytest.mark.parametrize("served", STREAMING)
def test_an_endless_stream_uses_no_processor_time_and_its_end_is_noticed(
    served: Combination, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    if missing := served.missing():
        pytest.skip(f"not installed: {', '.join(missing)} (dependency group `matrix`)")
    with LocalBrain() as brain, pair_of(served, brain, tmp_path) as pair:
        pair.both("POST", "/echo", earlier := pair.agent(), [b"so that delivery has begun"])
        pair.event(earlier)
        used: list[float] = []
        agent = pair.agent()
        for server in (pair.wrapped, pair.bare):
            name = fresh_name()
            with Call(server.port, "GET", f"/quiet/{name}", [agent.header]) as call:
                call.until(FIRST)
                time.sleep(0.2)
                before = cpu_seconds(server)
                time.sleep(SECONDS)
                used.append(cpu_seconds(server) - before)
            assert server.saw_close_of(name, timeout=2.0)
        event = pair.event(agent)

    record_property("idle stream, wrapped, % of a core", round(100 * used[0] / SECONDS, 1))
    record_property("idle stream, bare, % of a core", round(100 * used[1] / SECONDS, 1))
    assert used[0] <= used[1] + NOISE
    assert event["metadata"]["aborted"] is True
    # An event stream that answers a GET is long-lived: its latency is the time to its first byte.
    lived: float = event["metadata"].get("stream", {}).get("duration_ms", event["latency_ms"])
    assert lived >= SECONDS * 1000
