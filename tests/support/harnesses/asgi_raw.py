"""A bare ASGI application."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode

from otas_middleware.asgi import OtasMiddleware
from support.harnesses._harness import Harness
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
    from collections.abc import Iterable

    from otas_middleware import OtasSettings
    from otas_middleware._capture.asgi_scope import ASGIApp, Receive, Scope, Send

Headers = list[tuple[bytes, bytes]]
PLAIN = (b"content-type", b"text/plain; charset=utf-8")
OCTETS = (b"content-type", b"application/octet-stream")


async def read_body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


async def respond(send: Send, status: int, body: bytes = b"", *headers: tuple[bytes, bytes]) -> None:
    length = [] if status in {204, 304} else [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *length]})
    await send({"type": "http.response.body", "body": body})


async def stream(send: Send, chunks: Iterable[bytes], kind: tuple[bytes, bytes] = PLAIN, *, ends: bool = True) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [kind]})
    for chunk in chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    if ends:
        await send({"type": "http.response.body"})


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    path: str = scope["path"]
    if scope["root_path"]:
        path = path.removeprefix(scope["root_path"])
    query: str = scope["query_string"].decode()
    match path.split("/")[1:]:
        case ["empty"]:
            await respond(send, 200)
        case ["orders", order]:
            received = json.loads(await read_body(receive))
            answer = json.dumps({"order": int(order), "received": received, "query": query}).encode()
            await respond(send, 201, answer, (b"content-type", b"application/json"))
        case ["form"]:
            form = parse_qs((await read_body(receive)).decode())
            await respond(send, 200, urlencode(form, doseq=True).encode(), PLAIN)
        case ["upload"]:
            await respond(send, 200, str(len(await read_body(receive))).encode(), PLAIN)
        case ["binary"]:
            await respond(send, 200, (await read_body(receive))[::-1], (b"content-type", b"image/png"))
        case ["large"]:
            await read_body(receive)
            await respond(send, 200, LARGE_ANSWER, PLAIN)
        case ["stream"]:
            await stream(send, STREAM)
        case ["echo"]:
            await stream(send, cut(await read_body(receive), query), OCTETS)
        case ["hello"]:
            await respond(send, 200, b"" if scope["method"] == "HEAD" else b"hello", PLAIN)
        case ["items", "7"] if scope["method"] == "DELETE":
            await respond(send, 204)
        case ["cached"]:
            await respond(send, 304, b"", (b"etag", ETAG.encode()))
        case ["old"]:
            await respond(send, 302, b"", (b"location", b"/hello"))
        case ["cookies"]:
            await respond(send, 200, b"ok", PLAIN, (b"set-cookie", b"a=1; Path=/"), (b"set-cookie", b"b=2; Path=/"))
        case ["refused"]:
            try:
                serve_unknown_tea()
            except NoSuchTeaError:
                await respond(send, 409, b"no such tea", PLAIN)
        case ["handled"]:
            try:
                serve_the_last_tea()
            except OutOfTeaError:
                await respond(send, 500, b"sorry, no tea", PLAIN)
        case ["boom"]:
            raise RuntimeError("boom")
        case ["broken-stream"]:
            await stream(send, STREAM[:2], ends=False)
            raise RuntimeError("mid-stream")
        case ["unread"]:
            await respond(send, 200, b"not looked at", PLAIN)
        case ["mount", "inner", "things", thing]:
            await respond(send, 200, f"thing {thing}".encode(), PLAIN)
        case ["whoami"]:
            await respond(send, 200, observe("view").encode(), PLAIN)
        case ["whoami-stream"]:
            await stream(send, observing_stream())
        case ["grüße", name]:
            await respond(send, 200, f"hello {name}".encode(), PLAIN)
        case _:
            await respond(send, 404, b"not found", PLAIN)


def cut(body: bytes, sizes: str) -> list[bytes]:
    """Cut a body into chunks of these sizes, such as `"7,1,400"`, and a last one of the rest."""
    chunks: list[bytes] = []
    for size in map(int, sizes.split(",") if sizes else []):
        chunks.append(body[:size])
        body = body[size:]
    return [*chunks, body]


def build(settings: OtasSettings | None) -> ASGIApp:
    return app if settings is None else OtasMiddleware(app, settings=settings)


HARNESSES = [Harness("asgi", "asgi", "asgi", build, has_routes=False)]
