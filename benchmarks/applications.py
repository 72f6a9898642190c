"""The same small application in each framework, with a slot for a wrapper of the framework's own kind.

Each takes a body and answers with a JSON document of a given size; `/stream` answers with many chunks.
"""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

Variant = Literal["bare", "pass", "look-up", "otas"]
CHUNK = b"data: " + b"x" * 90 + b"\n\n"
CHUNKS = 1000
TOKEN = b"x-otas-agent-session-token"
TOKEN_META = "HTTP_X_OTAS_AGENT_SESSION_TOKEN"


@dataclass(frozen=True)
class Application:
    """An application, built for one variant.

    Attributes:
        app: The ASGI or WSGI callable.
        protocol: Which of the two.
    """

    app: Any
    protocol: Literal["asgi", "wsgi"]


# --- ASGI wrappers ---------------------------------------------------------------------------------------------


class AsgiPass:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


class AsgiLookUp:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            for name, _ in scope["headers"]:
                if name == TOKEN:
                    break
        await self.app(scope, receive, send)


def asgi_wrapper(variant: Variant, settings: Any) -> tuple[Any, dict[str, Any]] | None:
    if variant == "bare":
        return None
    if variant == "otas":
        from otas_middleware.asgi import OtasMiddleware

        return OtasMiddleware, {"settings": settings}
    return (AsgiPass if variant == "pass" else AsgiLookUp), {}


# --- WSGI wrappers ---------------------------------------------------------------------------------------------


class WsgiPass:
    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.app(environ, start_response)


class WsgiLookUp:
    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: Any, start_response: Any) -> Any:
        if TOKEN_META in environ:
            pass
        return self.app(environ, start_response)


WSGI_WRAPPERS: dict[Variant, Callable[[Any], Any]] = {"pass": WsgiPass, "look-up": WsgiLookUp}


# --- Applications ----------------------------------------------------------------------------------------------


def asgi(variant: Variant, document: bytes, settings: Any) -> Application:
    start = {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(document))],
    }
    stream_start = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/stream":
            await send(stream_start)
            for _ in range(CHUNKS):
                await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
            return
        while (await receive()).get("more_body"):
            pass
        await send(start)
        await send({"type": "http.response.body", "body": document})

    wrapper = asgi_wrapper(variant, settings)
    return Application(app if wrapper is None else wrapper[0](app, **wrapper[1]), "asgi")


def starlette(variant: Variant, document: bytes, settings: Any) -> Application:
    from starlette.applications import Starlette
    from starlette.responses import Response, StreamingResponse
    from starlette.routing import Route

    async def echo(request: Any) -> Any:
        async for _ in request.stream():
            pass
        return Response(document, media_type="application/json")

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(CHUNKS):
            yield CHUNK

    async def stream(_: Any) -> Any:
        return StreamingResponse(chunks(), media_type="text/event-stream")

    app = Starlette(routes=[Route("/items/{item}", echo, methods=["POST"]), Route("/stream", stream)])
    wrapper = asgi_wrapper(variant, settings)
    if wrapper is not None:
        app.add_middleware(wrapper[0], **wrapper[1])
    return Application(app, "asgi")


def fastapi(variant: Variant, document: bytes, settings: Any) -> Application:
    from fastapi import FastAPI, Request
    from fastapi.responses import Response, StreamingResponse

    globals().update(Request=Request)  # FastAPI resolves annotations in the module's names
    app = FastAPI()

    @app.post("/items/{item}")
    async def echo(item: str, request: Request) -> Any:
        async for _ in request.stream():
            pass
        return Response(document, media_type="application/json")

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(CHUNKS):
            yield CHUNK

    @app.get("/stream")
    async def stream() -> Any:
        return StreamingResponse(chunks(), media_type="text/event-stream")

    wrapper = asgi_wrapper(variant, settings)
    if wrapper is not None:
        app.add_middleware(wrapper[0], **wrapper[1])
    return Application(app, "asgi")


def wsgi(variant: Variant, document: bytes, settings: Any) -> Application:
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(document)))]

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/stream":
            start_response("200 OK", [("Content-Type", "text/event-stream")])
            return iter([CHUNK] * CHUNKS)
        _drain(environ)
        start_response("200 OK", headers)
        return [document]

    if variant == "otas":
        from otas_middleware.wsgi import OtasMiddleware

        return Application(OtasMiddleware(app, settings=settings), "wsgi")
    return Application(WSGI_WRAPPERS[variant](app) if variant in WSGI_WRAPPERS else app, "wsgi")


def _drain(environ: Any) -> None:
    left = int(environ.get("CONTENT_LENGTH") or 0)
    read = environ["wsgi.input"].read
    while left > 0:
        data = read(min(left, 65536))
        if not data:
            break
        left -= len(data)


