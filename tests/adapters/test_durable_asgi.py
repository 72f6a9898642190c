"""`durability="spool"` under ASGI: the event is on disk before the last message goes out, and the loop goes on."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.lowlevel

from otas_middleware._capture import in_thread
from otas_middleware._recorder import Recorder
from otas_middleware.asgi import OtasMiddleware
from support.agent import PATIENCE
from support.brokers import free_port
from support.recording import own_recorder
from support.request import Request
from support.sink import TOKEN

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from otas_middleware import OtasSettings
    from otas_middleware._capture.asgi_scope import Message, Receive, Scope, Send

START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
LAST: dict[str, Any] = {"type": "http.response.body", "body": b"hello"}


@pytest.fixture
def durable(settings: OtasSettings, tmp_path: Path) -> Iterator[OtasSettings]:
    """Settings for a Brain that is away, so that what is written stays where it is."""
    away = f"http://127.0.0.1:{free_port()}"
    with own_recorder(settings, brain_url=away, durability="spool", spool_dir=tmp_path / "spool") as own:
        yield own


def on_disk(settings: OtasSettings) -> int:
    assert settings.spool_dir is not None
    for file in settings.spool_dir.glob("*.sqlite3"):
        with contextlib.closing(sqlite3.connect(file)) as connection:
            count: int = connection.execute("SELECT count(*) FROM event").fetchone()[0]
            return count
    return 0


class Building:
    """Holds the making of events back until it may go on, and knows whether one is being made.

    Args:
        monkeypatch: Takes the place of the recorder's own way, and gives it back.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.began, self.may_go_on = threading.Event(), threading.Event()
        build = Recorder.build

        def waiting(*args: Any) -> Any:
            self.began.set()
            assert self.may_go_on.wait(PATIENCE), "the event loop does not go on"
            return build(*args)

        monkeypatch.setattr(Recorder, "build", waiting)


@pytest.fixture
def building(monkeypatch: pytest.MonkeyPatch) -> Building:
    return Building(monkeypatch)


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    await send(LAST)


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError("no tea")


async def answers_nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Leave the answer to the server."""


async def turn_until(holds: Callable[[], Any]) -> None:
    """Let the event loop turn until something holds; it must not stand."""
    while not holds():  # noqa: ASYNC110  # another thread's doing, and the turning is what is tested
        await asyncio.sleep(0)


class Client:
    """The server's side of one request, which sees what the client would."""

    def __init__(self, settings: OtasSettings) -> None:
        self.sent: list[Message] = []
        self.seen = 0
        """How many events lay on disk when the last message came."""
        self._settings = settings

    async def receive(self) -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        self.seen = on_disk(self._settings)


APPLICATIONS: dict[str, Callable[..., Awaitable[None]]] = {
    "answers": hello,
    "fails": fails,
    "answers nothing": answers_nothing,
}


@pytest.mark.parametrize("name", APPLICATIONS)
def test_while_an_event_is_made_asyncio_goes_on_and_the_client_waits(
    name: str, durable: OtasSettings, building: Building
) -> None:
    app = OtasMiddleware(APPLICATIONS[name], settings=durable)
    client = Client(durable)

    async def main() -> None:
        request = asyncio.ensure_future(app(Request(headers=(TOKEN,)).scope(), client.receive, client.send))
        await turn_until(building.began.is_set)
        assert not request.done()
        assert LAST not in client.sent
        building.may_go_on.set()
        with contextlib.suppress(ValueError):
            await request

    asyncio.run(main())
    assert on_disk(durable) == 1
    if name == "answers":
        assert client.seen == 1


@pytest.mark.parametrize("name", APPLICATIONS)
def test_while_an_event_is_made_trio_goes_on_and_the_client_waits(
    name: str, durable: OtasSettings, building: Building
) -> None:
    app = OtasMiddleware(APPLICATIONS[name], settings=durable)
    client = Client(durable)

    async def request() -> None:
        with contextlib.suppress(ValueError):
            await app(Request(headers=(TOKEN,)).scope(), client.receive, client.send)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(request)
            while not building.began.is_set():
                await trio.lowlevel.checkpoint()
            assert LAST not in client.sent
            building.may_go_on.set()

    trio.run(main)
    assert on_disk(durable) == 1
    if name == "answers":
        assert client.seen == 1


