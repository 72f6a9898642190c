"""Part "agent": what the agent's side adds to a call over plain httpx or aiohttp, inside the domain and outside it.

The calls of httpx go to a transport in this process that answers at once, so that nothing but the client's own work is
in the figures; aiohttp has nothing of the kind, and calls a server of another thread. Plain and instrumented clients
take turns in short rounds. CPU time is the calling thread's; events go to a Brain that is not there, so that delivery
does not compete.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socketserver
import threading
import time
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import httpx2

from benchmarks.report import table, with_quartiles
from benchmarks.rounds import summary
from otas_middleware._capture.session import SessionInfo
from otas_middleware.agent import AgentSession

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

INSIDE = "https://api.example.com"
OUTSIDE = "https://api.openai.example"
CALLS = 20
WARM_UP = 50
BODY = {"model": "m-1", "messages": [{"role": "user", "content": "x" * 900}]}
ANSWER = json.dumps(
    {"model": "m-1", "choices": ["y" * 1900], "usage": {"input_tokens": 9, "output_tokens": 9}}
).encode()
HEADERS = [(b"Content-Type", b"application/json"), (b"Content-Length", str(len(ANSWER)).encode())]


class Body(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """An answer in four pieces."""

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(ANSWER), 500):
            yield ANSWER[start : start + 500]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(ANSWER), 500):
            yield ANSWER[start : start + 500]


class Network(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """Answers at once."""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers=HEADERS, stream=Body())

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers=HEADERS, stream=Body())


def synchronously(client: httpx2.Client, url: str, calls: int) -> float:
    """Return the CPU seconds of one call."""
    began = time.thread_time()
    for _ in range(calls):
        client.post(url, json=BODY)
    return (time.thread_time() - began) / calls


def asynchronously(client: httpx2.AsyncClient, url: str, calls: int) -> float:
    """Return the CPU seconds of one call."""

    async def run() -> float:
        began = time.thread_time()
        for _ in range(calls):
            await client.post(url, json=BODY)
        return (time.thread_time() - began) / calls

    return asyncio.run(run())


class Answering(socketserver.StreamRequestHandler):
    """Answers every request on a connection at once."""

    disable_nagle_algorithm = True

    def handle(self) -> None:
        head = b"HTTP/1.1 200 OK\r\n" + b"".join(b"%s: %s\r\n" % header for header in HEADERS) + b"\r\n"
        while self.rfile.readline():
            length = 0
            while (line := self.rfile.readline()) not in {b"\r\n", b""}:
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            self.rfile.read(length)
            self.wfile.write(head + ANSWER)


def by_aiohttp(rounds: int) -> dict[str, tuple[list[float], list[float]]]:
    """Return the CPU seconds of plain calls and of ours by aiohttp; empty where it is not installed."""
    if find_spec("aiohttp") is None:
        return {}
    aiohttp: Any = import_module("aiohttp")

    async def run(client: Any, url: str, calls: int) -> float:
        began = time.thread_time()
        for _ in range(calls):
            async with client.post(url, json=BODY) as response:
                await response.read()
        return (time.thread_time() - began) / calls

    async def measure(port: int) -> dict[str, tuple[list[float], list[float]]]:
        found: dict[str, tuple[list[float], list[float]]] = {}
        agent = session(f"http://127.0.0.1:{port}")
        async with aiohttp.ClientSession() as plain, agent.aiohttp_session() as ours:
            for place, host in (("inside", "127.0.0.1"), ("outside", "localhost")):
                url = f"http://{host}:{port}/orders"
                await run(plain, url, WARM_UP)
                await run(ours, url, WARM_UP)
                figures = [(await run(plain, url, CALLS), await run(ours, url, CALLS)) for _ in range(rounds)]
                found[place] = [bare for bare, _ in figures], [with_us for _, with_us in figures]
        return found

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answering) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            return asyncio.run(measure(server.server_address[1]))
        finally:
            server.shutdown()


def session(*domain: str) -> AgentSession:
    """Return a session that need not be asked for."""
    agent = AgentSession(
        domain,
        agent_key="agent_abcdefghijk_" + "0" * 43,
        brain_url="http://127.0.0.1:1",
        uasam_url="http://127.0.0.1:1",
    )
    token = "e30." + "x" * 180 + ".s"
    made = SessionInfo(
        agent_id="agent",
        session_id="session",
        verified=False,
        fingerprint="0" * 16,
        issued_at=None,
        expires_at=None,
        token=token,
    )
    agent._core.manager._of_this_process().take(made)
    return agent


def measure(rounds: int) -> dict[str, Any]:
    """Measure calls of both kinds of client to both kinds of place.

    Returns:
        Call → CPU microseconds of a plain call, and what is added to it, with quartiles.
    """
    logging.getLogger("otas_middleware").setLevel(logging.CRITICAL)  # that Brain is away is no news
    agent = session(INSIDE)
    clients: list[tuple[str, Callable[..., float], Any, Any]] = [
        ("sync", synchronously, httpx2.Client(transport=Network()), httpx2.Client(transport=Network())),
        ("async", asynchronously, httpx2.AsyncClient(transport=Network()), httpx2.AsyncClient(transport=Network())),
    ]
    found: dict[str, Any] = {}
    for kind, run, plain, ours in clients:
        agent.instrument(ours)
        for place, url in (("inside", INSIDE + "/orders"), ("outside", OUTSIDE + "/v1/chat")):
            run(plain, url, WARM_UP)
            run(ours, url, WARM_UP)
            figures = [(run(plain, url, CALLS), run(ours, url, CALLS)) for _ in range(rounds)]
            found[f"{place} the domain, {kind}"] = {
                "plain": summary([bare * 1e6 for bare, _ in figures]),
                "added": summary([(with_us - bare) * 1e6 for bare, with_us in figures]),
            }
    for place, (bare_times, our_times) in by_aiohttp(rounds).items():
        found[f"{place} the domain, aiohttp"] = {
            "plain": summary([bare * 1e6 for bare in bare_times]),
            "added": summary([(ours - bare) * 1e6 for bare, ours in zip(bare_times, our_times, strict=True)]),
        }
    return found


def show(found: dict[str, Any]) -> None:
    """Print the table."""
    rows = [
        [call, *(with_quartiles(figures[column]) for column in ("plain", "added"))] for call, figures in found.items()
    ]
    print(table("A call of an agent by httpx2 and aiohttp: CPU µs", ["call", "plain", "added"], rows))
