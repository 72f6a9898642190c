"""Quart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import quart
from quart import Blueprint, Quart, Response, abort, redirect

from otas_middleware.asgi import OtasMiddleware
from support.harnesses._harness import Harness
from support.harnesses.asgi_raw import cut
from support.observing import observe, observing_stream
from support.scenarios import ETAG, LARGE_ANSWER, STREAM, NoSuchTeaError, OutOfTeaError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from otas_middleware import OtasSettings
    from otas_middleware._capture.asgi_scope import ASGIApp


request: Any = quart.request  # its form is a MultiDict of unknown types


async def chunks_of(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def empty() -> str:
    return ""


async def order(order_id: int) -> tuple[dict[str, Any], int]:
    return {"order": order_id, "received": await request.json, "query": request.query_string.decode()}, 201


async def form() -> str:
    form = await request.form
    return f"{form['name']} from {form['city']}"


async def upload() -> dict[str, Any]:
    form = await request.form
    files = await request.files
    return {"note": form["note"], "name": files["file"].filename, "size": len(files["file"].read())}


async def binary() -> Response:
    body = await request.get_data(as_text=False)
    return Response(body[::-1], mimetype="image/png")


async def large() -> str:
    async for _ in request.body:
        pass
    return LARGE_ANSWER.decode()


async def stream() -> Response:
    return Response(chunks_of(STREAM), mimetype="text/plain")


async def echo() -> Response:
    body = await request.get_data(as_text=False)
    chunks = cut(body, request.query_string.decode())
    return Response(chunks_of(chunks), mimetype="application/octet-stream")


async def hello() -> str:
    return "hello"


async def item(item_id: int) -> tuple[str, int]:
    if item_id != 7:
        abort(404)
    return "", 204


async def cached() -> Response:
    return Response(status=304, headers={"ETag": ETAG})


async def old() -> Any:
    return redirect("/hello")


async def cookies() -> Response:
    response = Response("ok")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


async def refused() -> str:
    raise NoSuchTeaError("no such tea")


async def handled() -> str:
    raise OutOfTeaError("no tea")


async def boom() -> str:
    raise RuntimeError("boom")


async def broken_stream() -> Response:
    async def broken() -> AsyncIterator[bytes]:
        for chunk in STREAM[:2]:
            yield chunk
        raise RuntimeError("mid-stream")

    return Response(broken(), mimetype="text/plain")


async def unread() -> str:
    return "not looked at"


async def thing(thing_id: str) -> str:
    return f"thing {thing_id}"


async def greet(name: str) -> str:
    return f"hello {name}"


async def whoami() -> str:
    return observe("view")


async def whoami_stream() -> Response:
    return Response(chunks_of(observing_stream()), mimetype="text/plain")


async def on_refused(error: NoSuchTeaError) -> tuple[str, int]:
    return str(error), 409


async def on_out_of_tea(error: OutOfTeaError) -> tuple[str, int]:
    return f"sorry, {error}", 500


def build(settings: OtasSettings | None) -> ASGIApp:
    app = Quart(__name__)
    app.get("/empty")(empty)
    app.post("/orders/<int:order_id>")(order)
    app.post("/form")(form)
    app.post("/upload")(upload)
    app.post("/binary")(binary)
    app.post("/large")(large)
    app.get("/stream")(stream)
    app.post("/echo")(echo)
    app.get("/hello")(hello)
    app.route("/items/<int:item_id>", methods=["GET", "DELETE"])(item)
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
    inner = Blueprint("inner", __name__, url_prefix="/inner")
    inner.get("/things/<thing_id>")(thing)
    outer = Blueprint("outer", __name__, url_prefix="/mount")
    outer.register_blueprint(inner)
    app.register_blueprint(outer)
    app.errorhandler(NoSuchTeaError)(on_refused)
    app.errorhandler(OutOfTeaError)(on_out_of_tea)
    if settings is not None:
        app.asgi_app = OtasMiddleware(app.asgi_app, settings=settings)  # type: ignore[method-assign]  # Quart's own way
    return app


UNNAMED = ("handled error", "unhandled exception")
HARNESSES = [
    Harness(
        "quart",
        "asgi",
        "quart",
        build,
        has_routes=False,
        answers_exceptions=True,
        unnamed=UNNAMED,
        reads_ahead=True,
    )
]
