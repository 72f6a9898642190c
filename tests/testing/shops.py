"""The same little shop in each framework: one route that takes an order, with the middleware as users install it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import werkzeug.test
from django.http import HttpRequest, JsonResponse
from django.test import Client, override_settings
from django.urls import path
from flask import Flask, jsonify, request
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from otas_middleware.asgi import OtasMiddleware as AsgiMiddleware
from otas_middleware.flask import Otas
from otas_middleware.wsgi import OtasMiddleware as WsgiMiddleware
from support.asgi_gateway import call_asgi
from support.django_project import OTAS_MIDDLEWARE
from support.request import Request as PlainRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

    from starlette.requests import Request

    Post = Callable[[str, str, dict[str, str]], int]
    """Posts JSON to a path, with headers, and returns the status."""


def on_flask(**options: Any) -> Post:
    app = Flask(__name__)
    Otas(app, **options)

    @app.post("/orders/<order_id>")
    def order(order_id: str) -> Any:
        return jsonify(order=order_id, got=request.get_json())

    client = app.test_client()
    return lambda url, body, headers: (
        client.post(url, data=body, content_type="application/json", headers=headers).status_code
    )


def on_starlette(**options: Any) -> Post:
    async def order(request: Request) -> JSONResponse:
        return JSONResponse({"order": request.path_params["order_id"], "got": await request.json()})

    app = Starlette(routes=[Route("/orders/{order_id}", order, methods=["POST"])])
    app.add_middleware(AsgiMiddleware, **options)
    client = TestClient(app)
    return lambda url, body, headers: (
        client.post(url, content=body, headers={"Content-Type": "application/json", **headers}).status_code
    )


def django_order(request: HttpRequest, order_id: str) -> JsonResponse:
    return JsonResponse({"order": order_id, "got": json.loads(request.body)})


urlpatterns = [path("orders/<order_id>", django_order)]


def on_django(**options: Any) -> Post:
    own = {name.upper(): value for name, value in options.items()}

    def post(url: str, body: str, headers: dict[str, str]) -> int:
        with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[OTAS_MIDDLEWARE], OTAS=own):
            status: int = Client().post(url, body, content_type="application/json", headers=headers).status_code
        return status

    return post


def on_wsgi(**options: Any) -> Post:
    def order(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        start_response("200 OK", [("Content-Type", "application/json")])
        return [body]

    client = werkzeug.test.Client(WsgiMiddleware(order, **options))
    return lambda url, body, headers: (
        client.post(url, data=body, content_type="application/json", headers=headers).status_code
    )


def on_asgi(**options: Any) -> Post:
    async def order(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": message["body"]})

    app = AsgiMiddleware(order, **options)
    kind = ("Content-Type", "application/json")
    return lambda url, body, headers: (
        call_asgi(app, PlainRequest("POST", url, headers=(kind, *headers.items()), body=(body.encode(),))).status_code
    )


SHOPS: list[Callable[..., Post]] = [on_flask, on_starlette, on_django, on_wsgi, on_asgi]
WITH_ROUTES: list[Callable[..., Post]] = [on_flask, on_starlette, on_django]