async def waits(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    await asyncio.Event().wait()


def test_a_cancelled_request_does_not_wait_and_is_on_disk_all_the_same(
    durable: OtasSettings, building: Building
) -> None:
    app = OtasMiddleware(waits, settings=durable)
    client = Client(durable)

    async def main() -> None:
        request = asyncio.ensure_future(app(Request(headers=(TOKEN,)).scope(), client.receive, client.send))
        await turn_until(lambda: client.sent)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        building.may_go_on.set()

    asyncio.run(main())
    in_thread.wait_for_all()
    assert on_disk(durable) == 1


async def waits_on_trio(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    await trio.sleep_forever()


def test_a_request_that_trio_cancels_does_not_wait_either(durable: OtasSettings, building: Building) -> None:
    app = OtasMiddleware(waits_on_trio, settings=durable)
    client = Client(durable)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(app, Request(headers=(TOKEN,)).scope(), client.receive, client.send)
            while not client.sent:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        building.may_go_on.set()

    trio.run(main)
    in_thread.wait_for_all()
    assert on_disk(durable) == 1


def test_a_request_that_is_cancelled_while_its_event_is_made_leaves_one(
    durable: OtasSettings, building: Building
) -> None:
    app = OtasMiddleware(hello, settings=durable)
    client = Client(durable)

    async def main() -> None:
        request = asyncio.ensure_future(app(Request(headers=(TOKEN,)).scope(), client.receive, client.send))
        await turn_until(building.began.is_set)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request

    asyncio.run(main())
    building.may_go_on.set()  # the loop has ended meanwhile
    in_thread.wait_for_all()
    assert on_disk(durable) == 1


def test_where_no_thread_can_be_had_the_event_is_made_in_place(
    durable: OtasSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("otas"):
            raise RuntimeError("can't start new thread")
        start(thread)

    in_thread.wait_for_all()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    client = Client(durable)
    asyncio.run(OtasMiddleware(hello, settings=durable)(Request(headers=(TOKEN,)).scope(), client.receive, client.send))
    assert (client.sent, client.seen) == ([START, LAST], 1)


def test_what_was_made_in_place_for_want_of_a_thread_is_not_made_again_when_there_is_one(
    durable: OtasSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start
    refused = 0

    def refuse_once(thread: threading.Thread) -> None:
        nonlocal refused
        if thread.name.startswith("otas-durable") and not refused:
            refused += 1
            raise RuntimeError("can't start new thread")
        start(thread)

    in_thread.wait_for_all()
    monkeypatch.setattr(threading.Thread, "start", refuse_once)
    app = OtasMiddleware(hello, settings=durable)
    for _ in range(2):
        client = Client(durable)
        asyncio.run(app(Request(headers=(TOKEN,)).scope(), client.receive, client.send))
    in_thread.wait_for_all()
    assert refused == 1
    assert on_disk(durable) == 2


def test_the_end_of_the_lifespan_waits_for_what_is_being_made(durable: OtasSettings, building: Building) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await send({"type": "lifespan.shutdown.complete"})
        else:
            await waits(scope, receive, send)

    wrapped = OtasMiddleware(app, settings=durable)
    client = Client(durable)

    async def main() -> None:
        request = asyncio.ensure_future(wrapped(Request(headers=(TOKEN,)).scope(), client.receive, client.send))
        await turn_until(lambda: client.sent)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        building.may_go_on.set()
        await wrapped({"type": "lifespan"}, client.receive, client.send)

    asyncio.run(main())
    assert client.sent[-1] == {"type": "lifespan.shutdown.complete"}
    assert on_disk(durable) == 1
