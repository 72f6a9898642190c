"""Django views and middlewares that go about requests in ways that Django allows and few foresee."""

from __future__ import annotations

import asyncio
import copy
import io
import json
import pickle
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction
from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import path

from support.harnesses.django_app import Middleware, awaited

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

PLAIN = "text/plain; charset=utf-8"


def hello(_: HttpRequest) -> HttpResponse:
    return HttpResponse("hello", content_type=PLAIN)


def echo(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.body, content_type="application/octet-stream")


def failing(_: HttpRequest) -> HttpResponse:
    raise LookupError("lost")


def unrendered(request: HttpRequest) -> HttpResponse:
    return TemplateResponse(request, "page.html", {"name": "Zoë"})


def meta(request: HttpRequest) -> JsonResponse:
    """Say what becomes of copies of the request's environ, of what can be copied in it."""
    plain = {name: value for name, value in request.META.items() if not name.startswith("wsgi.")}

    def attempt(function: Callable[[Any], object]) -> str:
        try:
            function(plain)
        except Exception as error:  # whatever a host would meet
            return type(error).__name__
        return "done"

    return JsonResponse(
        {function.__qualname__: attempt(function) for function in (copy.deepcopy, pickle.dumps, json.dumps)}
    )


def copied(request: HttpRequest) -> HttpResponse:
    """Answer with what becomes of copies of the request, taken before Django has noted the view."""
    request.resolver_match = None  # which cannot be pickled, whatever stands beside it
    outcomes = [_outcome(copy.copy, request), _outcome(copy.deepcopy, request), _outcome(pickle.dumps, request)]
    return HttpResponse(f"{outcomes} {request.read()!r}", content_type=PLAIN)


def _outcome(function: Callable[[Any], object], request: HttpRequest) -> str:
    try:
        function(request)
    except Exception as error:  # whatever a host would meet
        return type(error).__name__
    return "done"


def _failing_at_once() -> Iterator[bytes]:
    yield _failing_chunk()


def _failing_chunk() -> bytes:
    raise LookupError("lost")


def _failing_after_two() -> Iterator[bytes]:
    yield b"one"
    yield b"two"
    raise LookupError("lost")


def fails_at_once(_: HttpRequest) -> HttpResponseBase:
    return StreamingHttpResponse(_failing_at_once(), content_type=PLAIN)


def fails_later(_: HttpRequest) -> HttpResponseBase:
    return StreamingHttpResponse(_failing_after_two(), content_type=PLAIN)


def async_fails_at_once(_: HttpRequest) -> HttpResponseBase:
    return StreamingHttpResponse(awaited(_failing_at_once()), content_type=PLAIN)


def async_fails_later(_: HttpRequest) -> HttpResponseBase:
    return StreamingHttpResponse(awaited(_failing_after_two()), content_type=PLAIN)


class ClosableChunks:
    """An iterable that says when it was closed."""

    def __init__(self) -> None:
        self.closed = 0
        self._chunks = iter([b"one", b"two", b"three"])

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        self.closed += 1


made: list[Any] = []
"""What the views below streamed, for tests to look at."""


def closable(_: HttpRequest) -> HttpResponseBase:
    made.append(ClosableChunks())
    return StreamingHttpResponse(made[-1], content_type=PLAIN)


def file(_: HttpRequest) -> HttpResponseBase:
    from pathlib import Path

    response = FileResponse(Path(__file__).open("rb"), content_type=PLAIN)  # noqa: SIM115  # the response closes it
    made.append(response.file_to_stream)
    return response


async def reads_while_it_answers(request: HttpRequest) -> HttpResponseBase:
    async def chunks() -> AsyncIterator[bytes]:
        while chunk := request.read(4):
            yield chunk

    return StreamingHttpResponse(chunks(), content_type=PLAIN)


async def cancels_itself(_: HttpRequest) -> HttpResponse:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(30)
    return HttpResponse()


async def awaits_what_was_cancelled(_: HttpRequest) -> HttpResponse:
    other = asyncio.ensure_future(asyncio.sleep(30))
    other.cancel()
    await other
    return HttpResponse()


async def slow(_: HttpRequest) -> HttpResponse:
    await asyncio.sleep(30)
    return HttpResponse()


async def slow_stream(_: HttpRequest) -> HttpResponseBase:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"one"
        async with asyncio.timeout(0.01):
            await asyncio.sleep(30)

    return StreamingHttpResponse(chunks(), content_type=PLAIN)


urlpatterns: list[Any] = [
    path("hello", hello),
    path("echo", echo),
    path("failing", failing),
    path("unrendered", unrendered),
    path("meta", meta),
    path("copied", copied),
    path("fails-at-once", fails_at_once),
    path("fails-later", fails_later),
    path("async-fails-at-once", async_fails_at_once),
    path("async-fails-later", async_fails_later),
    path("closable", closable),
    path("file", file),
    path("reads-while-it-answers", reads_while_it_answers),
    path("cancels-itself", cancels_itself),
    path("awaits-what-was-cancelled", awaits_what_was_cancelled),
    path("slow", slow),
    path("slow-stream", slow_stream),
]


class Routes(Middleware):
    """Gives each request the routes above."""

    def __call__(self, request: HttpRequest) -> Any:
        request.urlconf = __name__
        return super().__call__(request)


class ReadsBody(Middleware):
    """Has read the body before anybody else."""

    def __call__(self, request: HttpRequest) -> Any:
        len(request.body)
        return super().__call__(request)


class ReplacesInput(ReadsBody):
    """Has read the body, and put a fresh stream in the place of the server's, as tracers do."""

    def __call__(self, request: HttpRequest) -> Any:
        request.META["wsgi.input"] = io.BytesIO(request.body)
        return super().__call__(request)


class ReadsForm(Middleware):
    def __call__(self, request: HttpRequest) -> Any:
        len(request.POST)
        return super().__call__(request)


class AnswersUnrendered(Middleware):
    """Answers instead of the view, with a response that nobody renders."""

    def __call__(self, request: HttpRequest) -> Any:
        response = unrendered(request)
        if not iscoroutinefunction(self.get_response):  # pyright: ignore[reportDeprecated]  # the mark that Django sets
            return response

        async def answer() -> HttpResponse:
            return response

        return answer()


class TimeLimit(Middleware):
    """Gives the rest of the chain a little time; lets Django answer when it is over."""

    def __call__(self, request: HttpRequest) -> Any:
        return self._limited(self.get_response(request))

    async def _limited(self, response: Awaitable[HttpResponseBase]) -> HttpResponseBase:
        async with asyncio.timeout(0.01):
            return await response


class AnsweringTimeLimit(TimeLimit):
    """Answers itself when the time is over."""

    async def _limited(self, response: Awaitable[HttpResponseBase]) -> HttpResponseBase:
        try:
            return await super()._limited(response)
        except TimeoutError:
            return HttpResponse("too slow", status=504, content_type=PLAIN)


class Outer(Middleware):
    """Replaces the content of streams, as compressing middlewares do."""

    def __call__(self, request: HttpRequest) -> Any:
        response = self.get_response(request)
        response.streaming_content = (chunk.upper() for chunk in response.streaming_content)
        return response
