"""Django views that use the request and the response in every way that Django offers."""

from __future__ import annotations

import asyncio
import io
import threading
from typing import TYPE_CHECKING, Any

import ninja
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.core.files.uploadhandler import FileUploadHandler, StopUpload
from django.db import connection
from django.http import (
    FileResponse,
    Http404,
    HttpRequest,  # django-ninja reads the views' annotations
    HttpResponse,
    JsonResponse,
    StreamingHttpResponse,
)
from django.template.response import TemplateResponse
from django.urls import include, path, re_path
from django.views.decorators.csrf import csrf_exempt
from ninja.errors import HttpError
from rest_framework import exceptions as drf_exceptions
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from support.harnesses.django_app import Middleware, awaited

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from django.core.files.uploadedfile import UploadedFile
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

PLAIN = "text/plain; charset=utf-8"


def plain(text: object, status: int = 200) -> HttpResponse:
    return HttpResponse(str(text), status=status, content_type=PLAIN)


# --- the request's body, read in every way


def body(request: HttpRequest) -> HttpResponse:
    return plain(f"{request.body!r} {request.body!r}")


def read(request: HttpRequest) -> HttpResponse:
    return plain([request.read(5), request.read(), request.read()])


def read_after_body(request: HttpRequest) -> HttpResponse:
    return plain([request.body, request.read(3), request.POST.dict()])


def body_after_read(request: HttpRequest) -> HttpResponse:
    request.read(1)
    return plain(request.body)  # RawPostDataException


def lines(request: HttpRequest) -> HttpResponse:
    return plain([request.readline(), list(request)])


def post(request: HttpRequest) -> HttpResponse:
    return plain([sorted(request.POST.items()), request.body])


def files(request: HttpRequest) -> HttpResponse:
    uploaded: Any = request.FILES.items()
    found = {name: (file.name, len(file.read())) for name, file in uploaded}
    return JsonResponse({"post": request.POST.dict(), "files": found})


class ChunkSizes(FileUploadHandler):
    """Notes the sizes of the chunks in which an upload comes, and keeps nothing."""

    chunk_size = 1000

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        sizes: list[int] = self.request.__dict__.setdefault("sizes", [])
        sizes.append(len(raw_data))
        if sum(sizes) > 50_000:
            raise StopUpload(connection_reset=False)

    def file_complete(self, file_size: int) -> UploadedFile[Any] | None:
        return None


@csrf_exempt
def upload_handler(request: HttpRequest) -> HttpResponse:
    request.upload_handlers = [ChunkSizes(request)]
    fields = request.POST.dict()
    return plain([fields, request.__dict__.get("sizes")])


# --- responses


def stream(_: HttpRequest) -> HttpResponseBase:
    return StreamingHttpResponse(iter([b"one", "zwei ü", 3, 4.5]), content_type=PLAIN)


def stream_utf_16(_: HttpRequest) -> HttpResponseBase:
    return StreamingHttpResponse(iter(["ü", "é"]), content_type="text/plain; charset=utf-16")


def async_stream(_: HttpRequest) -> HttpResponseBase:
    return StreamingHttpResponse(awaited([b"one", b"two"]), content_type=PLAIN)


async def endless(_: HttpRequest) -> HttpResponseBase:
    async def ticks() -> AsyncIterator[bytes]:
        while True:
            yield b"tick\n"
            await asyncio.sleep(0.005)

    return StreamingHttpResponse(ticks(), content_type="text/event-stream")


async def slow(_: HttpRequest) -> HttpResponse:
    await asyncio.sleep(30)
    return plain("too late")


def file(_: HttpRequest) -> HttpResponseBase:
    return FileResponse(io.BytesIO(b"0123456789" * 1000), as_attachment=True, filename="digits.txt")


def template(request: HttpRequest) -> HttpResponse:
    return TemplateResponse(request, "page.html", {"name": "Zoë"})


def long_text(_: HttpRequest) -> HttpResponse:
    return plain("all work and no play " * 100)


def counted(_: HttpRequest) -> HttpResponse:
    """Answer differently each time, so that an answer out of a cache shows."""
    counted.__dict__["times"] = counted.__dict__.get("times", 0) + 1
    return plain(f"time {counted.__dict__['times']}")


