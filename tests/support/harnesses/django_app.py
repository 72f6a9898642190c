"""Django: the WSGI and the ASGI handler, each with synchronous and with asynchronous views."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import Http404, HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.urls import include, path
from django.utils.cache import get_conditional_response

from support.django_project import OTAS_EXCEPTION_MIDDLEWARE, make_handler
from support.harnesses._harness import Harness
from support.harnesses.asgi_raw import cut
from support.harnesses.fastapi_app import asynchronous, synchronous
from support.observing import observe, observing_stream
from support.scenarios import ETAG, LARGE_ANSWER, STREAM, NoSuchTeaError, OutOfTeaError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from otas_middleware import OtasSettings

urlpatterns: list[Any] = []
"""The project's own routes: none; `Routes` gives each request those of its handler."""

PLAIN = "text/plain; charset=utf-8"


def empty(_: HttpRequest) -> HttpResponse:
    return HttpResponse()


def order(request: HttpRequest, order_id: int) -> HttpResponse:
    answer = {"order": order_id, "received": json.loads(request.body), "query": request.META["QUERY_STRING"]}
    return JsonResponse(answer, status=201)


def form(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{request.POST['name']} from {request.POST['city']}", content_type=PLAIN)


def upload(request: HttpRequest) -> HttpResponse:
    file: Any = request.FILES["file"]
    return JsonResponse({"note": request.POST["note"], "name": file.name, "size": len(file.read())})


def binary(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.body[::-1], content_type="image/png")


def large(request: HttpRequest) -> HttpResponse:
    while request.read(10_000):
        pass
    return HttpResponse(LARGE_ANSWER, content_type=PLAIN)


def hello(_: HttpRequest) -> HttpResponse:
    return HttpResponse("hello", content_type=PLAIN)


def item(_: HttpRequest, item_id: int) -> HttpResponse:
    if item_id != 7:
        raise Http404("no such item")
    response = HttpResponse(status=204)
    del response["Content-Type"]
    return response


def cached(request: HttpRequest) -> HttpResponse:
    response = HttpResponse("the cached page", headers={"ETag": ETAG})
    return get_conditional_response(request, ETAG, None, response) or response


def old(_: HttpRequest) -> HttpResponse:
    return HttpResponseRedirect("/hello")


def cookies(_: HttpRequest) -> HttpResponse:
    response = HttpResponse("ok", content_type=PLAIN)
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


def refused(_: HttpRequest) -> HttpResponse:
    raise NoSuchTeaError("no such tea")


def handled(_: HttpRequest) -> HttpResponse:
    raise OutOfTeaError("no tea")


def boom(_: HttpRequest) -> HttpResponse:
    raise RuntimeError("boom")


def unread(_: HttpRequest) -> HttpResponse:
    return HttpResponse("not looked at", content_type=PLAIN)


def thing(_: HttpRequest, thing_id: str) -> HttpResponse:
    return HttpResponse(f"thing {thing_id}", content_type=PLAIN)


def greet(_: HttpRequest, name: str) -> HttpResponse:
    return HttpResponse(f"hello {name}", content_type=PLAIN)


def whoami(_: HttpRequest) -> HttpResponse:
    return HttpResponse(observe("view"), content_type=PLAIN)


def broken() -> Iterator[bytes]:
    yield from STREAM[:2]
    raise RuntimeError("mid-stream")


async def awaited(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def routes(adapt: Callable[..., Any], streamable: Callable[[Iterable[bytes]], Any]) -> tuple[Any, ...]:
    """Return the URL patterns of one handler.

    Args:
        adapt: Makes a view synchronous or asynchronous.
        streamable: Turns chunks into the kind of iterator that the handler streams without a detour.
    """

    def stream(_: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(streamable(STREAM), content_type=PLAIN)

    def echo(request: HttpRequest) -> StreamingHttpResponse:
        chunks = cut(request.body, request.META["QUERY_STRING"])
        return StreamingHttpResponse(streamable(chunks), content_type="application/octet-stream")

    def broken_stream(_: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(streamable(broken()), content_type=PLAIN)

    def whoami_stream(_: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(streamable(observing_stream()), content_type=PLAIN)

    things: list[Any] = [path("things/<str:thing_id>", adapt(thing))]
    inner: list[Any] = [path("inner/", include(things))]
    patterns: list[Any] = [
        path("empty", adapt(empty)),
        path("orders/<int:order_id>", adapt(order)),
        path("form", adapt(form)),
        path("upload", adapt(upload)),
        path("binary", adapt(binary)),
        path("large", adapt(large)),
        path("stream", adapt(stream)),
        path("echo", adapt(echo)),
        path("hello", adapt(hello)),
        path("items/<int:item_id>", adapt(item)),
        path("cached", adapt(cached)),
        path("old", adapt(old)),
        path("cookies", adapt(cookies)),
        path("refused", adapt(refused)),
        path("handled", adapt(handled)),
        path("boom", adapt(boom)),
        path("broken-stream", adapt(broken_stream)),
        path("unread", adapt(unread)),
        path("mount/", include(inner)),
        path("grüße/<str:name>", adapt(greet)),
        path("whoami", adapt(whoami)),
        path("whoami-stream", adapt(whoami_stream)),
    ]
    return tuple(patterns)


class Middleware:
    """The base of the project's own middlewares, synchronous or asynchronous as what they wrap."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):  # pyright: ignore[reportDeprecated]  # the mark that Django sets
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request)


class TeaErrors(Middleware):
    """Turns the errors of the scenarios into responses."""

    def process_exception(self, _: HttpRequest, error: Exception) -> HttpResponseBase | None:
        if isinstance(error, NoSuchTeaError):
            return HttpResponse(str(error), status=409, content_type=PLAIN)
        if isinstance(error, OutOfTeaError):
            return HttpResponse(f"sorry, {error}", status=500, content_type=PLAIN)
        return None


def _routing(patterns: tuple[Any, ...]) -> type[Middleware]:
    class Routes(Middleware):
        def __call__(self, request: HttpRequest) -> Any:
            request.urlconf = patterns  # type: ignore[assignment]  # any object with patterns will do
            return super().__call__(request)

    return Routes


WsgiSync = _routing(routes(synchronous, iter))
WsgiAsync = _routing(routes(asynchronous, iter))
AsgiSync = _routing(routes(synchronous, awaited))
AsgiAsync = _routing(routes(asynchronous, awaited))


def builder(make: Callable[[], Any], routing: str, *, names_all: bool) -> Callable[[OtasSettings | None], Any]:
    def build(settings: OtasSettings | None) -> Any:
        last = [OTAS_EXCEPTION_MIDDLEWARE] if names_all and settings is not None else []
        return make_handler(make, settings, [f"{__name__}.{routing}", f"{__name__}.TeaErrors", *last])

    return build


def harness(name: str, make: Callable[[], Any], routing: str, *, names_all: bool) -> Harness:
    """Return a harness.

    Args:
        name: Its name.
        make: Makes the handler.
        routing: The middleware that gives it its routes.
        names_all: The optional middleware stands last, and names what another one answers by `process_exception`.
    """
    asgi = make is ASGIHandler
    return Harness(
        name,
        "asgi" if asgi else "wsgi",
        "django",
        builder(make, routing, names_all=names_all),
        answers_exceptions=True,
        unnamed=() if names_all else ("handled error",),
        reads_ahead=asgi,
    )


HARNESSES = [
    harness("django-wsgi", WSGIHandler, "WsgiSync", names_all=False),
    harness("django-wsgi-async", WSGIHandler, "WsgiAsync", names_all=True),
    harness("django-asgi", ASGIHandler, "AsgiSync", names_all=True),
    harness("django-asgi-async", ASGIHandler, "AsgiAsync", names_all=False),
]
