"""Litestar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar import Litestar, Request, Response, Router, delete, get, head, post
from litestar.exceptions import NotFoundException
from litestar.params import FromPath  # noqa: TC002  # Litestar reads the handlers' annotations
from litestar.response import Redirect, Stream

from otas_middleware.asgi import OtasMiddleware
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
    from collections.abc import AsyncIterator

    from otas_middleware import OtasSettings
    from otas_middleware._capture.asgi_scope import ASGIApp

AnyRequest = Request[Any, Any, Any]
AnyResponse = Response[Any]
PLAIN = "text/plain"


@get("/empty", media_type=PLAIN)
async def empty() -> str:
    return ""


@post("/orders/{order_id:int}")
async def order(request: AnyRequest, order_id: FromPath[int]) -> dict[str, Any]:
    query = request.scope["query_string"].decode()
    return {"order": order_id, "received": await request.json(), "query": query}


@post("/form", status_code=200, media_type=PLAIN)
async def form(request: AnyRequest) -> str:
    form = await request.form()
    return f"{form['name']} from {form['city']}"


@post("/upload", status_code=200)
async def upload(request: AnyRequest) -> dict[str, Any]:
    form = await request.form()
    return {"note": form["note"], "name": form["file"].filename, "size": len(await form["file"].read())}


@post("/binary", status_code=200)
async def binary(request: AnyRequest) -> AnyResponse:
    return Response((await request.body())[::-1], media_type="image/png")


@post("/large", status_code=200, media_type=PLAIN)
async def large(request: AnyRequest) -> str:
    async for _ in request.stream():
        pass
    return LARGE_ANSWER.decode()


@get("/stream")
async def stream() -> Stream:
    return Stream(list(STREAM), media_type=PLAIN)


@post("/echo", status_code=200)
async def echo(request: AnyRequest) -> Stream:
    chunks = cut(await request.body(), request.scope["query_string"].decode())
    return Stream(chunks, media_type="application/octet-stream")


@head("/hello", media_type=PLAIN)
async def hello() -> None:
    return None


@delete("/items/{item_id:int}", status_code=204)
async def remove_item(item_id: FromPath[int]) -> None:
    if item_id != 7:
        raise NotFoundException


@get("/items/{item_id:int}")
async def show_item(item_id: FromPath[int]) -> dict[str, int]:
    raise NotFoundException


@get("/cached")
async def cached() -> AnyResponse:
    return Response(None, status_code=304, headers={"ETag": ETAG})


@get("/old", status_code=302)
async def old() -> Redirect:
    return Redirect("/hello")


@get("/cookies", media_type=PLAIN)
async def cookies() -> AnyResponse:
    response = Response("ok", media_type=PLAIN)
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


@get("/refused")
async def refused() -> None:
    serve_unknown_tea()


@get("/handled")
async def handled() -> None:
    serve_the_last_tea()


@get("/boom")
async def boom() -> None:
    raise RuntimeError("boom")


@get("/broken-stream")
async def broken_stream() -> Stream:
    async def broken() -> AsyncIterator[bytes]:
        for chunk in STREAM[:2]:
            yield chunk
        raise RuntimeError("mid-stream")

    return Stream(broken(), media_type=PLAIN)


@post("/unread", status_code=200, media_type=PLAIN)
async def unread() -> str:
    return "not looked at"


@get("/things/{thing_id:str}", media_type=PLAIN)
async def thing(thing_id: FromPath[str]) -> str:
    return f"thing {thing_id}"


@get("/grüße/{name:str}", media_type=PLAIN)
async def greet(name: FromPath[str]) -> str:
    return f"hello {name}"


@get("/whoami", media_type=PLAIN)
async def whoami() -> str:
    return observe("view")


@get("/whoami-stream")
async def whoami_stream() -> Stream:
    return Stream(observing_stream(), media_type=PLAIN)


def on_refused(_: AnyRequest, error: Exception) -> AnyResponse:
    return Response(str(error), status_code=409, media_type=PLAIN)


def on_out_of_tea(_: AnyRequest, error: Exception) -> AnyResponse:
    return Response(f"sorry, {error}", status_code=500, media_type=PLAIN)


def build(settings: OtasSettings | None) -> ASGIApp:
    views: list[Any] = [empty, order, form, upload, binary, large, stream, echo, hello, remove_item, show_item, cached]
    views += [whoami, whoami_stream, old, cookies, refused, handled, boom, broken_stream, unread, greet]
    views.append(Router("/mount", route_handlers=[Router("/inner", route_handlers=[thing])]))
    handlers: Any = {NoSuchTeaError: on_refused, OutOfTeaError: on_out_of_tea}
    # Without its own configuration of the process's logging, and its limit of ten megabytes.
    app = Litestar(views, exception_handlers=handlers, request_max_body_size=None, logging_config=None)
    return app if settings is None else OtasMiddleware(app, settings=settings)


HARNESSES = [Harness("litestar", "asgi", "litestar", build, answers_exceptions=True)]
