"""What the demo's agent does besides calling its project's backends: it asks a model, and uses tools."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otas_middleware._cli.demo.mock_service import MODEL, USAGE
from otas_middleware._compat import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otas_middleware._cli.demo.sentinels import Secrets
    from otas_middleware.agent import AgentSession

MODEL_PATH = "/v1/chat/completions"


@dataclass(frozen=True)
class Task:
    """One thing that was done outside of the domain, and what must be recorded of it."""

    name: str
    """For people, in the table's first column."""
    method: str
    path: str
    status: int
    parent: str | None = None
    """The path of the tool's run within which it was done."""
    error: str = ""
    """What the recorded error must name."""
    model: str | None = None
    tokens: int | None = None
    """How many tokens the model must be recorded to have used."""


TASKS = (
    Task("a tool", "TOOL", "/tools/refund", 200),
    Task("a model", "POST", MODEL_PATH, 200, "/tools/refund", model=MODEL, tokens=USAGE["total_tokens"]),
    Task("a tool", "TOOL", "/tools/exchange_rate", 200, "/tools/refund"),
    Task("mock_service", "GET", "/rates", 200, "/tools/exchange_rate"),
    Task("nobody", "POST", "/notify", 0, "/tools/refund", error="ConnectError"),
)


def run_tasks(session: AgentSession, mock_service: str, nobody: str, secrets: Secrets) -> str:
    """Do them all.

    Args:
        session: The agent's session.
        mock_service: The URL of the service outside.
        nobody: A URL at which nobody listens.
        secrets: What is sent along to be found nowhere.

    Returns:
        The model's answer.
    """
    http = session.client(timeout=20.0, trust_env=False)

    @session.tool()
    def exchange_rate(currency: str) -> float:
        rate: float = http.get(f"{mock_service}/rates", params={"to": currency}).json()["rate"]
        return rate

    with session.tool("refund", order=1, password=secrets["password of a tool"]) as run:
        answer = _ask(http, f"{mock_service}{MODEL_PATH}", secrets)
        run.result = {"advice": answer, "rate": exchange_rate("EUR")}
        try:
            http.post(f"{nobody}/notify", json={"order": 1, "api_key": secrets["key for nobody"]})
        except httpx.ConnectError:
            run.properties["notified"] = False
    return answer


def _ask(http: httpx.Client, url: str, secrets: Secrets) -> str:
    """Ask the model and return what it says, read as it comes."""
    question = {
        "model": MODEL,
        "stream": True,
        "messages": [{"role": "user", "content": "One cup came broken. What shall I refund?"}],
    }
    key = {"Authorization": f"Bearer {secrets['key of a model']}"}
    with http.stream("POST", url, json=question, headers=key) as response:
        response.raise_for_status()
        return "".join(_words(response.iter_lines()))


def _words(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if line.startswith("data: {"):
            for choice in json.loads(line.removeprefix("data: "))["choices"]:
                yield choice["delta"].get("content", "")
