"""A bare WSGI application."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode

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
    from collections.abc import Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from otas_middleware import OtasSettings

PLAIN = ("Content-Type", "text/plain; charset=utf-8")


def read_body(environ: WSGIEnvironment) -> bytes:
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return body


def broken_stream() -> Iterator[bytes]:
    yield from STREAM[:2]
    raise RuntimeError("mid-stream")


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    def respond(status: str, body: bytes = b"", *headers: tuple[str, str]) -> list[bytes]:
        length = [] if status[:3] in {"204", "304"} else [("Content-Length", str(len(body)))]
        start_response(status, [*headers, *length])
        return [body] if body else []

    path: str = environ["PATH_INFO"].encode("latin-1").decode()
    method: str = environ["REQUEST_METHOD"]
    query: str = environ["QUERY_STRING"]
    match path.split("/")[1:]:
        case ["empty"]:
            return respond("200 OK", b"", PLAIN)
        case ["orders", order]:
            answer = {"order": int(order), "received": json.loads(read_body(environ)), "query": query}
            return respond("201 Created", json.dumps(answer).encode(), ("Content-Type", "application/json"))
        case ["form"]:
            form = parse_qs(read_body(environ).decode())
            return respond("200 OK", urlencode(form, doseq=True).encode(), PLAIN)
        case ["upload"]:
            return respond("200 OK", str(len(read_body(environ))).encode(), PLAIN)
        case ["binary"]:
            return respond("200 OK", read_body(environ)[::-1], ("Content-Type", "image/png"))
        case ["large"]:
            read_body(environ)
            return respond("200 OK", LARGE_ANSWER, PLAIN)
        case ["stream"]:
            start_response("200 OK", [PLAIN])
            return iter(STREAM)
        case ["echo"]:
            start_response("200 OK", [("Content-Type", "application/octet-stream")])
            return (chunk for chunk in cut(read_body(environ), query))
        case ["hello"]:
            return respond("200 OK", b"" if method == "HEAD" else b"hello", PLAIN)
        case ["items", "7"] if method == "DELETE":
            return respond("204 No Content")
        case ["cached"]:
            return respond("304 Not Modified", b"", ("ETag", ETAG))
        case ["old"]:
            return respond("302 Found", b"", PLAIN, ("Location", "/hello"))
        case ["cookies"]:
            return respond("200 OK", b"ok", PLAIN, ("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2; Path=/"))
        case ["refused"]:
            try:
                serve_unknown_tea()
            except NoSuchTeaError:
                return respond("409 Conflict", b"no such tea", PLAIN)
        case ["handled"]:
            try:
                serve_the_last_tea()
            except OutOfTeaError:
                return respond("500 Internal Server Error", b"sorry, no tea", PLAIN)
        case ["boom"]:
            raise RuntimeError("boom")
        case ["broken-stream"]:
            start_response("200 OK", [PLAIN])
            return broken_stream()
        case ["unread"]:
            return respond("200 OK", b"not looked at", PLAIN)
        case ["mount", "inner", "things", thing]:
            return respond("200 OK", f"thing {thing}".encode(), PLAIN)
        case ["whoami"]:
            return respond("200 OK", observe("view").encode(), PLAIN)
        case ["whoami-stream"]:
            start_response("200 OK", [PLAIN])
            return observing_stream()
        case ["grüße", name]:
            return respond("200 OK", f"hello {name}".encode(), PLAIN)
        case _:
            return respond("404 Not Found", b"not found", PLAIN)


def build(settings: OtasSettings | None) -> WSGIApplication:
    return app if settings is None else OtasMiddleware(app, settings=settings)


HARNESSES = [Harness("wsgi", "wsgi", "wsgi", build, has_routes=False)]
