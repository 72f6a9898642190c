"""The ASGI adapter around and inside of Starlette's `BaseHTTPMiddleware`, which is `@app.middleware("http")`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from otas_middleware.asgi import OtasMiddleware
from support.asgi_gateway import AsgiExchange, call_asgi
from support.request import Request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request as StarletteRequest

    from otas_middleware import OtasSettings
    from support.agent import Agent


def recorded(app: Any, settings: OtasSettings) -> Any:
    app.add_middleware(OtasMiddleware, settings=settings)
    return app


def test_a_base_http_middleware_around_and_inside_works_on(settings: OtasSettings, agent: Agent) -> None:
    async def view(request: StarletteRequest) -> Response:
        return PlainTextResponse(await request.body())

    async def stamp(request: StarletteRequest, call_next: Any) -> Response:
        body = await request.body()
        response: Response = await call_next(request)
        response.headers["x-stamp"] = str(len(body))
        return response

    request = Request("POST", headers=(agent.header,), body=(b"one ", b"two"))
    answers: list[AsgiExchange] = []
    for with_us in (False, True):
        app: Any = Starlette(routes=[Route("/", view, methods=["POST"])])
        app.add_middleware(BaseHTTPMiddleware, dispatch=stamp)
        if with_us:
            recorded(app, settings)
        app.add_middleware(BaseHTTPMiddleware, dispatch=stamp)
        answers.append(call_asgi(app, request))
    assert answers[0] == answers[1]
    assert answers[1].body == b"one two"
    event = agent.event()
    assert (event["request_body"], event["response_body"]) == ("one two", "one two")


class NoTeaError(Exception):
    """What a handler turns into an answer."""


async def pass_on(request: StarletteRequest, call_next: Any) -> Response:
    response: Response = await call_next(request)
    return response


def around_a_base_http_middleware(app: Any, settings: OtasSettings, ours_is: str) -> Any:
    if ours_is == "inside":
        recorded(app, settings)
    app.add_middleware(BaseHTTPMiddleware, dispatch=pass_on)
    return recorded(app, settings) if ours_is == "outside" else app


@pytest.mark.parametrize(
    ("ours_is", "error"), [("outside", "503 Service Unavailable"), ("inside", "NoTeaError: empty")]
)
def test_an_exception_that_a_handler_answers_is_named_inside_of_a_base_http_middleware_only(
    ours_is: str, error: str, settings: OtasSettings, agent: Agent
) -> None:
    async def view(_: StarletteRequest) -> Response:
        raise NoTeaError("empty")

    async def sorry(_: StarletteRequest, __: Exception) -> Response:
        return PlainTextResponse("no tea", 503)

    app: Any = Starlette(routes=[Route("/", view)], exception_handlers={NoTeaError: sorry})
    app = around_a_base_http_middleware(app, settings, ours_is)
    assert call_asgi(app, Request(headers=(agent.header,))).status_code == 503
    event = agent.event()
    assert (event["status_code"], event["error"]) == (503, error)


@pytest.mark.parametrize(("ours_is", "error"), [("outside", ""), ("inside", "NoTeaError: empty")])
def test_an_exception_that_breaks_a_stream_is_named_inside_of_a_base_http_middleware_only(
    ours_is: str, error: str, settings: OtasSettings, agent: Agent
) -> None:
    async def cups() -> AsyncIterator[bytes]:
        yield b"a cup"
        raise NoTeaError("empty")

    async def view(_: StarletteRequest) -> Response:
        return StreamingResponse(cups())

    app = around_a_base_http_middleware(Starlette(routes=[Route("/", view)]), settings, ours_is)
    answer = call_asgi(app, Request(headers=(agent.header,)))
    assert (answer.body, answer.raised) == (b"a cup", (NoTeaError, "empty"))
    event = agent.event()
    assert (event["status_code"], event["response_body"], event["error"]) == (200, "a cup", error)
