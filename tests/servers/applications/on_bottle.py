"""The application in Bottle."""

# Not type-checked: the framework may not be installed, and lint must say the same with and without it.
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOptionalSubscript=false, reportCallIssue=false, reportReturnType=false

from __future__ import annotations

from typing import TYPE_CHECKING

import bottle

from otas_middleware.wsgi import OtasMiddleware
from servers.applications import behaviour

if TYPE_CHECKING:
    from collections.abc import Iterator


def echo() -> bytes:
    bottle.response.content_type = "application/octet-stream"
    return bottle.request.body.read()


def upload() -> bytes:
    return behaviour.read_upload(bottle.request.body)


def stream(name: str) -> Iterator[bytes]:
    return behaviour.slow_stream(name)


def endless(name: str) -> Iterator[bytes]:
    return behaviour.endless(name)


def download(size: int) -> Iterator[bytes]:
    return behaviour.download(size)


def fail() -> bytes:
    raise behaviour.BrokenError


application = bottle.Bottle()
application.route("/echo", "POST", echo)
application.route("/upload", "POST", upload)
application.route("/stream/<name>", "GET", stream)
application.route("/endless/<name>", "GET", endless)
application.route("/download/<size:int>", "GET", download)
application.route("/fail", "GET", fail)
if not behaviour.BARE:
    application = OtasMiddleware(application)
