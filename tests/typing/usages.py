"""Usages of the public names that type checkers must accept, and mistakes that they must find.

mypy and pyright read this file with the rest of the tests. A mistake carries `type: ignore`; where a checker no longer
finds it, the comment is an error of its own (`warn_unused_ignores`, `reportUnnecessaryTypeIgnoreComment`).
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, assert_type

import httpx2
from pydantic import SecretStr

import otas_middleware as otas
from otas_middleware import BackendEvent, OtasSettings, RequestInfo, propagate
from otas_middleware.agent import AgentSession as Session
from otas_middleware.agent import LoggedEvent
from otas_middleware.asgi import OtasMiddleware as AsgiMiddleware
from otas_middleware.delivery import Envelope, Outcome, Request, Response, TransportError, by_status
from otas_middleware.django import OtasExceptionMiddleware
from otas_middleware.django import OtasMiddleware as DjangoMiddleware
from otas_middleware.flask import Otas
from otas_middleware.testing import RecordedEvents, make_token, record_events, session_headers
from otas_middleware.wsgi import OtasMiddleware as WsgiMiddleware

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

    from django.http import HttpRequest, HttpResponse
    from fastapi import FastAPI
    from flask import Flask
    from starlette.applications import Starlette

    from otas_middleware.delivery import Destination, Transport


def settings() -> None:
    OtasSettings(sdk_key="otas_a_b", ignore_paths="/health, /static/", spool_dir="spool", before_send="shop:clean")
    made = OtasSettings(
        sdk_key=SecretStr("otas_a_b"),
        brain_url="https://brain.example.com",
        max_body_bytes=4096,
        sensitive_headers=("X-Customer",),
        should_record=paying_customers,
        before_send=without_notes,
    )
    assert_type(made.max_body_bytes, int)
    assert_type(made.sdk_key, SecretStr | None)
    assert_type(made.replace(max_body_bytes=0), OtasSettings)
    OtasSettings(max_body_byte=4096)  # type: ignore[call-arg]
    made.replace(max_body_byte=0)  # type: ignore[call-arg]
    OtasSettings(max_body_bytes="many")  # type: ignore[arg-type]
    made.max_body_bytes = 1  # type: ignore[misc]


def paying_customers(request: RequestInfo) -> bool:
    assert_type(request.method, str)
    assert_type(request.session, otas.SessionInfo)
    return request.path.startswith("/orders/")


def without_notes(event: BackendEvent) -> BackendEvent | None:
    assert_type(event.status_code, int)
    assert_type(event.metadata, dict[str, Any])
    event.request_body = ""
    return event if event.path != "/internal" else None


def in_a_handler() -> None:
    otas.annotate(order_id=42, tags=["a"])
    otas.checkpoint("cache_lookup", rows=5)
    otas.checkpoint(rows=5)  # type: ignore[call-arg]
    session = otas.current_session()
    assert_type(session, otas.SessionInfo | None)
    assert session.agent_id  # type: ignore[union-attr]
    if session is not None:
        assert_type(session.verified, bool)
    assert_type(otas.flush(timeout=2.0), bool)
    assert_type(otas.stats(), dict[str, Any])


def asgi(starlette: Starlette, fastapi: FastAPI, made: OtasSettings) -> None:
    starlette.add_middleware(AsgiMiddleware)
    starlette.add_middleware(AsgiMiddleware, settings=made)
    fastapi.add_middleware(AsgiMiddleware, max_body_bytes=4096)
    AsgiMiddleware(fastapi)
    AsgiMiddleware(AsgiMiddleware(starlette, max_body_bytes=4096))
    AsgiMiddleware(starlette, sdk_key="otas_a_b", ignore_paths=["/health"])
    AsgiMiddleware(starlette, max_body_byte=4096)  # type: ignore[call-overload]
    AsgiMiddleware()  # type: ignore[call-overload]
    AsgiMiddleware(starlette, settings="no")  # type: ignore[call-overload]


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [b"hello"]


def wsgi(flask: Flask, made: OtasSettings) -> None:
    WsgiMiddleware(application, settings=made)
    WsgiMiddleware(WsgiMiddleware(application))
    WsgiMiddleware(flask.wsgi_app)
    WsgiMiddleware(application, sdk_key="otas_a_b")
    WsgiMiddleware(application, max_body_byte=4096)  # type: ignore[call-arg]
    WsgiMiddleware("application")  # type: ignore[arg-type]


def flask(app: Flask, made: OtasSettings) -> None:
    Otas(app)
    Otas(app, settings=made)
    assert_type(Otas(max_body_bytes=4096).init_app(app), None)
    Otas(app, max_body_byte=4096)  # type: ignore[call-arg]
    Otas("app")  # type: ignore[arg-type]


def django(request: HttpRequest) -> HttpResponse:
    def get_response(request: HttpRequest) -> HttpResponse:
        raise NotImplementedError

    assert_type(OtasExceptionMiddleware(get_response).process_exception(request, ValueError()), None)
    response: HttpResponse = DjangoMiddleware(get_response)(request)
    return response


def agent() -> None:
    def noted(event: LoggedEvent) -> None:
        assert_type(event.event_id, str)

    with Session("https://api.example.com", meta={"task": "refund 42"}, on_logged=noted) as session:
        assert_type(session, Session)
        Session("https://api.example.com", agent_key="agent_a_b", request_timeout=20)
        Session("https://api.example.com", agent_keys="agent_a_b")  # type: ignore[call-arg]
        assert_type(session.client(), httpx2.Client)
        assert_type(session.async_client(), httpx2.AsyncClient)
        assert_type(session.session_id, str | None)
        assert_type(session.instrument(httpx2.Client()), httpx2.Client)
        assert_type(session.headers_for("https://api.example.com/"), dict[str, str])
        assert_type(session.log("POST", "https://a.example/", status_code=200, latency_ms=3.5), str)
        session.log("POST", "https://a.example/", status_code=200)  # type: ignore[call-arg]

        @session.tool("search")
        def search(query: str, limit: int = 10) -> list[str]:
            return [query] * limit

        @session.tool
        def add(first: int, second: int) -> int:
            return first + second

        assert_type(add(1, second=2), int)
        add("1", 2)  # type: ignore[arg-type]
        assert_type(search("shoes"), list[str])
        search(limit=3)  # type: ignore[call-arg]


async def asynchronous_agent() -> None:
    async with Session() as session:
        assert_type(session, Session)
        Session("https://api.example.com", agent_key="agent_a_b", request_timeout=20)
        Session("https://api.example.com", agent_keys="agent_a_b")  # type: ignore[call-arg]


def passing_on(client: httpx2.AsyncClient) -> None:
    assert_type(propagate.instrument(client), httpx2.AsyncClient)
    assert_type(propagate.headers_for("https://stock.internal/"), dict[str, str])

    def work(order: int) -> str:
        return str(order)

    assert_type(propagate.carry(work)(7), str)
    propagate.carry(work)("7")  # type: ignore[arg-type]


def carrier(request: Request, timeout: float) -> Response:
    raise TransportError("connection refused", sent=False)


class Archive:
    name = "archive"

    def request(self, envelope: Envelope) -> Request:
        return Request("https://archive.example.com/events", (), envelope.event.to_json())

    def outcome(self, response: Response) -> Outcome:
        return by_status(response)


def extension_points() -> None:
    carried_by(carrier)
    carried_by(application)  # type: ignore[arg-type]
    sent_to(Archive())
    sent_to(carrier)  # type: ignore[arg-type]


def carried_by(transport: Transport) -> None:
    assert_type(transport(Request("https://a.example/", (), b""), 5.0), Response)


def sent_to(destination: Destination) -> None:
    assert_type(destination.name, str)


def in_a_test(otas_events: RecordedEvents) -> None:
    assert_type(otas_events.headers, dict[str, str])
    assert_type(otas_events[0], BackendEvent)
    assert_type(otas_events[1:], list[BackendEvent])
    assert_type(otas_events.one(path=re.compile("^/orders/"), status_code=200), BackendEvent)
    assert_type(otas_events.matching(custom_properties={"order_id": 42}), list[BackendEvent])
    otas_events.one(status=200)  # type: ignore[call-arg]
    otas_events.assert_none(error=bool)
    otas_events.assert_no_trace_of("hunter2")
    with record_events(strict=False) as events:
        assert_type(events, RecordedEvents)
    assert_type(make_token(agent_id="a", expires_in=None), str)
    assert_type(session_headers(), dict[str, str])