def thread(_: HttpRequest) -> HttpResponse:
    return plain(threading.current_thread() is threading.main_thread())


async def async_thread(_: HttpRequest) -> HttpResponse:
    return plain(threading.current_thread() is threading.main_thread())


def archive(_: HttpRequest, year: str, slug: str) -> HttpResponse:
    return plain(f"{year} {slug}")


# --- errors


def http404(_: HttpRequest) -> HttpResponse:
    raise Http404("no such thing")


def suspicious(_: HttpRequest) -> HttpResponse:
    raise SuspiciousOperation("odd")


def denied(_: HttpRequest) -> HttpResponse:
    raise PermissionDenied("not you")


def bad(_: HttpRequest) -> HttpResponse:
    raise BadRequest("what?")


def broken(_: HttpRequest) -> HttpResponse:
    raise LookupError("lost")


def returns_nothing(_: HttpRequest) -> Any:
    return None


def insert_and_fail(_: HttpRequest) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO note VALUES ('written')")
    raise LookupError("after the insert")


# --- Django REST framework and django-ninja


class OrderSerializer(serializers.Serializer[Any]):
    item = serializers.CharField()
    quantity = serializers.IntegerField(min_value=1)


class OrderView(APIView):
    authentication_classes = ()
    permission_classes = ()

    def post(self, request: Request, order_id: int) -> Response:
        order = OrderSerializer(data=request.data)
        order.is_valid(raise_exception=True)
        return Response({"order": order_id, **order.validated_data}, status=201)

    def get(self, request: Request, order_id: int) -> Response:
        if order_id == 404:
            raise drf_exceptions.NotFound
        if order_id == 500:
            raise LookupError("lost")
        return Response({"order": order_id})

    def put(self, request: Request, order_id: int) -> Response:
        data: Any = request.data
        return Response({"name": data["file"].name, "size": len(data["file"].read())})


api = ninja.NinjaAPI(openapi_url=None)


class Order(ninja.Schema):
    item: str
    quantity: int


@api.post("/orders/{order_id}")
def ninja_post(request: HttpRequest, order_id: int, order: Order) -> dict[str, Any]:
    return {"order": order_id, "item": order.item, "quantity": order.quantity}


@api.get("/orders/{order_id}")
async def ninja_get(request: HttpRequest, order_id: int) -> dict[str, int]:
    if order_id == 404:
        raise HttpError(404, "no such order")
    if order_id == 500:
        raise LookupError("lost")
    return {"order": order_id}


# --- routes

drf_routes: Any = [path("orders/<int:order_id>", OrderView.as_view())]
ninja_routes: Any = api.urls

urlpatterns: list[Any] = [
    path("body", body),
    path("read", read),
    path("read-after-body", read_after_body),
    path("body-after-read", body_after_read),
    path("lines", lines),
    path("post", post),
    path("files", files),
    path("upload-handler", upload_handler),
    path("stream", stream),
    path("stream-utf-16", stream_utf_16),
    path("async-stream", async_stream),
    path("endless", endless),
    path("slow", slow),
    path("file", file),
    path("template", template),
    path("long", long_text),
    path("counted", counted),
    path("thread", thread),
    path("async-thread", async_thread),
    path("http404", http404),
    path("suspicious", suspicious),
    path("denied", denied),
    path("bad", bad),
    path("broken", broken),
    path("returns-nothing", returns_nothing),
    path("insert-and-fail", insert_and_fail),
    re_path(r"^archive/(?P<year>[0-9]{4})/(?P<slug>[\w-]+)/$", archive),
    path("drf/", include(drf_routes)),
    path("ninja/", ninja_routes),
]


class Routes(Middleware):
    """Gives each request the routes above, as `ROOT_URLCONF` would if the process had one project only."""

    def __call__(self, request: HttpRequest) -> Any:
        request.urlconf = __name__
        return super().__call__(request)


class LastWord(Middleware):
    """Answers some exceptions, and replaces some responses."""

    def process_exception(self, _: HttpRequest, error: Exception) -> HttpResponse | None:
        return plain("handled", 500) if isinstance(error, LookupError) else None
