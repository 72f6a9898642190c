"""The application in Flask."""

from __future__ import annotations

from flask import Flask, Response, request

from otas_middleware.flask import Otas
from servers.applications import behaviour

application = Flask(__name__)


@application.post("/echo")
def echo() -> Response:
    return Response(request.get_data(), mimetype="application/octet-stream")


@application.post("/upload")
def upload() -> Response:
    return Response(behaviour.read_upload(request.stream))


@application.get("/stream/<name>")
def stream(name: str) -> Response:
    return Response(behaviour.slow_stream(name), mimetype="application/octet-stream")


@application.get("/endless/<name>")
def endless(name: str) -> Response:
    return Response(behaviour.endless(name), mimetype="text/event-stream")


@application.get("/download/<int:size>")
def download(size: int) -> Response:
    return Response(behaviour.download(size), mimetype="application/octet-stream")


@application.get("/fail")
def fail() -> Response:
    raise behaviour.BrokenError


if not behaviour.BARE:
    Otas(application)
