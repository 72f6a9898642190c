"""No framework: a WSGI callable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otas_middleware.wsgi import OtasMiddleware
from servers.applications import behaviour

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    _, action, *rest = environ["PATH_INFO"].split("/")
    argument = rest[0] if rest else ""
    match action:
        case "echo":
            return _answer(start_response, environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        case "upload":
            return _answer(start_response, behaviour.read_upload(environ["wsgi.input"]))
        case "stream":
            return _stream(start_response, behaviour.slow_stream(argument))
        case "endless":
            return _stream(start_response, behaviour.endless(argument))
        case "download":
            return _stream(start_response, behaviour.download(int(argument)))
        case "fail":
            raise behaviour.BrokenError
        case "late-failure":
            return _stream(start_response, _failing_after(argument))
        case _:
            return _answer(start_response, b"", status="404 Not Found")


def _failing_after(what: str) -> Iterator[bytes]:
    if what == "empty":
        yield b""
    raise behaviour.BrokenError


def _answer(start_response: StartResponse, body: bytes, status: str = "200 OK") -> Iterable[bytes]:
    start_response(status, [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(body)))])
    return [body]


def _stream(start_response: StartResponse, chunks: Iterable[bytes]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return chunks


if not behaviour.BARE:
    _application: WSGIApplication = application
    application = OtasMiddleware(_application)
