"""What a chunk of a long stream costs, in two versions of the package that take turns in one run.

    git worktree add ../before a55d4dc
    python -m benchmarks.streams ../before [KIND ...]

Each version, and the bare application, has a process of its own, which streams when it is told to; CPU time is that of
its thread. The figures are microseconds for each chunk of 20 bytes, most of them beyond what is kept. The least of many
rounds counts, because other work on the machine only adds.
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

ROOT = Path(__file__).parents[1]
CHUNKS = 20_000
CHUNK = b"x" * 20
ROUNDS = 25
MAY_COST_MORE = {"asgi": 0.1, "wsgi": 0.2, "flask": 0.2, "django": 0.2, "django-asgi": 0.4}
"""Microseconds."""


def chunks() -> Iterator[bytes]:
    for _ in range(CHUNKS):
        yield CHUNK


async def awaited() -> AsyncIterator[bytes]:
    for chunk in chunks():
        yield chunk


def application(kind: str, settings: Any) -> Any:
    """Make the streaming application of a kind; bare when the settings are None."""
    if kind == "asgi":
        from otas_middleware import asgi  # of the version that this process is for

        async def streaming(_scope: Any, _receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for chunk in chunks():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body"})

        return asgi.OtasMiddleware(streaming, settings=settings) if settings else streaming
    if kind == "wsgi":
        from otas_middleware import wsgi

        def yielding(_environ: Any, start_response: Any) -> Any:
            start_response("200 OK", [])
            return chunks()

        return wsgi.OtasMiddleware(yielding, settings=settings) if settings else yielding
    return _flask(settings) if kind == "flask" else _django(kind, settings)


def _flask(settings: Any) -> Any:
    from flask import Flask, Response  # one framework for each process

    from otas_middleware.flask import Otas

    app = Flask("streams")
    app.get("/")(lambda: Response(chunks()))
    if settings:
        Otas(app, settings=settings)
    return app


def _django(kind: str, settings: Any) -> Any:
    from django.core.handlers.asgi import ASGIHandler
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpRequest, StreamingHttpResponse
    from django.urls import path

    from support.django_project import make_handler
    from support.harnesses.django_app import Middleware

    def view(_: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(chunks())

    async def async_view(_: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(awaited())

    class Routes(Middleware):
        def __call__(self, request: HttpRequest) -> Any:
            request.urlconf = "streams_site"
            return super().__call__(request)

    patterns: list[Any] = [path("", view if kind == "django" else async_view)]
    site = types.ModuleType("streams_site")
    vars(site).update(urlpatterns=patterns, Routes=Routes)
    sys.modules["streams_site"] = site
    return make_handler(WSGIHandler if kind == "django" else ASGIHandler, settings, ["streams_site.Routes"])


def stream_once(kind: str, app: Any, request: Any) -> float:
    """Have one response streamed; return its CPU seconds."""
    if kind in {"asgi", "django-asgi"}:
        return asyncio.run(_converse(app, request.scope()))
    environ = request.environ()
    began = time.process_time()
    response = app(environ, ignore)
    for _ in response:
        pass
    response.close()
    return time.process_time() - began


def ignore(*_: Any) -> Any:
    """Be a `start_response` of which nothing is expected."""
    return print


async def _converse(app: Any, scope: Any) -> float:
    over = asyncio.Event()
    incoming = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        if incoming:
            return incoming.pop()
        await over.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body"):
            over.set()

    began = time.process_time()
    await app(scope, receive, send)
    return time.process_time() - began


def work(kind: str, *, ours: bool) -> None:
    """Stream each time a line comes in, and say what a chunk cost."""
    from support.request import Request
    from support.sink import TOKEN, Sink

    logging.disable(logging.CRITICAL)
    app = application(kind, Sink().settings if ours else None)
    request = Request(headers=(TOKEN,))
    stream_once(kind, app, request)
    for _ in sys.stdin:
        print(stream_once(kind, app, request) / CHUNKS * 1e6, flush=True)


def start(tree: Path, kind: str, *, ours: bool) -> subprocess.Popen[str]:
    """Start the process of one version."""
    environment = {**os.environ, "PYTHONPATH": f"{tree / 'src'}{os.pathsep}{tree / 'tests'}"}
    command = [sys.executable, __file__, "--work", kind, "ours" if ours else "bare"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def main(before: Path, kinds: list[str]) -> None:
    """Measure the kinds, or all of them, and print a line for each."""
    print(f"{'':12} {'bare':>7} {'before':>7} {'now':>7} {'more':>7} {'may be':>7}")
    for kind in kinds or MAY_COST_MORE:
        versions = {"bare": (ROOT, False), "before": (before, True), "now": (ROOT, True)}
        processes = {name: start(tree, kind, ours=ours) for name, (tree, ours) in versions.items()}
        least = dict.fromkeys(processes, float("inf"))
        for _ in range(ROUNDS):
            for name, process in processes.items():
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write("\n")
                process.stdin.flush()
                least[name] = min(least[name], float(process.stdout.readline()))
        for process in processes.values():
            process.communicate()
        more = least["now"] - least["before"]
        figures = " ".join(f"{value:7.3f}" for value in (*least.values(), more, MAY_COST_MORE[kind]))
        print(f"{kind:12} {figures}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2], ours=sys.argv[3] == "ours")
    else:
        main(Path(sys.argv[1]).resolve(), sys.argv[2:])
