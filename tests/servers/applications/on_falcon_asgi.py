"""The application in Falcon, for ASGI servers."""

# Not type-checked: the framework may not be installed, and lint must say the same with and without it.
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOptionalSubscript=false, reportCallIssue=false, reportReturnType=false

from __future__ import annotations

import falcon.asgi

from otas_middleware.asgi import OtasMiddleware
from servers.applications import behaviour


class Echo:
    async def on_post(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        response.content_type = falcon.MEDIA_TEXT
        response.data = await request.bounded_stream.read()


class Upload:
    async def on_post(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        response.data = await behaviour.read_upload_async(aiter(request.bounded_stream))


class Stream:
    async def on_get(self, _: falcon.asgi.Request, response: falcon.asgi.Response, name: str) -> None:
        response.stream = behaviour.slow_stream_async(name)


class Endless:
    async def on_get(self, _: falcon.asgi.Request, response: falcon.asgi.Response, name: str) -> None:
        # Of its streams Falcon watches only this kind for a client that goes away.
        response.sse = (falcon.asgi.SSEvent(data=tick) async for tick in behaviour.endless_async(name))


class Download:
    async def on_get(self, _: falcon.asgi.Request, response: falcon.asgi.Response, size: int) -> None:
        response.stream = behaviour.download_async(size)


class Fail:
    async def on_get(self, _: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        raise behaviour.BrokenError


application = falcon.asgi.App()
application.add_route("/echo", Echo())
application.add_route("/upload", Upload())
application.add_route("/stream/{name}", Stream())
application.add_route("/endless/{name}", Endless())
application.add_route("/download/{size:int}", Download())
application.add_route("/fail", Fail())
if not behaviour.BARE:
    application = OtasMiddleware(application)
