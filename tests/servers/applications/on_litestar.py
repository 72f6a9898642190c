"""The application in Litestar."""

# Not type-checked: the framework may not be installed, and lint must say the same with and without it.
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOptionalSubscript=false, reportCallIssue=false, reportReturnType=false

from __future__ import annotations

import litestar
from litestar.response import Stream

from otas_middleware.asgi import OtasMiddleware
from servers.applications import behaviour

BYTES = "application/octet-stream"


async def echo(request: litestar.Request) -> bytes:
    return await request.body()


async def upload(request: litestar.Request) -> bytes:
    return await behaviour.read_upload_async(request.stream())


async def stream(name: str) -> Stream:
    return Stream(behaviour.slow_stream_async(name))


async def endless(name: str) -> Stream:
    return Stream(behaviour.endless_async(name), media_type="text/event-stream")


async def download(size: int) -> Stream:
    return Stream(behaviour.download_async(size))


async def fail() -> bytes:
    raise behaviour.BrokenError


application = litestar.Litestar(
    [
        litestar.post("/echo", media_type=BYTES, status_code=200)(echo),
        litestar.post("/upload", media_type=BYTES, status_code=200)(upload),
        litestar.get("/stream/{name:str}")(stream),
        litestar.get("/endless/{name:str}")(endless),
        litestar.get("/download/{size:int}")(download),
        litestar.get("/fail")(fail),
    ],
    openapi_config=None,
)
if not behaviour.BARE:
    application = OtasMiddleware(application)
