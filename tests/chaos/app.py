"""The application under load: a kilobyte of JSON for everything, and the counters of the worker that answers.

`application` is for gunicorn, `asgi` for uvicorn.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import otas_middleware as otas
from otas_middleware.asgi import OtasMiddleware as AsgiMiddleware
from otas_middleware.wsgi import OtasMiddleware

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

    from otas_middleware._capture.asgi_scope import Receive, Scope, Send

BODY = json.dumps({"ok": True, "text": "x" * 1000}).encode()


def respond(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    body = _body(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


async def respond_async(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = _body(scope["path"])
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _body(path: str) -> bytes:
    if path != "/stats":
        return BODY
    kilobytes = Path("/proc/self/statm").read_text().split()[1]
    return json.dumps({"pid": os.getpid(), "rss": int(kilobytes) * 4096, **otas.stats()}).encode()


application = OtasMiddleware(respond)
asgi = AsgiMiddleware(respond_async)
