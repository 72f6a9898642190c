"""The application in Pyramid."""

# Not type-checked: the framework may not be installed, and lint must say the same with and without it.
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOptionalSubscript=false, reportCallIssue=false, reportReturnType=false

from __future__ import annotations

from typing import TYPE_CHECKING

from pyramid.config import Configurator
from pyramid.response import Response

from otas_middleware.wsgi import OtasMiddleware
from servers.applications import behaviour

if TYPE_CHECKING:
    from pyramid.request import Request

BYTES = "application/octet-stream"


def echo(request: Request) -> Response:
    return Response(request.body, content_type=BYTES)


def upload(request: Request) -> Response:
    return Response(behaviour.read_upload(request.body_file), content_type=BYTES)


def stream(request: Request) -> Response:
    return Response(app_iter=behaviour.slow_stream(request.matchdict["argument"]), content_type=BYTES)


def endless(request: Request) -> Response:
    return Response(app_iter=behaviour.endless(request.matchdict["argument"]), content_type=BYTES)


def download(request: Request) -> Response:
    return Response(app_iter=behaviour.download(int(request.matchdict["argument"])), content_type=BYTES)


def fail(_: Request) -> Response:
    raise behaviour.BrokenError


with Configurator() as config:
    for action, view in {"echo": echo, "upload": upload, "fail": fail}.items():
        config.add_route(action, "/" + action)
        config.add_view(view, route_name=action)
    for action, view in {"stream": stream, "endless": endless, "download": download}.items():
        config.add_route(action, f"/{action}/{{argument}}")
        config.add_view(view, route_name=action)
    application = config.make_wsgi_app()
if not behaviour.BARE:
    application = OtasMiddleware(application)