def flask(variant: Variant, document: bytes, settings: Any) -> Application:
    from flask import Flask, Response, request

    app = Flask("benchmark")

    @app.post("/items/<item>")
    def echo(item: str) -> Any:
        _drain(request.environ)
        return Response(document, mimetype="application/json")

    def chunks() -> Iterator[bytes]:
        for _ in range(CHUNKS):
            yield CHUNK

    @app.get("/stream")
    def stream() -> Any:
        return Response(chunks(), mimetype="text/event-stream")

    if variant == "otas":
        from otas_middleware.flask import Otas

        Otas(app, settings=settings)
    elif variant in WSGI_WRAPPERS:
        app.wsgi_app = WSGI_WRAPPERS[variant](app.wsgi_app)  # type: ignore[method-assign]
    return Application(app, "wsgi")


def _django_urls(document: bytes) -> types.ModuleType:
    """Return a URL configuration module whose views answer with this document; sync and async alike."""
    from django.http import HttpResponse, StreamingHttpResponse
    from django.urls import path

    def echo(request: Any, item: str) -> Any:
        while request.read(65536):
            pass
        return HttpResponse(document, content_type="application/json")

    async def async_echo(request: Any, item: str) -> Any:
        while request.read(65536):
            pass
        return HttpResponse(document, content_type="application/json")

    def stream(_: Any) -> Any:
        return StreamingHttpResponse(iter([CHUNK] * CHUNKS), content_type="text/event-stream")

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(CHUNKS):
            yield CHUNK

    async def async_stream(_: Any) -> Any:
        return StreamingHttpResponse(chunks(), content_type="text/event-stream")

    name = f"benchmark_urls_{len(document)}"
    module = types.ModuleType(name)
    module.urlpatterns = [  # type: ignore[attr-defined]
        path("items/<item>", echo),
        path("stream", stream),
        path("async/items/<item>", async_echo),
        path("async/stream", async_stream),
    ]
    sys.modules[name] = module
    return module


def _django_pass(get_response: Any) -> Any:
    from asgiref.sync import iscoroutinefunction

    if iscoroutinefunction(get_response):  # pyright: ignore[reportDeprecated]  # the mark that Django sets

        async def handle_async(request: Any) -> Any:
            return await get_response(request)

        return handle_async

    def handle(request: Any) -> Any:
        return get_response(request)

    return handle


def _django_look_up(get_response: Any) -> Any:
    from asgiref.sync import iscoroutinefunction

    if iscoroutinefunction(get_response):  # pyright: ignore[reportDeprecated]  # the mark that Django sets

        async def handle_async(request: Any) -> Any:
            if TOKEN_META in request.META:
                pass
            return await get_response(request)

        return handle_async

    def handle(request: Any) -> Any:
        if TOKEN_META in request.META:
            pass
        return get_response(request)

    return handle


for _middleware in (_django_pass, _django_look_up):
    _middleware.sync_capable = _middleware.async_capable = True  # type: ignore[attr-defined]


def _django(variant: Variant, document: bytes, settings: Any, protocol: Literal["asgi", "wsgi"]) -> Application:
    import django
    from django.conf import settings as django_settings

    if not django_settings.configured:
        django_settings.configure(ALLOWED_HOSTS=["*"], SECRET_KEY="benchmark", MIDDLEWARE=[], DATABASES={}, USE_TZ=True)
        django.setup()
    from django.core.handlers.asgi import ASGIHandler
    from django.core.handlers.wsgi import WSGIHandler

    middleware = {
        "bare": [],
        "pass": [f"{__name__}._django_pass"],
        "look-up": [f"{__name__}._django_look_up"],
        "otas": ["otas_middleware.django.OtasMiddleware"],
    }
    django_settings.ROOT_URLCONF = _django_urls(document).__name__
    django_settings.MIDDLEWARE = middleware[variant]
    given = {name.upper(): getattr(settings, name) for name in settings.model_fields_set} if settings else {}
    django_settings.OTAS = {
        name: value.get_secret_value() if hasattr(value, "get_secret_value") else value for name, value in given.items()
    }
    return Application(ASGIHandler() if protocol == "asgi" else WSGIHandler(), protocol)


def django_wsgi(variant: Variant, document: bytes, settings: Any) -> Application:
    return _django(variant, document, settings, "wsgi")


def django_asgi(variant: Variant, document: bytes, settings: Any) -> Application:
    return _django(variant, document, settings, "asgi")


APPLICATIONS: dict[str, Callable[[Variant, bytes, Any], Application]] = {
    "asgi": asgi,
    "starlette": starlette,
    "fastapi": fastapi,
    "wsgi": wsgi,
    "flask": flask,
    "django-wsgi": django_wsgi,
    "django-asgi": django_asgi,
}
PATH_PREFIX = {"django-asgi": "/async"}
