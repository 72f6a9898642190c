"""The ASGI adapter around Starlette's and FastAPI's mounts: one event, with the whole path and the route below them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI
from flask import Flask
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from otas_middleware.asgi import OtasMiddleware
from otas_middleware.flask import Otas
from support.asgi_gateway import call_asgi
from support.request import Request

if TYPE_CHECKING:
    from starlette.requests import Request as StarletteRequest

    from otas_middleware import OtasSettings
    from otas_middleware._capture.asgi_scope import ASGIApp
    from support.agent import Agent


def recorded(app: Any, settings: OtasSettings) -> Any:
    app.add_middleware(OtasMiddleware, settings=settings)
    return app


def test_installed_in_an_application_and_in_one_that_is_mounted_it_records_once(
    settings: OtasSettings, agent: Agent
) -> None:
    async def view(request: StarletteRequest) -> Response:
        return PlainTextResponse(f"item {request.path_params['item_id']}")

    inner = recorded(Starlette(routes=[Route("/items/{item_id}", view)]), settings)
    middle = recorded(Starlette(routes=[Mount("/inner", app=inner)]), settings)
    app = recorded(Starlette(routes=[Mount("/shops/{shop}", app=middle)]), settings)
    exchange = call_asgi(app, Request(path="/shops/tea/inner/items/7", headers=(agent.header,)))
    assert exchange.body == b"item 7"
    event = agent.event()
    assert event["path"] == "/shops/tea/inner/items/7"
    assert event["metadata"]["route"] == "/shops/{shop}/inner/items/{item_id}"


class Copying:
    """A middleware that gives its application a copy of the scope, as hypercorn's `ProxyFixMiddleware` does."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(dict(scope), receive, send)


def copying(app: ASGIApp) -> ASGIApp:
    """Do as `Copying`, by a function."""

    async def around(scope: Any, receive: Any, send: Any) -> None:
        await app(dict(scope), receive, send)

    return around


async def answer_function(scope: Any, receive: Any, send: Any) -> None:
    """Be an application that is a function."""
    await PlainTextResponse("ok")(scope, receive, send)


@pytest.mark.parametrize("kind", [Starlette, FastAPI])
@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/function/orders/42", None),
        ("/parameter/Tea/x", None),
        ("/copied/items/7", None),
        ("/copied-by-function/items/7", None),
        ("/inner/items/7", "/inner/items/{item_id}"),
        ("/inner/plain", "/inner/plain"),
        ("/inner/none", None),
        ("/shops/007/items/7", "/shops/{shop}/items/{item_id}"),
        ("/users/6F9619FF-8B86-D011-B42D-00C04FC964FF/plain", "/users/{user}/plain"),
        ("/names/names/plain", None),
        ("/names/tea/plain", "/names/{name}/plain"),
    ],
)
def test_the_route_below_mounts_is_a_template_or_unknown(
    path: str, route: str | None, kind: type[Any], settings: OtasSettings, agent: Agent
) -> None:
    async def view(_: StarletteRequest) -> Response:
        return PlainTextResponse("ok")

    inner = Starlette(routes=[Route("/items/{item_id}", view), Route("/plain", view)])
    app = kind()
    app.mount("/function", answer_function)
    app.mount("/parameter/{Shop}", answer_function)
    app.mount("/copied", Copying(inner))
    app.mount("/copied-by-function", copying(inner))
    for prefix in ("/inner", "/shops/{shop:int}", "/users/{user:uuid}", "/names/{name}"):
        app.mount(prefix, inner)
    call_asgi(recorded(app, settings), Request(path=path, headers=(agent.header,)))
    assert agent.event()["metadata"]["route"] == route


@pytest.mark.filterwarnings("ignore:starlette.middleware.wsgi is deprecated")
def test_a_wsgi_application_that_is_mounted_and_has_an_adapter_too_is_recorded_once(
    settings: OtasSettings, agent: Agent
) -> None:
    from starlette.middleware.wsgi import WSGIMiddleware

    flask = Flask("tea")
    flask.get("/items")(lambda: "from Flask")
    Otas(flask, settings=settings)
    app = recorded(Starlette(routes=[Mount("/flask", app=WSGIMiddleware(flask))]), settings)
    assert call_asgi(app, Request(path="/flask/items", headers=(agent.header,))).body == b"from Flask"
    event = agent.event()
    assert (event["path"], event["response_body"]) == ("/flask/items", "from Flask")
