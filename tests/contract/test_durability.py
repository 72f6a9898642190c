"""With `durability="spool"` an event is on disk before a client can have the whole response, in every framework."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sized
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from support.asgi_gateway import AsgiExchange, call_asgi
from support.brokers import free_port
from support.harnesses import Harness, harnesses
from support.recording import own_recorder
from support.scenarios import SCENARIOS, Scenario
from support.wsgi_gateway import WsgiExchange, call_wsgi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from otas_middleware import OtasSettings
    from otas_middleware._capture.asgi_scope import ASGIApp, Message, Receive, Scope, Send
    from support.agent import Agent

NAMES = {"empty", "streamed", "streamed echo", "head", "no content", "not modified", "cookies", "not found", "boom"}
CHOSEN = [scenario for scenario in SCENARIOS if scenario.name in NAMES]


class Watch:
    """A server that looks at the spool at the moment at which its client would have the whole response."""

    def __init__(self, folder: Path, request_method: str) -> None:
        self._folder = folder
        self._head = request_method == "HEAD"
        self._left: int | None = None
        self._bodiless = False
        self.seen: int | None = None
        """How many events lay there."""

    def events(self) -> list[dict[str, Any]]:
        files = list(self._folder.glob("*.sqlite3"))
        if not files:
            return []
        with closing(sqlite3.connect(files[0])) as connection:
            return [json.loads(body) for (body,) in connection.execute("SELECT body FROM event ORDER BY id")]

    def start(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        self._bodiless = self._head or status in {204, 304}
        length = {name.lower(): value for name, value in headers}.get("content-length")
        self._left = None if length is None else int(length)

    def body(self, chunk: bytes, *, last: bool) -> None:
        if self._left is not None:
            self._left -= len(chunk)
        if self.seen is None and (last or self._bodiless or self._left == 0):
            self.seen = len(self.events())

    def asgi(self, app: ASGIApp) -> ASGIApp:
        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            async def watching(message: Message) -> None:
                if message["type"] == "http.response.start":
                    pairs = [(name.decode(), value.decode("latin-1")) for name, value in message.get("headers", ())]
                    self.start(message["status"], pairs)
                    self.body(b"", last=False)
                elif message["type"] == "http.response.body":
                    self.body(message.get("body", b""), last=not message.get("more_body", False))
                await send(message)

            await app(scope, receive, watching)

        return watched

    def wsgi(self, app: WSGIApplication) -> WSGIApplication:
        def watched(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Callable[[bytes], object]:
                self.start(int(status.split(maxsplit=1)[0]), headers)
                return start_response(status, headers, *error)

            return self._chunks(app(environ, start))

        return watched

    def _chunks(self, iterable: Iterable[bytes]) -> Iterator[bytes]:
        only = isinstance(iterable, Sized) and len(iterable) == 1  # servers then announce the length themselves
        try:
            for chunk in iterable:
                self.body(chunk, last=only)
                yield chunk
            self.body(b"", last=True)
        finally:
            close = getattr(iterable, "close", None)
            if close is not None:
                close()


@pytest.fixture
def durable(settings: OtasSettings, tmp_path: Path) -> Iterator[OtasSettings]:
    """Settings for a Brain that is away, so that what is written stays where it is."""
    away = f"http://127.0.0.1:{free_port()}"
    with own_recorder(settings, brain_url=away, durability="spool", spool_dir=tmp_path / "spool") as own:
        yield own


@pytest.mark.parametrize("scenario", CHOSEN, ids=str)
@pytest.mark.parametrize("harness", harnesses(), ids=str)
def test_who_has_the_whole_response_finds_the_event_on_disk(
    harness: Harness, scenario: Scenario, durable: OtasSettings, agent: Agent
) -> None:
    request = scenario.request.having(agent.header)
    watch = Watch(durable.spool_dir, request.method)  # type: ignore[arg-type]  # set above
    bare: AsgiExchange | WsgiExchange
    got: AsgiExchange | WsgiExchange
    if harness.protocol == "asgi":
        bare = call_asgi(harness.application(None), request)
        got = call_asgi(watch.asgi(harness.build(durable)), request)
    else:
        bare = call_wsgi(harness.application(None), request.environ())
        got = call_wsgi(watch.wsgi(harness.build(durable)), request.environ())
    assert got == bare
    assert watch.seen == (None if got.raised else 1)
    [event] = watch.events()
    assert event["status_code"] == got.status_code
    assert "aborted" not in event["metadata"]
    bodiless = request.method == "HEAD" or got.status_code in {204, 304}
    assert event["response_size_bytes"] == (0 if bodiless else len(got.body))
