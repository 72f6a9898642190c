"""The application in Starlette."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from otas_middleware.asgi import OtasMiddleware
from servers.applications import behaviour

if TYPE_CHECKING:
    from starlette.requests import Request


async def echo(request: Request) -> Response:
    return Response(await request.body(), media_type="application/octet-stream")


async def upload(request: Request) -> Response:
    return Response(await behaviour.read_upload_async(request.stream()))


async def stream(request: Request) -> Response:
    return StreamingResponse(behaviour.slow_stream_async(request.path_params["name"]))


async def endless(request: Request) -> Response:
    return StreamingResponse(behaviour.endless_async(request.path_params["name"]), media_type="text/event-stream")


async def quiet(request: Request) -> Response:
    return StreamingResponse(behaviour.quiet_async(request.path_params["name"]), media_type="text/event-stream")


async def download(request: Request) -> Response:
    return StreamingResponse(behaviour.download_async(request.path_params["size"]))


async def fail(_: Request) -> Response:
    raise behaviour.BrokenError


application = Starlette(
    routes=[
        Route("/echo", echo, methods=["POST"]),
        Route("/upload", upload, methods=["POST"]),
        Route("/stream/{name}", stream),
        Route("/endless/{name}", endless),
        Route("/quiet/{name}", quiet),
        Route("/download/{size:int}", download),
        Route("/fail", fail),
    ]
)
if not behaviour.BARE:
    application.add_middleware(OtasMiddleware)
