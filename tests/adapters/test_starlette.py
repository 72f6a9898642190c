"""The ASGI adapter inside Starlette and FastAPI: what other middlewares are known to break there."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import Depends, FastAPI, HTTPException, WebSocket
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.websockets import WebSocket as StarletteWebSocket

import otas_middleware as otas
from otas_middleware.asgi import OtasMiddleware
from support.agent import PATIENCE
from support.asgi_gateway import AsgiExchange, call_asgi
from support.request import Request

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from starlette.requests import Request as StarletteRequest

    from otas_middleware import OtasSettings
    from otas_middleware._capture.asgi_scope import ASGIApp, Message
    from support.agent import Agent

    View = Callable[[StarletteRequest], Awaitable[Response]]

tea: ContextVar[str] = ContextVar("tea", default="none")


def recorded(app: Any, settings: OtasSettings) -> Any:
    app.add_middleware(OtasMiddleware, settings=settings)
    return app


def compare(make: Callable[[], Any], settings: OtasSettings, agent: Agent, path: str = "/") -> AsgiExchange:
    """Call an application bare and wrapped, check that both answer alike, and return the answer."""
    request = Request(path=path, headers=(agent.header,))
    bare = call_asgi(make(), request)
    assert call_asgi(recorded(make(), settings), request) == bare
    return bare


def one(view: View) -> Callable[[], Starlette]:
    return lambda: Starlette(routes=[Route("/", view)])


def test_context_variables_that_an_endpoint_sets_reach_what_is_around_it(settings: OtasSettings, agent: Agent) -> None:
    seen: list[str] = []

    class Around:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await self.app(scope, receive, send)
            seen.append(tea.get())

    async def view(_: StarletteRequest) -> Response:
        tea.set("Assam")
        return PlainTextResponse("ok")

    def make() -> Starlette:
        return Starlette(routes=[Route("/", view)])

    request = Request(headers=(agent.header,))
    for app in (make(), recorded(make(), settings)):
        app.add_middleware(Around)
        call_asgi(app, request)
    assert seen == ["Assam", "Assam"]
    agent.event()


def test_is_disconnected_tells_the_truth(settings: OtasSettings, agent: Agent) -> None:
    answers: list[list[bool]] = []

    async def view(request: StarletteRequest) -> Response:
        answers.append([await request.is_disconnected()])
        await asyncio.sleep(0.02)
        answers[-1].append(await request.is_disconnected())
        return PlainTextResponse("nobody reads this")

    async def call(app: ASGIApp) -> None:
        gone = asyncio.Event()
        asyncio.get_running_loop().call_later(0.01, gone.set)
        first = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Message:
            if first:
                return first.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            """Be a server whose client has gone."""

        await app(Request(headers=(agent.header,)).scope(), receive, send)

    for app in (one(view)(), recorded(one(view)(), settings)):
        asyncio.run(call(app))
    assert answers == [[False, True], [False, True]]
    event = agent.event()
    assert event["metadata"]["aborted"] is True
    assert event["response_size_bytes"] == 0


def test_background_tasks_run_and_are_not_counted(settings: OtasSettings, agent: Agent) -> None:
    done: list[str] = []

    async def work() -> None:
        await asyncio.sleep(0.3)
        done.append("worked")

    async def view(_: StarletteRequest) -> Response:
        return PlainTextResponse("ok", background=BackgroundTask(work))

    assert call_asgi(recorded(one(view)(), settings), Request(headers=(agent.header,))).body == b"ok"
    assert done == ["worked"]
    event = agent.event()
    assert event["latency_ms"] < 250
    assert event["error"] == ""


def test_a_background_task_that_fails_fails_as_without_us(settings: OtasSettings, agent: Agent) -> None:
    async def work() -> None:
        raise LookupError("in the background")

    async def view(_: StarletteRequest) -> Response:
        return PlainTextResponse("ok", background=BackgroundTask(work))

    assert compare(one(view), settings, agent).raised == (LookupError, "in the background")
    assert agent.event()["error"] == ""


@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
def test_a_stream_ends_when_its_client_goes_away(spec_version: str, settings: OtasSettings, agent: Agent) -> None:
    """By the `http.disconnect` that is received, or by the error of `send`, as the server's version has it."""
    ended: list[str] = []

    async def ticks() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"tick\n"
                await asyncio.sleep(0.001)
        finally:
            ended.append("ended")

    async def view(_: StarletteRequest) -> Response:
        return StreamingResponse(ticks(), media_type="text/event-stream")

    async def call(app: ASGIApp) -> int:
        sent: list[Message] = []
        gone = asyncio.Event()
        first = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Message:
            if first:
                return first.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if len(sent) == 4:
                gone.set()
                if spec_version == "2.4":
                    raise OSError("gone")
            sent.append(message)

        scope = Request(headers=(agent.header,)).scope(asgi={"version": "3.0", "spec_version": spec_version})
        try:
            await asyncio.wait_for(app(scope, receive, send), PATIENCE)
        except Exception as error:
            # By itself, or what `send` raised in a group (Starlette 0.40).
            assert any(name in repr(error) for name in ("ClientDisconnect", "OSError"))  # noqa: PT017
        return len(sent)

    asyncio.run(call(recorded(one(view)(), settings)))
    assert ended == ["ended"]
    event = agent.event()
    assert event["metadata"]["aborted"] is True
    assert "exception" not in event["metadata"]
    assert event["error"] == ""
    assert (event["response_body"] or "").startswith("tick\ntick\n")


