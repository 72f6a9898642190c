"""WSGI applications behind bridges to ASGI: what is recorded inside is what the client of the bridge gets."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.wsgi import WsgiToAsgi
from flask import Flask, Response

from otas_middleware import asgi, wsgi
from otas_middleware.flask import Otas
from support.asgi_gateway import call_asgi
from support.request import Request
from support.wsgi_gateway import call_wsgi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from otas_middleware import OtasSettings
    from otas_middleware._capture.asgi_scope import Receive, Scope, Send
    from support.agent import Agent

PLAIN = [("Content-Type", "text/plain")]


def starlettes(app: Any) -> Any:
    from starlette.middleware.wsgi import WSGIMiddleware

    return WSGIMiddleware(app)


def a2wsgis(app: Any) -> Any:
    return pytest.importorskip("a2wsgi").WSGIMiddleware(app)


BRIDGES: dict[str, Callable[[Any], Any]] = {"asgiref": WsgiToAsgi, "starlette": starlettes, "a2wsgi": a2wsgis}
pytestmark = pytest.mark.filterwarnings("ignore:starlette.middleware.wsgi is deprecated")


def rows(*before: bytes, fails: bool) -> Iterator[bytes]:
    yield from before
    if fails:
        raise ValueError("no row")


def flask_app(settings: OtasSettings) -> Any:
    app = Flask("bridged")
    app.add_url_rule("/whole", "whole", lambda: "whole")
    app.add_url_rule("/stream", "stream", lambda: Response(rows(b"one", b"two", fails=False)))
    app.add_url_rule("/middle", "middle", lambda: Response(rows(b"one", b"two", fails=True)))
    app.add_url_rule("/first", "first", lambda: Response(rows(fails=True)))
    Otas(app, settings=settings)
    return app


def wsgi_app(settings: OtasSettings) -> Any:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        match environ["PATH_INFO"]:
            case "/whole":
                return [b"whole"]
            case "/stream":
                return rows(b"one", b"two", fails=False)
            case "/middle":
                return rows(b"one", b"two", fails=True)
            case _:
                return rows(fails=True)

    return wsgi.OtasMiddleware(app, settings=settings)


@pytest.mark.parametrize("make", [flask_app, wsgi_app])
@pytest.mark.parametrize("path", ["/whole", "/stream", "/middle", "/first"])
@pytest.mark.parametrize("bridge", BRIDGES)
def test_the_event_says_what_came_through_the_bridge(
    bridge: str, path: str, make: Callable[[OtasSettings], Any], settings: OtasSettings, agent: Agent
) -> None:
    exchange = call_asgi(BRIDGES[bridge](make(settings)), Request(path=path, headers=(agent.header,)))
    event = agent.event()
    assert event["response_size_bytes"] == len(exchange.body)
    assert "aborted" not in event["metadata"]
    assert event["error"] == ("ValueError: no row" if path in {"/middle", "/first"} else "")
    assert event["status_code"] == exchange.status_code


@pytest.mark.parametrize("bridge", BRIDGES)
def test_a_second_start_counts_where_the_bridge_has_not_sent_the_first(
    bridge: str, settings: OtasSettings, agent: Agent
) -> None:
    """PEP 3333 lets it replace the first; a2wsgi and Starlette have sent that, and say nothing."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        try:
            next(rows(fails=True))
        except ValueError:
            start_response("503 Busy", [("x-second", "yes")], sys.exc_info())
        return [b"busy"]

    exchange = call_asgi(BRIDGES[bridge](wsgi.OtasMiddleware(app, settings=settings)), Request(headers=(agent.header,)))
    event = agent.event()
    assert (event["status_code"], event["error"]) == (exchange.status_code, "ValueError: no row")
    assert ("x-second" in (event["response_headers"] or "")) is (("x-second", "yes") in exchange.headers)


