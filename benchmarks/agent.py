"""What the agent's side adds to a call: CPU time over plain httpx, inside the domain and outside it.

    python benchmarks/agent.py [--rounds N] [--calls N] [--json FILE]

The calls go to a transport in this process that answers at once, so that nothing but the client's own work is in the
figures. Plain and instrumented clients take turns in short rounds. `added` is the median of the rounds' differences;
`undisturbed` compares the fastest twentieth of the rounds of each, which other work on the machine has slowed least.
CPU time is the calling thread's; events go to a Brain that is not there, so that delivery does not compete.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2

from otas_middleware._session import AgentSession as Session
from otas_middleware.agent import AgentSession

if TYPE_CHECKING:
    from collections.abc import Callable

INSIDE = "https://api.example.com"
OUTSIDE = "https://api.openai.example"
BODY = {"model": "m-1", "messages": [{"role": "user", "content": "x" * 900}]}
ANSWER = json.dumps(
    {"model": "m-1", "choices": ["y" * 1900], "usage": {"input_tokens": 9, "output_tokens": 9}}
).encode()
HEADERS = [(b"Content-Type", b"application/json"), (b"Content-Length", str(len(ANSWER)).encode())]


class Body(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """An answer in four pieces."""

    def __iter__(self) -> Any:
        for start in range(0, len(ANSWER), 500):
            yield ANSWER[start : start + 500]

    async def __aiter__(self) -> Any:
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


def session() -> AgentSession:
    """Return a session that need not be asked for."""
    agent = AgentSession(
        INSIDE,
        agent_key="agent_abcdefghijk_" + "0" * 43,
        brain_url="http://127.0.0.1:1",
        uasam_url="http://127.0.0.1:1",
    )
    token = "e30." + "x" * 180 + ".s"
    made = Session(
        agent_id="agent",
        session_id="session",
        verified=False,
        fingerprint="0" * 16,
        issued_at=None,
        expires_at=None,
        token=token,
    )
    agent._core.keeper._of_this_process().take(made)
    return agent


def measure(rounds: int, calls: int) -> list[dict[str, Any]]:
    agent = session()
    plain, plain_async = httpx2.Client(transport=Network()), httpx2.AsyncClient(transport=Network())
    ours = agent.instrument(httpx2.Client(transport=Network()))
    ours_async = agent.instrument(httpx2.AsyncClient(transport=Network()))
    rows: list[dict[str, Any]] = []
    kinds: list[tuple[str, Callable[..., float], Any, Any]] = [
        ("sync", synchronously, plain, ours),
        ("async", asynchronously, plain_async, ours_async),
    ]
    for kind, run, without, instrumented in kinds:
        for place, url, target in (("inside", INSIDE + "/orders", 15.0), ("outside", OUTSIDE + "/v1/chat", 60.0)):
            run(without, url, 50)
            run(instrumented, url, 50)
            figures = [(run(without, url, calls), run(instrumented, url, calls)) for _ in range(rounds)]
            added = [(with_us - bare) * 1e6 for bare, with_us in figures]
            quartiles = statistics.quantiles(added, n=4)
            least = [statistics.quantiles(column, n=20)[0] for column in zip(*figures, strict=True)]
            rows.append(
                {
                    "call": f"{place}, {kind}",
                    "plain_us": statistics.median(bare for bare, _ in figures) * 1e6,
                    "added_us": quartiles[1],
                    "quartiles_us": [quartiles[0], quartiles[2]],
                    "least_us": (least[1] - least[0]) * 1e6,
                    "target_us": target,
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--json", help="write the figures there")
    options = parser.parse_args()
    rows = measure(options.rounds, options.calls)
    print(f"{'call':<16}{'plain httpx2':>14}{'added':>10}{'quartiles':>18}{'undisturbed':>13}{'target':>8}   (CPU µs)")
    for row in rows:
        low, high = row["quartiles_us"]
        print(
            f"{row['call']:<16}{row['plain_us']:>14.1f}{row['added_us']:>10.1f}{f'{low:.1f} - {high:.1f}':>18}"
            f"{row['least_us']:>13.1f}{'≤ ' + str(int(row['target_us'])):>8}"
        )
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
