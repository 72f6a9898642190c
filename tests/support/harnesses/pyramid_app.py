"""Pyramid."""

# pyright: basic
# (Pyramid has no types.)

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPFound, HTTPNotFound
from pyramid.response import Response

from otas_middleware.wsgi import OtasMiddleware
from support.harnesses._harness import Harness
from support.harnesses.asgi_raw import cut
from support.observing import observe, observing_stream
from support.scenarios import ETAG, LARGE_ANSWER, STREAM, NoSuchTeaError, OutOfTeaError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from wsgiref.types import WSGIApplication

    from otas_middleware import OtasSettings


def plain(body: bytes | str, status: int = 200) -> Response:
    text = body.encode() if isinstance(body, str) else body
    return Response(text, status, content_type="text/plain", charset="utf-8")


def streamed(chunks: Iterator[bytes], kind: str = "text/plain") -> Response:
    return Response(app_iter=chunks, content_type=kind)


def order(request: Any) -> Response:
    answer = {"order": int(request.matchdict["order_id"]), "received": request.json, "query": request.query_string}
    return Response(json_body=answer, status=201, content_type="application/json")


def upload(request: Any) -> Response:
    file = request.POST["file"]
    return Response(json_body={"note": request.POST["note"], "name": file.filename, "size": len(file.file.read())})


def large(request: Any) -> Response:
    while request.body_file.read(10_000):
        pass
    return plain(LARGE_ANSWER)


def item(request: Any) -> Response:
    if request.matchdict["item_id"] != "7":
        raise HTTPNotFound
    response = Response(status=204)
    del response.content_type
    return response


def cached(_: Any) -> Response:
    return Response("the cached page", etag=ETAG.strip('"'), conditional_response=True)


def cookies(_: Any) -> Response:
    response = plain("ok")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


def refused(_: Any) -> Response:
    raise NoSuchTeaError("no such tea")


def handled(_: Any) -> Response:
    raise OutOfTeaError("no tea")


def boom(_: Any) -> Response:
    raise RuntimeError("boom")


def broken_stream(_: Any) -> Response:
    def broken() -> Iterator[bytes]:
        yield from STREAM[:2]
        raise RuntimeError("mid-stream")

    return streamed(broken())


VIEWS: dict[str, Any] = {
    "/empty": lambda _: plain(b""),
    "/orders/{order_id}": order,
    "/form": lambda request: plain(f"{request.POST['name']} from {request.POST['city']}"),
    "/upload": upload,
    "/binary": lambda request: Response(request.body[::-1], content_type="image/png"),
    "/large": large,
    "/stream": lambda _: streamed(iter(STREAM)),
    "/echo": lambda request: streamed(iter(cut(request.body, request.query_string)), "application/octet-stream"),
    "/hello": lambda _: plain("hello"),
    "/items/{item_id}": item,
    "/cached": cached,
    "/old": lambda _: HTTPFound("/hello"),
    "/cookies": cookies,
    "/refused": refused,
    "/handled": handled,
    "/boom": boom,
    "/broken-stream": broken_stream,
    "/unread": lambda _: plain("not looked at"),
    "/mount/inner/things/{thing_id}": lambda request: plain(f"thing {request.matchdict['thing_id']}"),
    "/whoami": lambda _: plain(observe("view")),
    "/whoami-stream": lambda _: streamed(observing_stream()),
    "/grüße/{name}": lambda request: plain(f"hello {request.matchdict['name']}"),
}


def build(settings: OtasSettings | None) -> WSGIApplication:
    with Configurator() as config:
        for pattern, view in VIEWS.items():
            config.add_route(pattern, pattern)
            config.add_view(view, route_name=pattern)
        config.add_exception_view(lambda error, _: plain(str(error), 409), context=NoSuchTeaError)
        config.add_exception_view(lambda error, _: plain(f"sorry, {error}", 500), context=OutOfTeaError)
        app: WSGIApplication = config.make_wsgi_app()
    return app if settings is None else OtasMiddleware(app, settings=settings)


HARNESSES = [Harness("pyramid", "wsgi", "pyramid", build, has_routes=False, unnamed=("handled error",))]
