"""The asynchronous views."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path

from servers.applications import behaviour

if TYPE_CHECKING:
    from django.http import HttpRequest


async def echo(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.body, content_type="application/octet-stream")


async def upload(request: HttpRequest) -> HttpResponse:
    return HttpResponse(behaviour.read_upload(request))


async def stream(request: HttpRequest, name: str) -> StreamingHttpResponse:
    return StreamingHttpResponse(behaviour.slow_stream_async(name))


async def endless(request: HttpRequest, name: str) -> StreamingHttpResponse:
    return StreamingHttpResponse(behaviour.endless_async(name), content_type="text/event-stream")


async def quiet(request: HttpRequest, name: str) -> StreamingHttpResponse:
    return StreamingHttpResponse(behaviour.quiet_async(name), content_type="text/event-stream")


async def download(request: HttpRequest, size: int) -> StreamingHttpResponse:
    return StreamingHttpResponse(behaviour.download_async(size))


async def fail(request: HttpRequest) -> HttpResponse:
    raise behaviour.BrokenError


urlpatterns = [
    path("echo", echo),
    path("upload", upload),
    path("stream/<name>", stream),
    path("endless/<name>", endless),
    path("quiet/<name>", quiet),
    path("download/<int:size>", download),
    path("fail", fail),
]
