"""Falcon, as a WSGI and as an ASGI application."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import falcon
import falcon.asgi

from otas_middleware import asgi, wsgi
from support.harnesses._harness import Harness
from support.harnesses.asgi_raw import cut
from support.observing import observe, observing_stream
from support.scenarios import ETAG, LARGE_ANSWER, STREAM, NoSuchTeaError, OutOfTeaError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    from otas_middleware import OtasSettings


def broken() -> Iterator[bytes]:
    yield from STREAM[:2]
    raise RuntimeError("mid-stream")


async def awaited(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def answer(path: list[str], req: Any, resp: Any, body: bytes, streamable: Callable[[Iterable[bytes]], Any]) -> None:
    """Answer a request whose body was read already."""
    resp.content_type = "text/plain"
    match path:
        case ["empty"]:
            resp.text = ""
        case ["orders", order]:
            resp.status = 201
            resp.media = {"order": int(order), "received": json.loads(body), "query": req.query_string}
            resp.content_type = "application/json"
        case ["form"]:
            resp.text = json.dumps(parse_qs(body.decode()))
        case ["upload"]:
            resp.text = str(len(body))
        case ["binary"]:
            resp.data, resp.content_type = body[::-1], "image/png"
        case ["large"]:
            resp.data = LARGE_ANSWER
        case ["stream"]:
            resp.stream = streamable(STREAM)
        case ["echo"]:
            resp.stream = streamable(cut(body, req.query_string))
            resp.content_type = "application/octet-stream"
        case ["hello"]:
            resp.text = "hello"
        case ["items", "7"]:
            resp.status, resp.content_type = 204, None
        case ["cached"]:
            resp.status, resp.content_type, resp.etag = 304, None, ETAG.strip('"')
        case ["old"]:
            raise falcon.HTTPFound("/hello")
        case ["cookies"]:
            resp.text = "ok"
            resp.set_cookie("a", "1", http_only=False, secure=False)
            resp.set_cookie("b", "2", http_only=False, secure=False)
        case ["refused"]:
            raise NoSuchTeaError("no such tea")
        case ["handled"]:
            raise OutOfTeaError("no tea")
        case ["boom"]:
            raise RuntimeError("boom")
        case ["broken-stream"]:
            resp.stream = streamable(broken())
        case ["unread"]:
            resp.text = "not looked at"
        case ["mount", "inner", "things", thing]:
            resp.text = f"thing {thing}"
        case ["whoami"]:
            resp.text = observe("view")
        case ["whoami-stream"]:
            resp.stream = streamable(observing_stream())
        case ["grüße", name]:
            resp.text = f"hello {name}"
        case _:
            raise falcon.HTTPNotFound


def parts(req: Any) -> list[str]:
    path: str = req.path
    return path.split("/")[1:]


class Resource:
    """Answers every path, as a sink does that routes by itself."""

    def __call__(self, req: Any, resp: Any, **_: Any) -> None:
        path = parts(req)
        body = b"" if path == ["unread"] else req.bounded_stream.read()
        answer(path, req, resp, body, iter)


class AsyncResource:
    """As `Resource`, for ASGI."""

    async def __call__(self, req: Any, resp: Any, **_: Any) -> None:
        path = parts(req)
        body = b"" if path == ["unread"] else await req.stream.read()
        answer(path, req, resp, body, awaited)


def on_refused(_: Any, resp: Any, error: NoSuchTeaError, __: Any) -> None:
    resp.status, resp.text, resp.content_type = 409, str(error), "text/plain"


def on_out_of_tea(_: Any, resp: Any, error: OutOfTeaError, __: Any) -> None:
    resp.status, resp.text, resp.content_type = 500, f"sorry, {error}", "text/plain"


async def on_refused_async(req: Any, resp: Any, error: NoSuchTeaError, params: Any) -> None:
    on_refused(req, resp, error, params)


async def on_out_of_tea_async(req: Any, resp: Any, error: OutOfTeaError, params: Any) -> None:
    on_out_of_tea(req, resp, error, params)


def build_wsgi(settings: OtasSettings | None) -> Any:
    app = falcon.App()
    app.add_sink(Resource(), "/")
    app.add_error_handler(NoSuchTeaError, on_refused)
    app.add_error_handler(OutOfTeaError, on_out_of_tea)
    return app if settings is None else wsgi.OtasMiddleware(app, settings=settings)


def build_asgi(settings: OtasSettings | None) -> Any:
    app: Any = falcon.asgi.App()
    app.add_sink(AsyncResource(), "/")
    app.add_error_handler(NoSuchTeaError, on_refused_async)
    app.add_error_handler(OutOfTeaError, on_out_of_tea_async)
    return app if settings is None else asgi.OtasMiddleware(app, settings=settings)


UNNAMED = ("handled error", "unhandled exception")
HARNESSES = [
    Harness("falcon", "wsgi", "falcon", build_wsgi, has_routes=False, answers_exceptions=True, unnamed=UNNAMED),
    Harness(
        "falcon-async",
        "asgi",
        "falcon",
        build_asgi,
        has_routes=False,
        answers_exceptions=True,
        unnamed=UNNAMED,
        reads_ahead=True,
    ),
]
