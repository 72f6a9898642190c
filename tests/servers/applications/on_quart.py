"""The application in Quart."""

# Not type-checked: the framework may not be installed, and lint must say the same with and without it.
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOptionalSubscript=false, reportCallIssue=false, reportReturnType=false

from __future__ import annotations

import quart

from otas_middleware.asgi import OtasMiddleware
from servers.applications import behaviour


async def echo() -> quart.Response:
    return quart.Response(await quart.request.get_data(), mimetype="application/octet-stream")


async def upload() -> quart.Response:
    return quart.Response(await behaviour.read_upload_async(aiter(quart.request.body)))


async def stream(name: str) -> quart.Response:
    return quart.Response(behaviour.slow_stream_async(name), mimetype="application/octet-stream")


async def endless(name: str) -> quart.Response:
    return quart.Response(behaviour.endless_async(name), mimetype="text/event-stream")


async def download(size: int) -> quart.Response:
    return quart.Response(behaviour.download_async(size), mimetype="application/octet-stream")


async def fail() -> quart.Response:
    raise behaviour.BrokenError


application = quart.Quart(__name__)
application.config["RESPONSE_TIMEOUT"] = None
application.add_url_rule("/echo", view_func=echo, methods=["POST"])
application.add_url_rule("/upload", view_func=upload, methods=["POST"])
application.add_url_rule("/stream/<name>", view_func=stream)
application.add_url_rule("/endless/<name>", view_func=endless)
application.add_url_rule("/download/<int:size>", view_func=download)
application.add_url_rule("/fail", view_func=fail)
if not behaviour.BARE:
    application.asgi_app = OtasMiddleware(application.asgi_app)
