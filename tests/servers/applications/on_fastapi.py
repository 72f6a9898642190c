"""The application in FastAPI."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from otas_middleware.asgi import OtasMiddleware
from servers.applications import behaviour

application = FastAPI()


@application.post("/echo")
async def echo(request: Request) -> Response:
    return Response(await request.body(), media_type="application/octet-stream")


@application.post("/upload")
async def upload(request: Request) -> Response:
    return Response(await behaviour.read_upload_async(request.stream()))


@application.get("/stream/{name}")
async def stream(name: str) -> StreamingResponse:
    return StreamingResponse(behaviour.slow_stream_async(name))


@application.get("/endless/{name}")
async def endless(name: str) -> StreamingResponse:
    return StreamingResponse(behaviour.endless_async(name), media_type="text/event-stream")


@application.get("/download/{size}")
async def download(size: int) -> StreamingResponse:
    return StreamingResponse(behaviour.download_async(size))


@application.get("/fail")
async def fail() -> Response:
    raise behaviour.BrokenError


if not behaviour.BARE:
    application.add_middleware(OtasMiddleware)
