"""Flask, with plain views and with asynchronous ones."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Flask, Response, abort, jsonify, redirect, request

from otas_middleware.flask import Otas
from support.harnesses._harness import Harness
from support.harnesses.asgi_raw import cut
from support.harnesses.fastapi_app import asynchronous, synchronous
from support.observing import observe, observing_stream
from support.scenarios import ETAG, LARGE_ANSWER, STREAM, NoSuchTeaError, OutOfTeaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from wsgiref.types import WSGIApplication

    from werkzeug.wrappers import Response as BaseResponse

    from otas_middleware import OtasSettings


def empty() -> str:
    return ""


def order(order_id: int) -> tuple[Response, int]:
    return jsonify(order=order_id, received=request.json, query=request.query_string.decode()), 201


def form() -> str:
    return f"{request.form['name']} from {request.form['city']}"


def upload() -> dict[str, Any]:
    file = request.files["file"]
    return {"note": request.form["note"], "name": file.filename, "size": len(file.read())}


def binary() -> Response:
    return Response(request.data[::-1], mimetype="image/png")


def large() -> str:
    request.get_data()
    return LARGE_ANSWER.decode()


def stream() -> Response:
    return Response(iter(STREAM), mimetype="text/plain")


def echo() -> Response:
    chunks = cut(request.data, request.query_string.decode())
    return Response((chunk for chunk in chunks), mimetype="application/octet-stream")


def hello() -> str:
    return "hello"


def item(item_id: int) -> Response:
    if item_id != 7:
        abort(404)
    response = Response(status=204)
    del response.headers["Content-Type"]
    return response


def cached() -> Response:
    response = Response("the cached page")
    response.date = datetime(2026, 1, 1, tzinfo=UTC)  # else the conditional response would hold the present time
    response.set_etag(ETAG.strip('"'))
    response.make_conditional(request)
    return response


def old() -> BaseResponse:
    return redirect("/hello")


def cookies() -> Response:
    response = Response("ok")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


def refused() -> str:
    raise NoSuchTeaError("no such tea")


def handled() -> str:
    raise OutOfTeaError("no tea")


def boom() -> str:
    raise RuntimeError("boom")


def broken_stream() -> Response:
    def broken() -> Iterator[bytes]:
        yield from STREAM[:2]
        raise RuntimeError("mid-stream")

    return Response(broken(), mimetype="text/plain")


def unread() -> str:
    return "not looked at"


def thing(thing_id: str) -> str:
    return f"thing {thing_id}"


def greet(name: str) -> str:
    return f"hello {name}"


def whoami() -> str:
    return observe("view")


def whoami_stream() -> Response:
    return Response(observing_stream(), mimetype="text/plain")


def on_refused(error: NoSuchTeaError) -> tuple[str, int]:
    return str(error), 409


def on_out_of_tea(error: OutOfTeaError) -> tuple[str, int]:
    return f"sorry, {error}", 500


def builder(adapt: Callable[..., Any]) -> Callable[[OtasSettings | None], WSGIApplication]:
    def build(settings: OtasSettings | None) -> WSGIApplication:
        app = Flask(__name__)
        app.get("/empty")(adapt(empty))
        app.post("/orders/<int:order_id>")(adapt(order))
        app.post("/form")(adapt(form))
        app.post("/upload")(adapt(upload))
        app.post("/binary")(adapt(binary))
        app.post("/large")(adapt(large))
        app.get("/stream")(adapt(stream))
        app.post("/echo")(adapt(echo))
        app.get("/hello")(adapt(hello))
        app.route("/items/<int:item_id>", methods=["GET", "DELETE"])(adapt(item))
        app.get("/cached")(adapt(cached))
        app.get("/old")(adapt(old))
        app.get("/cookies")(adapt(cookies))
        app.get("/refused")(adapt(refused))
        app.get("/handled")(adapt(handled))
        app.get("/boom")(adapt(boom))
        app.get("/broken-stream")(adapt(broken_stream))
        app.post("/unread")(adapt(unread))
        app.get("/grüße/<name>")(adapt(greet))
        app.get("/whoami")(adapt(whoami))
        app.get("/whoami-stream")(adapt(whoami_stream))
        inner = Blueprint("inner", __name__, url_prefix="/inner")
        inner.get("/things/<thing_id>")(adapt(thing))
        outer = Blueprint("outer", __name__, url_prefix="/mount")
        outer.register_blueprint(inner)
        app.register_blueprint(outer)
        app.errorhandler(NoSuchTeaError)(adapt(on_refused))
        app.errorhandler(OutOfTeaError)(adapt(on_out_of_tea))
        if settings is not None:
            Otas(app, settings=settings)
        return app

    return build


HARNESSES = [
    Harness("flask", "wsgi", "flask", builder(synchronous), answers_exceptions=True),
    Harness("flask-async", "wsgi", "flask", builder(asynchronous), answers_exceptions=True),
]