def test_a_file_response_is_recorded_with_its_size(tmp_path: Path, settings: OtasSettings, agent: Agent) -> None:
    file = tmp_path / "tea.txt"
    file.write_bytes(b"0123456789")

    async def view(_: StarletteRequest) -> Response:
        return FileResponse(file)

    assert compare(one(view), settings, agent).body == b"0123456789"
    assert agent.event()["response_size_bytes"] == 10


def test_a_file_response_uses_the_servers_pathsend(tmp_path: Path, settings: OtasSettings, agent: Agent) -> None:
    file = tmp_path / "tea.txt"
    file.write_bytes(b"0123456789")

    async def view(_: StarletteRequest) -> Response:
        return FileResponse(file)

    async def call(app: ASGIApp) -> list[Any]:
        sent: list[Any] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            sent.append(dict(message))

        scope = Request(headers=(agent.header,)).scope(extensions={"http.response.pathsend": {}})
        await app(scope, receive, send)
        return sent

    bare, wrapped = (asyncio.run(call(app)) for app in (one(view)(), recorded(one(view)(), settings)))
    assert wrapped == bare
    if bare[1]["type"] == "http.response.body":
        pytest.skip("this Starlette sends files itself")
    assert wrapped[1] == {"type": "http.response.pathsend", "path": str(file)}
    assert agent.event()["response_size_bytes"] == 10


def test_dependencies_with_yield_are_entered_and_left_as_without_us(settings: OtasSettings, agent: Agent) -> None:
    steps: list[str] = []

    async def resource() -> AsyncGenerator[str]:
        steps.append("opened")
        try:
            yield "resource"
        except HTTPException as error:
            steps.append(f"failed with {error.status_code}")
            raise
        finally:
            steps.append("closed")

    def make() -> FastAPI:
        app = FastAPI()

        # Not by `Annotated`, which FastAPI could not resolve inside of a function.
        async def view(name: str, given: str = Depends(resource)) -> str:
            steps.append(f"{name} uses the {given}")
            if name == "nobody":
                raise HTTPException(404, "nobody there")
            return "ok"

        app.get("/{name}")(view)
        return app

    assert compare(make, settings, agent, "/Ada").status_code == 200
    assert compare(make, settings, agent, "/nobody").status_code == 404
    half = ["opened", "Ada uses the resource", "closed"]
    failed = ["opened", "nobody uses the resource", "failed with 404", "closed"]
    assert steps == half * 2 + failed * 2
    assert sorted(event["metadata"]["route"] for event in agent.events()) == ["/{name}", "/{name}"]


def test_websockets_work_and_are_not_recorded(settings: OtasSettings, agent: Agent) -> None:
    app = FastAPI()

    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(f"you said {await websocket.receive_text()}")
        await websocket.close()

    app.websocket("/ws")(echo)
    client = TestClient(recorded(app, settings))
    with client.websocket_connect("/ws", headers=dict([agent.header])) as socket:
        socket.send_text("hello")
        assert socket.receive_text() == "you said hello"
    assert agent.events() == []
    assert StarletteWebSocket is WebSocket


def test_the_lifespan_runs_and_shares_its_state(settings: OtasSettings, agent: Agent) -> None:
    steps: list[str] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[dict[str, str]]:
        steps.append("up")
        yield {"pot": "full"}
        steps.append("down")

    async def view(request: StarletteRequest) -> Response:
        return PlainTextResponse(request.state.pot)

    app = recorded(Starlette(routes=[Route("/", view)], lifespan=lifespan), settings)
    with TestClient(app) as client:
        assert client.get("/", headers=dict([agent.header])).text == "full"
    assert steps == ["up", "down"]
    assert otas.stats()["queued"] == 0
    agent.event()


def test_an_exception_that_is_handled_but_too_late_is_named_itself(settings: OtasSettings, agent: Agent) -> None:
    async def broken(_: Any) -> StreamingResponse:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"tea"
            raise HTTPException(503, "no more tea")

        return StreamingResponse(chunks())

    app = OtasMiddleware(Starlette(routes=[Route("/", broken)]), settings=settings)
    TestClient(app, headers=dict([agent.header]), raise_server_exceptions=False).get("/")
    assert agent.event()["error"] == "HTTPException: 503: no more tea"
