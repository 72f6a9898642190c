"""Plays the agent (and now and then somebody else): sends the steps, calls by MCP, asks a model, and uses tools."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from otas_middleware._cli import serving
from otas_middleware._compat import httpx

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from otas_middleware._cli.demo.scenario import Secrets, Step
    from otas_middleware.agent import AgentSession

REQUEST_ID = "x-request-id"
"""Each request carries an id in this header, by which its event is known again."""
TIMEOUT_SECONDS = 20.0


class UnansweredError(Exception):
    """An application did not answer a request."""


@dataclass(frozen=True)
class Exchange:
    """A step that was taken, as the client saw it."""

    step: Step
    request_id: str
    status: int
    request_bytes: int
    response_bytes: int


def play(
    steps: Sequence[Step], addresses: Mapping[str, str], session: AgentSession, secrets: Secrets
) -> Iterator[Exchange]:
    """Take the steps one after the other; cookies are kept for each application and each of the two callers.

    Args:
        steps: What to send.
        addresses: Application's name → its URL.
        session: The agent's session, whose domain the applications are.
        secrets: What the steps refer to; what the answers hold of secrets is added.

    Raises:
        UnansweredError: An application did not answer.
    """
    clients: dict[tuple[str, bool], httpx.Client] = {}
    with ExitStack() as stack:
        for number, step in enumerate(steps, start=1):
            caller = (step.application.name, step.by_agent)
            if caller not in clients:
                make = session.client if step.by_agent else httpx.Client
                client = make(base_url=addresses[step.application.name], timeout=TIMEOUT_SECONDS, trust_env=False)
                clients[caller] = stack.enter_context(client)
            yield _take(step, f"demo-{number:02}", clients[caller], secrets)


def _take(step: Step, request_id: str, client: httpx.Client, secrets: Secrets) -> Exchange:
    request = client.build_request(
        step.method,
        step.target.format(secrets=secrets),
        headers={name: value.format(secrets=secrets) for name, value in step.headers.items()}
        | {REQUEST_ID: request_id},
        json=step.json,
        data=step.form,
        files={"file": step.file} if step.file else None,
        content=step.content,
    )
    try:
        response = client.send(request)
    except httpx.TransportError as error:
        name = step.application.name
        raise UnansweredError(f"{name} did not answer {step.method} {step.path} ({type(error).__name__}).") from error
    for name, value in response.cookies.items():
        secrets.learn(name, value)
    if response.is_success:
        for name in step.answers:
            secrets.learn(name, response.json()[name])
    return Exchange(step, request_id, response.status_code, len(request.read()), response.num_bytes_downloaded)


MODEL = "demo-1"
WORDS = ("Refund ", "the ", "tea, ", "keep ", "the ", "cup.")
USAGE = {"prompt_tokens": 21, "completion_tokens": len(WORDS), "total_tokens": 21 + len(WORDS)}


@contextmanager
def mock_service() -> Generator[tuple[str, list[Mapping[str, str]]]]:
    """Run the service outside of the domain, a language model too.

    Yields:
        Its URL, and the headers of each request that it gets, to see what left the domain with it.
    """
    received: list[Mapping[str, str]] = []
    with serving(_handler(received)) as url:
        yield url, received


def nobody() -> str:
    """Return a URL at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def _handler(received: list[Mapping[str, str]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            received.append(dict(self.headers))
            body = json.dumps({"from": "GBP", "to": "EUR", "rate": 1.17}).encode()
            self._start("application/json", len(body))
            self.wfile.write(body)

        def do_POST(self) -> None:
            received.append(dict(self.headers))
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._start("text/event-stream")
            for chunk in _answer():
                self.wfile.write(chunk)
                self.wfile.flush()

        def _start(self, content_type: str, length: int | None = None) -> None:
            known = urlsplit(self.path).path in {"/rates", "/v1/chat/completions"}
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", content_type)
            if length is not None:
                self.send_header("Content-Length", str(length))
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
            """Say nothing: the demo's output is its own."""

    return Handler


def _answer() -> Iterator[bytes]:
    """Yield a chat completion's events, in the form that OpenAI's interface streams them."""
    for word in WORDS:
        yield _event({"choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]})
    yield _event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    yield _event({"choices": [], "usage": USAGE})
    yield b"data: [DONE]\n\n"


def _event(part: dict[str, object]) -> bytes:
    document = {"id": "chatcmpl-demo", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": MODEL}
    return b"data: " + json.dumps({**document, **part}).encode() + b"\n\n"


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


def run_tasks(session: AgentSession, service: str, nobody: str, secrets: Secrets) -> str:
    """Do all of `TASKS`.

    Args:
        session: The agent's session.
        service: The URL of the service outside.
        nobody: A URL at which nobody listens.
        secrets: What is sent along to be found nowhere.

    Returns:
        The model's answer.
    """
    http = session.client(timeout=TIMEOUT_SECONDS, trust_env=False)

    @session.tool()
    def exchange_rate(currency: str) -> float:
        rate: float = http.get(f"{service}/rates", params={"to": currency}).json()["rate"]
        return rate

    with session.tool("refund", order=1, password=secrets["password of a tool"]) as run:
        answer = _ask(http, f"{service}{MODEL_PATH}", secrets)
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


MCP_PATH = "/mcp"
_REVISION = "2026-07-28"


@dataclass(frozen=True)
class Call:
    """One operation, and the error that it must have been recorded with."""

    operation: str
    error: str = ""


CALLS = (
    Call("tools/list"),
    Call("tools/call find_orders"),
    Call("tools/call cancel_order", "mcp tool_error: Error executing tool cancel_order: Order 1 is already shipped."),
    Call("resources/read"),
)


def make_calls(session: AgentSession, orders: str) -> None:
    """Make all of `CALLS` by MCP.

    Args:
        session: The agent's session.
        orders: The URL of the orders API.
    """
    asyncio.run(_converse(session, orders + MCP_PATH))


async def _converse(session: AgentSession, url: str) -> None:
    from mcp import Client  # noqa: PLC0415  # a part of the extra `demo`
    from mcp.client.streamable_http import streamable_http_client  # noqa: PLC0415  # as above

    async with (
        session.async_client(library="httpx2", timeout=TIMEOUT_SECONDS, trust_env=False) as http,
        Client(streamable_http_client(url, http_client=http), mode=_REVISION) as client,
    ):
        await client.list_tools()
        await client.call_tool("find_orders", {"customer": "Ada"})
        await client.call_tool("cancel_order", {"order_id": 1})
        await client.read_resource("orders://1")
