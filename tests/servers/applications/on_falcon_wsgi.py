"""The application in Falcon, for WSGI servers."""

# Not type-checked: the framework may not be installed, and lint must say the same with and without it.
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOptionalSubscript=false, reportCallIssue=false, reportReturnType=false

from __future__ import annotations

import falcon

from otas_middleware.wsgi import OtasMiddleware
from servers.applications import behaviour


class Echo:
    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        response.content_type = falcon.MEDIA_TEXT
        response.data = request.bounded_stream.read()


class Upload:
    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        response.data = behaviour.read_upload(request.bounded_stream)


class Stream:
    def on_get(self, _: falcon.Request, response: falcon.Response, name: str) -> None:
        response.stream = behaviour.slow_stream(name)


class Endless:
    def on_get(self, _: falcon.Request, response: falcon.Response, name: str) -> None:
        response.stream = behaviour.endless(name)


class Download:
    def on_get(self, _: falcon.Request, response: falcon.Response, size: int) -> None:
        response.stream = behaviour.download(size)


class Fail:
    def on_get(self, _: falcon.Request, response: falcon.Response) -> None:
        raise behaviour.BrokenError


application = falcon.App()
application.add_route("/echo", Echo())
application.add_route("/upload", Upload())
application.add_route("/stream/{name}", Stream())
application.add_route("/endless/{name}", Endless())
application.add_route("/download/{size:int}", Download())
application.add_route("/fail", Fail())
if not behaviour.BARE:
    application = OtasMiddleware(application)
