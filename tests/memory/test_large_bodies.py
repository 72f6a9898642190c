"""However large a body is, recording it needs no more memory than the body limit."""

from __future__ import annotations

import sys
from itertools import islice, repeat
from typing import TYPE_CHECKING

import pytest

from otas_middleware.localbrain import LocalBrain
from servers.applications.behaviour import CHUNK, download
from servers.catalogue import combination
from servers.pair import pair_of
from servers.resources import MemoryPeak
from servers.wire import Call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from servers.catalogue import Combination
    from servers.pair import Pair
    from servers.process import Running
    from support.agent import Agent

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")

MEGABYTE = 1 << 20
SHORT, LONG = 64 * MEGABYTE, 1024 * MEGABYTE
WARM_UP = 16 * MEGABYTE
LIMIT = 5 * MEGABYTE

ADAPTERS = {
    "asgi": combination("uvicorn, httptools", "ASGI callable"),
    "wsgi": combination("gunicorn, gthread", "WSGI callable"),
    "flask": combination("gunicorn, gthread", "Flask"),
    "django, sync": combination("gunicorn, gthread", "Django (sync)"),
    "django, async": combination("uvicorn, httptools", "Django (async)"),
}

ALWAYS = {"asgi", "flask"}
PARAMETERS = [
    pytest.param(served, id=name, marks=() if name in ALWAYS else pytest.mark.slow) for name, served in ADAPTERS.items()
]


@pytest.fixture(scope="module", params=PARAMETERS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    served: Combination = request.param
    if missing := served.missing():
        pytest.skip(f"not installed: {', '.join(missing)} (dependency group `matrix`)")
    with LocalBrain() as brain, pair_of(served, brain, tmp_path_factory.mktemp("memory")) as servers:
        for server in (servers.wrapped, servers.bare):
            upload(server, servers.agent(), WARM_UP)
            fetch(server, servers.agent(), WARM_UP)
        yield servers


@pytest.mark.check("upload, memory")
@pytest.mark.parametrize("size", [SHORT, pytest.param(LONG, marks=pytest.mark.slow)], ids=["64 MB", "1 GB"])
def test_an_upload_needs_no_more_memory_than_bare(
    pair: Pair, size: int, record_property: Callable[[str, object], None]
) -> None:
    agent = pair.agent()
    growth: list[int] = []
    for server in (pair.wrapped, pair.bare):
        peak = MemoryPeak(server)
        upload(server, agent, size)
        growth.append(peak.growth())

    record_property("memory, wrapped, MB", round(growth[0] / MEGABYTE, 1))
    record_property("memory, bare, MB", round(growth[1] / MEGABYTE, 1))
    assert growth[0] < growth[1] + LIMIT
    assert pair.event(agent)["request_size_bytes"] == size


@pytest.mark.check("download, memory")
@pytest.mark.parametrize("size", [SHORT, pytest.param(LONG, marks=pytest.mark.slow)], ids=["64 MB", "1 GB"])
def test_a_download_needs_no_more_memory_than_bare(
    pair: Pair, size: int, record_property: Callable[[str, object], None]
) -> None:
    agent = pair.agent()
    growth: list[int] = []
    for server in (pair.wrapped, pair.bare):
        peak = MemoryPeak(server)
        fetch(server, agent, size)
        growth.append(peak.growth())

    record_property("memory, wrapped, MB", round(growth[0] / MEGABYTE, 1))
    record_property("memory, bare, MB", round(growth[1] / MEGABYTE, 1))
    assert growth[0] < growth[1] + LIMIT
    assert pair.event(agent)["response_size_bytes"] == size


def upload(server: Running, agent: Agent, size: int) -> None:
    piece = next(download(CHUNK))
    pieces = islice(repeat(piece), size // CHUNK)
    with Call(server.port, "POST", "/upload", [agent.header], pieces, length=size, patience=120) as call:
        assert call.reply().body.startswith(f"{size} ".encode())


def fetch(server: Running, agent: Agent, size: int) -> None:
    with Call(server.port, "GET", f"/download/{size}", [agent.header], patience=120) as call:
        assert call.drain() > size
