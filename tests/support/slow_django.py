"""A Django view whose response comes slowly, for both handlers."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from django.http import StreamingHttpResponse
from django.urls import path

from support.harnesses.django_app import Middleware

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from django.core.handlers.asgi import ASGIRequest
    from django.http import HttpRequest

STEP = 0.1


def chunks() -> Iterator[bytes]:
    for _ in range(3):
        time.sleep(STEP)
        yield b"chunk"


async def async_chunks() -> AsyncIterator[bytes]:
    for _ in range(3):
        await asyncio.sleep(STEP)
        yield b"chunk"


def slow(request: HttpRequest | ASGIRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(async_chunks() if hasattr(request, "scope") else chunks())


urlpatterns: list[Any] = [path("slow", slow)]


class Routes(Middleware):
    """Gives each request the route above."""

    def __call__(self, request: HttpRequest) -> Any:
        request.urlconf = __name__
        return super().__call__(request)
