"""A setting that cannot be used: the server's start fails as any failed start, or the application runs unrecorded."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from servers.catalogue import Combination, combination
from servers.process import READY_SECONDS, running, start
from servers.wire import Call
from support.sink import TOKEN

if TYPE_CHECKING:
    from pathlib import Path

    from servers.process import Running

ENVIRON = {"OTAS_SDK_KEY": "otas_aaaaaaaaaaa_bbbbbbbb", "OTAS_MAX_BODY_BYTES": "-1"}
TEXT = "OTAS_MAX_BODY_BYTES cannot be used: Input should be greater than or equal to 0"


def with_options(server: str, *options: str) -> Combination:
    """Return a server that runs Starlette, which makes middlewares with the first message, with more options."""
    found = combination(server, "Starlette")
    name = " ".join([found.server.name, *options])
    return replace(found, server=replace(found.server, name=name, arguments=(*found.server.arguments, *options)))


WITH_LIFESPAN = [
    pytest.param(with_options("uvicorn, httptools"), id="uvicorn"),
    *(
        pytest.param(each, id=each.server.name, marks=pytest.mark.slow)
        for each in (
            with_options("uvicorn, h11", "--workers", "2"),
            with_options("hypercorn, asyncio"),
            with_options("hypercorn, trio"),
            with_options("granian, ASGI"),
            with_options("gunicorn, uvicorn worker"),
        )
    ),
]
WITHOUT_LIFESPAN = [
    pytest.param(with_options("uvicorn, httptools", "--lifespan", "off"), id="uvicorn --lifespan off"),
    pytest.param(with_options("daphne"), id="daphne", marks=pytest.mark.slow),
]


@pytest.mark.check("start")
@pytest.mark.parametrize("served", WITH_LIFESPAN)
def test_the_start_fails_and_the_server_says_why(served: Combination, tmp_path: Path) -> None:
    skip_if_missing(served)
    with start(served.server, served.application, tmp_path, ENVIRON) as server:
        wait_for_failure(server)
        # More than our own line: the server's, with the text that the lifespan answered.
        assert server.log().count(TEXT) >= 2


@pytest.mark.check("start")
@pytest.mark.parametrize("served", WITHOUT_LIFESPAN)
def test_without_a_lifespan_the_application_runs_unrecorded(served: Combination, tmp_path: Path) -> None:
    skip_if_missing(served)
    with running(served.server, served.application, tmp_path, ENVIRON) as server:
        for _ in range(2):
            with Call(server.port, "POST", "/echo", [TOKEN], [b"hello"], length=5) as call:
                reply = call.reply()
                assert (reply.status, reply.body) == (200, b"hello")
        assert server.log().count(TEXT) == 1


def wait_for_failure(server: Running) -> None:
    """Wait until the server has ended, or with several workers until it has said that the start failed."""
    deadline = time.monotonic() + READY_SECONDS
    while server.alive and "startup failed. Exiting" not in server.log():
        assert time.monotonic() < deadline, server.log()
        time.sleep(0.02)


def skip_if_missing(served: Combination) -> None:
    """Skip the test when its server or framework is not installed."""
    if missing := served.missing():
        pytest.skip(f"not installed: {', '.join(missing)} (dependency group `matrix`)")
