"""A small site that another monitoring tool watches too. It runs in that tool's own environment.

`SITE_HOST` says what it is made with, `SITE_NEIGHBOUR` who else watches it, `SITE_OURS` whether we do.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

HOST, NEIGHBOUR = os.environ["SITE_HOST"], os.environ["SITE_NEIGHBOUR"]
OURS = os.environ.get("SITE_OURS") == "1"
CHUNKS = [b"one ", b"two ", b"three"]


def _import(name: str) -> Any:
    return importlib.import_module(name)


async def _awaited() -> AsyncIterator[bytes]:
    for chunk in CHUNKS:
        yield chunk


def _chunks() -> Iterator[bytes]:
    yield from CHUNKS


def begin() -> None:
    """Set the neighbour up, as far as that comes before the framework."""
    if NEIGHBOUR == "sentry-sdk":
        _import("sentry_sdk").init(dsn="http://key@127.0.0.1:9/1", traces_sample_rate=1.0, send_default_pii=True)
    elif NEIGHBOUR == "logfire":
        _import("logfire").configure(send_to_logfire=False, console=False)
        if HOST.startswith("django"):
            _import("logfire").instrument_django()
    elif NEIGHBOUR == "opentelemetry" and HOST.startswith("django"):
        _import("opentelemetry.instrumentation.django").DjangoInstrumentor().instrument()


def django_application() -> Any:
    kind = HOST.removeprefix("django-")
    return getattr(_import(f"django.core.{kind}"), f"get_{kind}_application")()


def flask_application() -> Any:
    flask = _import("flask")
    app = flask.Flask("site")

    def order(order_id: int) -> Any:
        return {"order": order_id}

    def echo() -> Any:
        return flask.Response(flask.request.get_data(), mimetype="application/json")

    def form() -> Any:
        return dict(flask.request.form)

    def stream() -> Any:
        return flask.Response(_chunks(), mimetype="text/plain")

    def boom() -> Any:
        raise LookupError("lost")

    app.get("/orders/<int:order_id>")(order)
    app.post("/echo")(echo)
    app.post("/form")(form)
    app.get("/stream")(stream)
    app.get("/boom")(boom)
    if NEIGHBOUR == "elastic-apm":
        _import("elasticapm.contrib.flask").ElasticAPM(app, service_name="site", server_url="http://127.0.0.1:9")
    elif NEIGHBOUR == "scout-apm":
        app.config.update(SCOUT_MONITOR=True, SCOUT_KEY="key", SCOUT_NAME="site", SCOUT_CORE_AGENT_DOWNLOAD=False)
        _import("scout_apm.flask").ScoutApm(app)
    elif NEIGHBOUR == "opentelemetry":
        _import("opentelemetry.instrumentation.flask").FlaskInstrumentor().instrument_app(app)
    elif NEIGHBOUR == "logfire":
        _import("logfire").instrument_flask(app)
    if OURS:
        _import("otas_middleware.flask").Otas(app)
    return app


def fastapi_application() -> Any:
    fastapi, responses = _import("fastapi"), _import("fastapi.responses")
    app = fastapi.FastAPI()

    async def order(order_id: int) -> Any:
        return {"order": order_id}

    async def echo(request: Any) -> Any:
        return responses.Response(await request.body(), media_type="application/json")

    async def form(request: Any) -> Any:
        return dict(await request.form())

    async def stream() -> Any:
        return responses.StreamingResponse(_awaited(), media_type="text/plain")

    async def boom() -> Any:
        raise LookupError("lost")

    order.__annotations__["order_id"] = int  # no text, which FastAPI would look up in the wrong place
    reading: tuple[Any, ...] = (echo, form)
    for view in reading:
        view.__annotations__["request"] = fastapi.Request
    for view in (order, *reading, stream, boom):
        view.__annotations__.pop("return", None)
    app.get("/orders/{order_id}")(order)
    app.post("/echo")(echo)
    app.post("/form")(form)
    app.get("/stream")(stream)
    app.get("/boom")(boom)
    if NEIGHBOUR == "elastic-apm":
        starlette = _import("elasticapm.contrib.starlette")
        client = starlette.make_apm_client({"SERVICE_NAME": "site", "SERVER_URL": "http://127.0.0.1:9"})
        app.add_middleware(starlette.ElasticAPM, client=client)
    elif NEIGHBOUR == "scout-apm":
        _import("scout_apm.api").Config.set(monitor=True, key="key", name="site", core_agent_download=False)
        app.add_middleware(_import("scout_apm.async_.starlette").ScoutMiddleware)
    elif NEIGHBOUR == "opentelemetry":
        _import("opentelemetry.instrumentation.fastapi").FastAPIInstrumentor.instrument_app(app)
    elif NEIGHBOUR == "logfire":
        _import("logfire").instrument_fastapi(app)
    if OURS:
        app.add_middleware(_import("otas_middleware.asgi").OtasMiddleware)
    return app


os.environ["DJANGO_SETTINGS_MODULE"] = "django_settings"
begin()
application = {"flask": flask_application, "fastapi": fastapi_application}.get(HOST, django_application)()
