"""The check of an agent's clients: one call through each, to a loopback host of our own, and whether it was seen.

No provider is called, and nothing reaches Brain or UASAM: meanwhile the session records into memory.
"""

from __future__ import annotations

import asyncio
import inspect
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware._cli.application.load import ApplicationError, load
from otas_middleware._cli.doctor import Check
from otas_middleware._errors import OtasError
from otas_middleware._testing.recording import record_events

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

_NAME = "agent"
_FIX = (
    "make it with session.client(), session.async_client(), session.requests_session() or session.aiohttp_session(), "
    "or session.instrument() it, and see docs/sdks.md for the way of its SDK"
)


def check_agent(target: str) -> Iterator[Check]:
    """Check that calls through an agent's clients are seen.

    Args:
        target: `module:session`, and after commas further clients, such as `shop.agent:session,shop.agent:http`.

    Yields:
        One check of the session, and one for each client.
    """
    first, *others = [part.strip() for part in target.split(",")]
    try:
        session, clients = load(first), [(name, load(name)) for name in others]
    except ApplicationError as error:
        yield Check(_NAME, "failed", error.problem, error.fix)
        return
    except OtasError as error:
        yield Check(_NAME, "failed", f"{target} cannot be made: {error}", "see above")
        return
    if not hasattr(session, "headers_for") or not hasattr(session, "clients"):
        yield Check(
            _NAME, "failed", f"{first} is a {type(session).__name__}, no AgentSession", "name the session first"
        )
        return
    given = {id(client) for _, client in clients}
    clients += [(type(client).__name__, client) for client in session.clients if id(client) not in given]
    if not clients:
        text = f"{first} has made and instrumented no client that is in use"
        yield Check(_NAME, "warning", text, f"name your clients after it: --agent {first},MODULE:CLIENT")
        return
    for number, (name, client) in enumerate(clients, start=1):
        yield _try(f"{_NAME}_{number}" if len(clients) > 1 else _NAME, name, client)


def _try(check: str, name: str, client: Any) -> Check:
    with record_events() as events, _loopback() as host:
        path = "/otas-doctor"
        try:
            _call(client, host.url + path)
        except Exception as error:  # a client of the user's: whatever it raises is the finding
            return Check(check, "failed", f"a call through {name} raised {type(error).__name__}", "call it by hand")
        # A host that happens to be inside the project's domain gets the token, and is recorded there.
        seen = host.got_a_token or any(event.path == path for event in events)
    if not seen:
        return Check(check, "failed", f"a call through {name} is not seen: nothing would be recorded of it", _FIX)
    return Check(check, "ok", f"calls through {name} are seen", data={"client": name})


def _call(client: Any, url: str) -> None:
    """Make one call with a client of httpx, requests or aiohttp, or with the one that an SDK is built on.

    Raises:
        TypeError: It is no such client.
    """
    get = getattr(client, "get", None)
    if get is None:
        raise TypeError
    if inspect.iscoroutinefunction(get) or hasattr(client, "connector"):
        asyncio.run(_call_asynchronously(client, url))
    else:
        get(url)


async def _call_asynchronously(client: Any, url: str) -> None:
    answer: Any = await client.get(url)
    await (answer.aread() if hasattr(answer, "aread") else answer.read())


class _Host(ThreadingHTTPServer):
    """Answers everything, and notes whether a token came."""

    daemon_threads = True
    got_a_token = False

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if isinstance(self.server, _Host) and TOKEN_HEADER in self.headers:
            self.server.got_a_token = True
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name in the base class
        """Say nothing."""


@contextmanager
def _loopback() -> Generator[_Host]:
    """Serve a host on a free port."""
    with _Host(("127.0.0.1", 0), _Answers) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
