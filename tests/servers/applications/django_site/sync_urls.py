"""The synchronous views."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path

from servers.applications import behaviour

if TYPE_CHECKING:
    from django.http import HttpRequest


def echo(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.body, content_type="application/octet-stream")


def upload(request: HttpRequest) -> HttpResponse:
    return HttpResponse(behaviour.read_upload(request))


def stream(request: HttpRequest, name: str) -> StreamingHttpResponse:
    return StreamingHttpResponse(behaviour.slow_stream(name))


def endless(request: HttpRequest, name: str) -> StreamingHttpResponse:
    return StreamingHttpResponse(behaviour.endless(name), content_type="text/event-stream")


def download(request: HttpRequest, size: int) -> StreamingHttpResponse:
    return StreamingHttpResponse(behaviour.download(size))


def fail(request: HttpRequest) -> HttpResponse:
    raise behaviour.BrokenError


urlpatterns = [
    path("echo", echo),
    path("upload", upload),
    path("stream/<name>", stream),
    path("endless/<name>", endless),
    path("download/<int:size>", download),
    path("fail", fail),
]
