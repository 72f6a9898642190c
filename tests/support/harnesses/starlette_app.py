"""Starlette, with asynchronous endpoints and with synchronous ones, which run in its thread pool."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from anyio.from_thread import run as run_in_loop
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from otas_middleware.asgi import OtasMiddleware
from support.harnesses._harness import Harness
from support.harnesses.asgi_raw import cut
from support.observing import observe, observing_stream
from support.scenarios import ETAG, LARGE_ANSWER, STREAM, NoSuchTeaError, OutOfTeaError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from starlette.requests import Request

    from otas_middleware import OtasSettings
    from otas_middleware._capture.asgi_scope import ASGIApp

    View = Callable[..., Coroutine[Any, Any, Response]]


async def empty(_: Request) -> Response:
    return Response()


async def order(request: Request) -> Response:
    answer = {"order": request.path_params["order_id"], "received": await request.json(), "query": request.url.query}
    return JSONResponse(answer, 201)


async def form(request: Request) -> Response:
    form = await request.form()
    return PlainTextResponse(f"{form['name']} from {form['city']}")


async def upload(request: Request) -> Response:
    async with request.form() as form:
        file: Any = form["file"]
        return JSONResponse({"note": form["note"], "name": file.filename, "size": len(await file.read())})


async def binary(request: Request) -> Response:
    return Response((await request.body())[::-1], media_type="image/png")


async def large(request: Request) -> Response:
    async for _ in request.stream():
        pass
    return PlainTextResponse(LARGE_ANSWER)


async def stream(_: Request) -> Response:
    return StreamingResponse(iter(STREAM), media_type="text/plain")


async def echo(request: Request) -> Response:
    return StreamingResponse(cut(await request.body(), request.url.query), media_type="application/octet-stream")


async def hello(_: Request) -> Response:
    return PlainTextResponse("hello")


async def item(request: Request) -> Response:
    if request.path_params["item_id"] != 7:
        raise HTTPException(404)
    return Response(status_code=204)


async def cached(_: Request) -> Response:
    return Response(status_code=304, headers={"etag": ETAG})


async def old(_: Request) -> Response:
    return RedirectResponse("/hello", 302)


async def cookies(_: Request) -> Response:
    response = PlainTextResponse("ok")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


async def refused(_: Request) -> Response:
    raise NoSuchTeaError("no such tea")


async def handled(_: Request) -> Response:
    raise OutOfTeaError("no tea")


async def boom(_: Request) -> Response:
    raise RuntimeError("boom")


async def broken_stream(_: Request) -> Response:
    async def broken() -> AsyncIterator[bytes]:
        for chunk in STREAM[:2]:
            yield chunk
        raise RuntimeError("mid-stream")

    return StreamingResponse(broken(), media_type="text/plain")


async def unread(_: Request) -> Response:
    return PlainTextResponse("not looked at")


async def thing(request: Request) -> Response:
    return PlainTextResponse(f"thing {request.path_params['thing_id']}")


async def greet(request: Request) -> Response:
    return PlainTextResponse(f"hello {request.path_params['name']}")


async def whoami(_: Request) -> Response:
    return PlainTextResponse(observe("view"))


async def whoami_stream(_: Request) -> Response:
    return StreamingResponse(observing_stream(), media_type="text/plain")


async def on_refused(_: Request, error: Exception) -> Response:
    return PlainTextResponse(str(error), 409)


async def on_out_of_tea(_: Request, error: Exception) -> Response:
    return PlainTextResponse(f"sorry, {error}", 500)


def synchronous(view: View) -> Callable[..., Response]:
    """Return a view for the thread pool that awaits in the event loop's thread."""

    @wraps(view)
    def in_thread(*args: Any) -> Response:
        return run_in_loop(view, *args)

    return in_thread


def asynchronous(view: View) -> View:
    """Return the view as it is."""
    return view


def builder(adapt: Callable[..., Any]) -> Callable[[OtasSettings | None], ASGIApp]:
    def route(path: str, view: View, *methods: str) -> Route:
        return Route(path, adapt(view), methods=methods or None)

    def build(settings: OtasSettings | None) -> ASGIApp:
        app = Starlette(
            routes=[
                route("/empty", empty),
                route("/orders/{order_id:int}", order, "POST"),
                route("/form", form, "POST"),
                route("/upload", upload, "POST"),
                route("/binary", binary, "POST"),
                route("/large", large, "POST"),
                route("/stream", stream),
                route("/echo", echo, "POST"),
                route("/hello", hello),
                route("/items/{item_id:int}", item, "GET", "DELETE"),
                route("/cached", cached),
                route("/old", old),
                route("/cookies", cookies),
                route("/refused", refused),
                route("/handled", handled),
                route("/boom", boom),
                route("/broken-stream", broken_stream),
                route("/unread", unread, "POST"),
                Mount("/mount", routes=[Mount("/inner", app=Starlette(routes=[route("/things/{thing_id}", thing)]))]),
                route("/grüße/{name}", greet),
                route("/whoami", whoami),
                route("/whoami-stream", whoami_stream),
            ],
            exception_handlers={NoSuchTeaError: adapt(on_refused), OutOfTeaError: adapt(on_out_of_tea)},
        )
        if settings is not None:
            app.add_middleware(OtasMiddleware, settings=settings)
        return app

    return build


HARNESSES = [
    Harness("starlette-async", "asgi", "starlette", builder(asynchronous)),
    Harness("starlette-sync", "asgi", "starlette", builder(synchronous)),
]
