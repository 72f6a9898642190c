"""The application under load: a kilobyte of JSON for everything, and the counters of the worker that answers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import otas_middleware as otas
from otas_middleware.wsgi import OtasMiddleware

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

BODY = json.dumps({"ok": True, "text": "x" * 1000}).encode()


def respond(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    body = BODY
    if environ["PATH_INFO"] == "/stats":
        kilobytes = Path("/proc/self/statm").read_text().split()[1]
        body = json.dumps({"pid": os.getpid(), "rss": int(kilobytes) * 4096, **otas.stats()}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


application = OtasMiddleware(respond)