def test_the_latency_of_a_stream_behind_a_bridge_runs_to_its_end(settings: OtasSettings, agent: Agent) -> None:
    go_on = threading.Event()

    def body() -> Iterator[bytes]:
        yield b"one"
        go_on.wait()
        yield b"two"

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        return body()

    bridged: Any = BRIDGES["asgiref"](wsgi.OtasMiddleware(app, settings=settings))

    async def call() -> None:
        first = asyncio.Event()

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            if message.get("body"):
                first.set()

        scope = Request(headers=(agent.header,)).scope()
        request = asyncio.ensure_future(bridged(scope, receive, send))
        await first.wait()
        await asyncio.sleep(0.05)
        go_on.set()
        await request

    asyncio.run(call())
    event = agent.event()
    assert event["latency_ms"] >= 50
    assert event["response_body"] == "onetwo"


def gateway_event(path: str, headers: dict[str, str]) -> dict[str, Any]:
    """Return an event as API Gateway's HTTP APIs make it (payload format 2.0)."""
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"host": "function.example", **headers},
        "requestContext": {
            "domainName": "function.example",
            "http": {"method": "GET", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
            "stage": "$default",
        },
        "isBase64Encoded": False,
    }


@pytest.mark.parametrize("library", ["apig_wsgi", "serverless_wsgi"])
@pytest.mark.parametrize(("path", "size"), [("/whole", 5), ("/stream", 6)])
def test_a_function_of_lambda_that_is_a_wsgi_application_is_recorded_whole(
    path: str, size: int, library: str, settings: OtasSettings, agent: Agent
) -> None:
    module = pytest.importorskip(library)
    event = gateway_event(path, dict([agent.header]))
    app = wsgi_app(settings)
    if library == "apig_wsgi":
        answer = module.make_lambda_handler(app)(event, None)
    else:
        answer = module.handle_request(app, event, None)
    assert answer["statusCode"] == 200
    recorded = agent.event()
    assert (recorded["status_code"], recorded["response_size_bytes"], recorded["path"]) == (200, size, path)
    assert "aborted" not in recorded["metadata"]


@pytest.mark.parametrize("host", ["serverless.event", "awsgi.event"])
def test_a_stream_that_a_host_leaves_open_is_an_event_at_its_end(
    host: str, settings: OtasSettings, agent: Agent
) -> None:
    class Rows(list[bytes]):
        def close(self) -> None: ...

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        return Rows([b"one", b"two"])

    environ = Request(headers=(agent.header,)).environ(**{host: "{}"})
    response = Response.from_app(wsgi.OtasMiddleware(app, settings=settings), environ)  # as serverless-wsgi calls
    assert response.data == b"onetwo"
    assert agent.event()["response_size_bytes"] == 6


@pytest.mark.parametrize("host", ["serverless.event", "awsgi.event"])
def test_so_is_one_that_a_middleware_within_flask_made(host: str, settings: OtasSettings, agent: Agent) -> None:
    class Rows(list[bytes]):
        def close(self) -> None: ...

    flask = Flask("within")
    inner = flask.wsgi_app
    flask.wsgi_app = lambda *args: Rows(inner(*args))  # type: ignore[method-assign]
    Otas(flask, settings=settings)
    environ = Request(path="/missing", headers=(agent.header,)).environ(**{host: "{}"})
    response = Response.from_app(flask, environ)
    assert len(response.data) == agent.event()["response_size_bytes"]


@pytest.mark.parametrize(
    ("method", "path", "events"), [("POST", "/orders", 1), ("GET", "/orders", 2), ("POST", "/others", 2)]
)
def test_what_an_application_asks_of_another_inside_is_a_request_of_its_own_unless_it_is_the_very_same(
    method: str, path: str, events: int, settings: OtasSettings, agent: Agent
) -> None:
    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        return [b"ok"]

    inner: WSGIApplication = wsgi.OtasMiddleware(answer, settings=settings)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        inside = call_wsgi(inner, Request(method, path, headers=(agent.header,)).environ())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": inside.body})

    outer = asgi.OtasMiddleware(app, settings=settings)
    assert call_asgi(outer, Request("POST", "/orders", headers=(agent.header,))).body == b"ok"
    assert len(agent.events()) == events
