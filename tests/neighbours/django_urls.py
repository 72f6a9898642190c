"""The Django site's views; asynchronous ones under ASGI."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from django.http import HttpRequest

ASGI = os.environ.get("SITE_HOST") == "django-asgi"
CHUNKS = [b"one ", b"two ", b"three"]


async def order(_: HttpRequest, order_id: int) -> Any:
    return JsonResponse({"order": order_id})


@csrf_exempt
async def echo(request: HttpRequest) -> Any:
    return HttpResponse(request.body, content_type="application/json")


@csrf_exempt
async def form(request: HttpRequest) -> Any:
    return JsonResponse(request.POST.dict())


async def stream(_: HttpRequest) -> Any:
    async def awaited() -> AsyncIterator[bytes]:
        for chunk in CHUNKS:
            await asyncio.sleep(0)
            yield chunk

    def chunks() -> Iterator[bytes]:
        yield from CHUNKS

    return StreamingHttpResponse(awaited() if ASGI else chunks(), content_type="text/plain")


async def boom(_: HttpRequest) -> Any:
    raise LookupError("lost")


def adapted(view: Any) -> Any:
    return view if ASGI else csrf_exempt(async_to_sync(view))


urlpatterns: list[Any] = [
    path("orders/<int:order_id>", adapted(order)),
    path("echo", adapted(echo)),
    path("form", adapted(form)),
    path("stream", adapted(stream)),
    path("boom", adapted(boom)),
]
