"""FastAPI, with path operations as coroutine functions and as plain functions, which run in its thread pool."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, File, Form, HTTPException, Request, Response, UploadFile
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, StreamingResponse
from pydantic import BaseModel

from otas_middleware.asgi import OtasMiddleware
from support.harnesses._harness import Harness
from support.harnesses.asgi_raw import cut
from support.observing import observe, observing_stream
from support.scenarios import ETAG, LARGE_ANSWER, STREAM, NoSuchTeaError, OutOfTeaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otas_middleware import OtasSettings
    from otas_middleware._capture.asgi_scope import ASGIApp


class Order(BaseModel):
    item: str
    quantity: int
    note: str = ""


async def whole_body(request: Request) -> bytes:
    return await request.body()


Body = Annotated[bytes, Depends(whole_body)]


def empty() -> Response:
    return Response()


def order(order_id: int, order: Order, *, dry_run: bool, tag: str) -> dict[str, Any]:
    return {"order": order_id, "received": order.model_dump(), "query": [dry_run, tag]}


def form(name: Annotated[str, Form()], city: Annotated[str, Form()]) -> PlainTextResponse:
    return PlainTextResponse(f"{name} from {city}")


def upload(note: Annotated[str, Form()], file: Annotated[UploadFile, File()]) -> dict[str, Any]:
    return {"note": note, "name": file.filename, "size": len(file.file.read())}


def binary(body: Body) -> Response:
    return Response(body[::-1], media_type="image/png")


def large(body: Body) -> PlainTextResponse:
    return PlainTextResponse(LARGE_ANSWER if body else "")


def stream() -> StreamingResponse:
    return StreamingResponse(iter(STREAM), media_type="text/plain")


def echo(request: Request, body: Body) -> StreamingResponse:
    return StreamingResponse(cut(body, request.url.query), media_type="application/octet-stream")


def hello() -> PlainTextResponse:
    return PlainTextResponse("hello")


def item(item_id: int) -> None:
    if item_id != 7:
        raise HTTPException(404)


def cached() -> Response:
    return Response(status_code=304, headers={"etag": ETAG})


def old() -> RedirectResponse:
    return RedirectResponse("/hello", 302)


def cookies(response: Response) -> str:
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return "ok"


def refused() -> None:
    raise NoSuchTeaError("no such tea")


def handled() -> None:
    raise OutOfTeaError("no tea")


def boom() -> None:
    raise RuntimeError("boom")


def broken_stream() -> StreamingResponse:
    def broken() -> Iterator[bytes]:
        yield from STREAM[:2]
        raise RuntimeError("mid-stream")

    return StreamingResponse(broken(), media_type="text/plain")


def unread() -> PlainTextResponse:
    return PlainTextResponse("not looked at")


def thing(thing_id: str) -> str:
    return f"thing {thing_id}"


def greet(name: str) -> str:
    return f"hello {name}"


def whoami() -> PlainTextResponse:
    return PlainTextResponse(observe("view"))


def whoami_stream() -> StreamingResponse:
    return StreamingResponse(observing_stream(), media_type="text/plain")


def on_refused(_: Request, error: Exception) -> Response:
    return PlainTextResponse(str(error), 409)


def on_out_of_tea(_: Request, error: Exception) -> Response:
    return JSONResponse({"detail": f"sorry, {error}"}, 500)


def asynchronous(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function as a coroutine function with the same parameters."""

    @wraps(function)
    async def coroutine(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return coroutine


def synchronous(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function as it is."""
    return function


def builder(adapt: Callable[..., Any]) -> Callable[[OtasSettings | None], ASGIApp]:
    def build(settings: OtasSettings | None) -> ASGIApp:
        app = FastAPI()
        app.get("/empty")(adapt(empty))
        app.post("/orders/{order_id}", status_code=201)(adapt(order))
        app.post("/form")(adapt(form))
        app.post("/upload")(adapt(upload))
        app.post("/binary")(adapt(binary))
        app.post("/large")(adapt(large))
        app.get("/stream")(adapt(stream))
        app.post("/echo")(adapt(echo))
        app.head("/hello")(adapt(hello))
        app.delete("/items/{item_id}", status_code=204, response_model=None)(adapt(item))
        app.get("/items/{item_id}")(adapt(item))
        app.get("/cached")(adapt(cached))
        app.get("/old")(adapt(old))
        app.get("/cookies")(adapt(cookies))
        app.get("/refused")(adapt(refused))
        app.get("/handled")(adapt(handled))
        app.get("/boom")(adapt(boom))
        app.get("/broken-stream")(adapt(broken_stream))
        app.post("/unread")(adapt(unread))
        app.get("/grüße/{name}")(adapt(greet))
        app.get("/whoami")(adapt(whoami))
        app.get("/whoami-stream")(adapt(whoami_stream))
        things = APIRouter(prefix="/things")
        things.get("/{thing_id}")(adapt(thing))
        inner = FastAPI()
        inner.include_router(things)
        outer = FastAPI()
        outer.mount("/inner", inner)
        app.mount("/mount", outer)
        app.add_exception_handler(NoSuchTeaError, adapt(on_refused))
        app.add_exception_handler(OutOfTeaError, adapt(on_out_of_tea))
        if settings is not None:
            app.add_middleware(OtasMiddleware, settings=settings)
        return app

    return build


HARNESSES = [
    Harness("fastapi-async", "asgi", "fastapi", builder(asynchronous)),
    Harness("fastapi-sync", "asgi", "fastapi", builder(synchronous)),
]
