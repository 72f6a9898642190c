"""A request that an application makes to itself, in the same process, is an event of its own with a parent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
from flask import Flask
from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from otas_middleware.asgi import OtasMiddleware
from otas_middleware.flask import Otas
from otas_middleware.wsgi import OtasMiddleware as WsgiMiddleware

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

    from starlette.requests import Request

    from otas_middleware.testing import RecordedEvents

TOKEN = "x-otas-agent-session-token"


async def inner(request: Request) -> JSONResponse:
    return JSONResponse({"inner": True})


async def call_inner(app: Any, request: Request) -> int:
    headers = {TOKEN: request.headers[TOKEN]}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://in-process") as client:
        return (await client.get("/inner", headers=headers)).status_code


async def outer(request: Request) -> JSONResponse:
    return JSONResponse({"status": await call_inner(request.app, request)})


async def stream(request: Request) -> StreamingResponse:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"a"
        await call_inner(request.app, request)
        yield b"b"

    return StreamingResponse(chunks())


def parents(events: RecordedEvents) -> dict[str, str | None]:
    """Return the path of each event's parent by its own path."""
    paths = {event.metadata["event_id"]: event.path for event in events}
    return {event.path: paths.get(event.metadata.get("parent_id")) for event in events}


def test_an_asgi_application_that_calls_itself(otas_events: RecordedEvents) -> None:
    routes = [Route("/inner", inner), Route("/outer", outer), Route("/stream", stream)]
    app = Starlette(routes=routes)
    app.add_middleware(OtasMiddleware)
    client = TestClient(app, headers=otas_events.headers)
    client.get("/outer")
    assert parents(otas_events) == {"/inner": "/outer", "/outer": None}
    otas_events.clear()
    assert client.get("/stream").text == "ab"
    assert parents(otas_events) == {"/inner": "/stream", "/stream": None}


def test_a_later_request_of_the_same_client_has_no_parent(otas_events: RecordedEvents) -> None:
    app = Starlette(routes=[Route("/inner", inner), Route("/outer", outer)])
    app.add_middleware(OtasMiddleware)
    client = TestClient(app, headers=otas_events.headers)
    client.get("/outer")
    client.get("/inner")
    assert [event.metadata.get("parent_id") is None for event in otas_events] == [False, True, True]


def test_a_flask_application_that_calls_itself(otas_events: RecordedEvents) -> None:
    app = Flask(__name__)
    Otas(app)
    headers = otas_events.headers

    @app.get("/inner")
    def _inner() -> str:
        return "x"

    @app.get("/outer")
    def _outer() -> str:
        return app.test_client().get("/inner", headers=headers).text

    app.test_client().get("/outer", headers=headers)
    assert parents(otas_events) == {"/inner": "/outer", "/outer": None}


def test_a_wsgi_application_that_calls_itself(otas_events: RecordedEvents) -> None:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        if environ["PATH_INFO"] == "/outer":
            return [client().get("/inner", headers=otas_events.headers).content]
        return [b"x"]

    app = WsgiMiddleware(application)

    def client() -> httpx.Client:
        return httpx.Client(transport=httpx.WSGITransport(app=app), base_url="http://in-process")

    with client() as caller:
        caller.get("/outer", headers=otas_events.headers)
    assert parents(otas_events)["/inner"] == "/outer"
