"""Bottle."""

# pyright: basic
# (Bottle has no types.)

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bottle

from otas_middleware.wsgi import OtasMiddleware
from support.harnesses._harness import Harness
from support.harnesses.asgi_raw import cut
from support.observing import observe, observing_stream
from support.scenarios import (
    ETAG,
    LARGE_ANSWER,
    STREAM,
    NoSuchTeaError,
    OutOfTeaError,
    serve_the_last_tea,
    serve_unknown_tea,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from wsgiref.types import WSGIApplication

    from otas_middleware import OtasSettings

request: Any = bottle.request
response: Any = bottle.response


def plain(text: str | bytes) -> str | bytes:
    response.content_type = "text/plain; charset=utf-8"
    return text


def empty() -> str | bytes:
    return plain("")


def order(order_id: int) -> dict[str, Any]:
    response.status = 201
    return {"order": order_id, "received": request.json, "query": request.query_string}


def form() -> str | bytes:
    return plain(f"{request.forms.name} from {request.forms.city}")


def upload() -> dict[str, Any]:
    file = request.files["file"]
    return {"note": request.forms.note, "name": file.filename, "size": len(file.file.read())}


def binary() -> bytes:
    response.content_type = "image/png"
    body: bytes = request.body.read()
    return body[::-1]


def large() -> str | bytes:
    request.body.read()
    return plain(LARGE_ANSWER)


def stream() -> Iterator[bytes]:
    plain("")
    return iter(STREAM)


def echo() -> Iterator[bytes]:
    response.content_type = "application/octet-stream"
    return (chunk for chunk in cut(request.body.read(), request.query_string))


def hello() -> str | bytes:
    return plain("hello")


def item(item_id: int) -> None:
    if item_id != 7:
        bottle.abort(404)
    response.status = 204


def cached() -> None:
    response.status = 304
    response.set_header("ETag", ETAG)


def old() -> None:
    bottle.redirect("/hello", 302)


def cookies() -> str | bytes:
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return plain("ok")


def refused() -> str | bytes:
    try:
        serve_unknown_tea()
    except NoSuchTeaError as error:
        response.status = 409
        return plain(str(error))


def handled() -> str | bytes:
    try:
        serve_the_last_tea()
    except OutOfTeaError as error:
        response.status = 500
        return plain(f"sorry, {error}")


def boom() -> None:
    raise RuntimeError("boom")


def broken_stream() -> Iterator[bytes]:
    plain("")
    yield from STREAM[:2]
    raise RuntimeError("mid-stream")


def unread() -> str | bytes:
    return plain("not looked at")


def thing(thing_id: str) -> str | bytes:
    return plain(f"thing {thing_id}")


def greet(name: str) -> str | bytes:
    return plain(f"hello {name}")


def whoami() -> str | bytes:
    return plain(observe("view"))


def whoami_stream() -> Iterator[bytes]:
    plain("")
    return observing_stream()


def build(settings: OtasSettings | None) -> WSGIApplication:
    app: Any = bottle.Bottle()
    app.get("/empty")(empty)
    app.post("/orders/<order_id:int>")(order)
    app.post("/form")(form)
    app.post("/upload")(upload)
    app.post("/binary")(binary)
    app.post("/large")(large)
    app.get("/stream")(stream)
    app.post("/echo")(echo)
    app.get("/hello")(hello)
    app.route("/items/<item_id:int>", ["GET", "DELETE"])(item)
    app.get("/cached")(cached)
    app.get("/old")(old)
    app.get("/cookies")(cookies)
    app.get("/refused")(refused)
    app.get("/handled")(handled)
    app.get("/boom")(boom)
    app.get("/broken-stream")(broken_stream)
    app.post("/unread")(unread)
    app.get("/grüße/<name>")(greet)
    app.get("/whoami")(whoami)
    app.get("/whoami-stream")(whoami_stream)
    things: Any = bottle.Bottle()
    things.get("/things/<thing_id>")(thing)
    inner: Any = bottle.Bottle()
    inner.mount("/inner/", things)
    app.mount("/mount/", inner)
    return app if settings is None else OtasMiddleware(app, settings=settings)


HARNESSES = [
    Harness("bottle", "wsgi", "bottle", build, has_routes=False, answers_exceptions=True, unnamed=("handled error",))
]
