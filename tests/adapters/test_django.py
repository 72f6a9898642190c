"""The Django adapter: views, handlers and middlewares that use Django in full."""

from __future__ import annotations

import asyncio
import threading
import warnings
from typing import TYPE_CHECKING, Any
from wsgiref.util import FileWrapper

import django
import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection, connections
from django.test import AsyncClient, Client, override_settings

from otas_middleware import asgi, wsgi
from support.agent import PATIENCE
from support.asgi_gateway import call_asgi
from support.django_project import OTAS_EXCEPTION_MIDDLEWARE, OTAS_MIDDLEWARE, make_handler, otas_settings
from support.request import Request
from support.scenarios import BINARY, JSON, MULTIPART
from support.wsgi_gateway import call_wsgi

if TYPE_CHECKING:
    from otas_middleware import OtasSettings
    from otas_middleware._capture.asgi_scope import Message
    from support.agent import Agent

ROUTES = "support.django_lab.Routes"
FORM = ("Content-Type", "application/x-www-form-urlencoded")
MULTI = ("Content-Type", "multipart/form-data; boundary=boundary-7d93")
HANDLERS: dict[str, Any] = {"wsgi": WSGIHandler, "asgi": ASGIHandler}

both_handlers = pytest.mark.parametrize("kind", HANDLERS)


def call(kind: str, handler: Any, request: Request) -> Any:
    return call_asgi(handler, request) if kind == "asgi" else call_wsgi(handler, request.environ())


def compare(
    kind: str,
    request: Request,
    settings: OtasSettings,
    agent: Agent,
    *middleware: str,
    status: int = 200,
    **changes: Any,
) -> Any:
    """Call the lab bare and wrapped, check that both answer alike, and return the answer."""
    request = request.having(agent.header)
    with override_settings(**changes):
        bare = call(kind, make_handler(HANDLERS[kind], None, [*middleware, ROUTES]), request)
        wrapped = call(kind, make_handler(HANDLERS[kind], settings, [*middleware, ROUTES]), request)
    assert wrapped == bare
    assert bare.raised is None
    assert bare.status_code == status
    return bare


@both_handlers
@pytest.mark.parametrize("path", ["/body", "/read", "/read-after-body", "/lines", "/post", "/files"])
@pytest.mark.parametrize(
    ("kind_of_body", "body"),
    [
        (FORM, b"name=Ada&city=Z%C3%BCrich"),
        (MULTI, MULTIPART),
        (JSON, b'{"a": [1, 2]}'),
        (("Content-Type", "application/octet-stream"), BINARY),
    ],
    ids=["form", "multipart", "json", "binary"],
)
def test_a_body_is_read_in_every_way_that_django_offers(
    kind: str, path: str, kind_of_body: tuple[str, str], body: bytes, settings: OtasSettings, agent: Agent
) -> None:
    request = Request("POST", path, headers=(kind_of_body,), body=(body,))
    bare_status = 500 if path == "/post" and kind_of_body is MULTI else 200
    compare(kind, request, settings, agent, status=bare_status)
    event = agent.event()
    unread = path == "/files" and kind_of_body not in (FORM, MULTI)  # under ASGI Django itself has read it
    assert event["request_size_bytes"] == (0 if unread and kind == "wsgi" else len(body))


@both_handlers
def test_reading_the_body_after_a_read_fails_as_without_us(kind: str, settings: OtasSettings, agent: Agent) -> None:
    compare(kind, Request("POST", "/body-after-read", body=(b"abc",)), settings, agent, status=500)
    assert agent.event()["error"].startswith("RawPostDataException: ")  # type: ignore[union-attr]


@both_handlers
@pytest.mark.parametrize("path", ["/body", "/post"])
def test_a_body_over_djangos_limit_is_refused_as_without_us(
    kind: str, path: str, settings: OtasSettings, agent: Agent
) -> None:
    request = Request("POST", path, headers=(FORM,), body=(b"name=" + b"a" * 1000,))
    compare(kind, request, settings, agent, status=400, DATA_UPLOAD_MAX_MEMORY_SIZE=100)
    event = agent.event()
    assert (event["status_code"], event["error"]) == (400, "400 Bad Request")


@both_handlers
def test_an_upload_passes_an_upload_handler_in_the_same_chunks(kind: str, settings: OtasSettings, agent: Agent) -> None:
    head, tail = MULTIPART.split(BINARY)
    request = Request("POST", "/upload-handler", headers=(MULTI,), body=(head, BINARY * 10, BINARY * 10, tail))
    answer = compare(kind, request, settings, agent)
    assert b"1000, 1000" in answer.body
    assert agent.event()["request_size_bytes"] == request.size


@both_handlers
def test_an_upload_handler_may_stop_an_upload(kind: str, settings: OtasSettings, agent: Agent) -> None:
    head, tail = MULTIPART.split(BINARY)
    request = Request("POST", "/upload-handler", headers=(MULTI,), body=(head, BINARY * 200, tail))
    compare(kind, request, settings, agent)
    agent.event()


CSRF = "django.middleware.csrf.CsrfViewMiddleware"
TOKEN = "t" * 32


@both_handlers
@pytest.mark.parametrize(("token", "status"), [(TOKEN, 200), ("w" * 32, 403), (None, 403)])
@pytest.mark.parametrize("place", ["header", "form"])
def test_csrf_protection_protects_as_without_us(
    kind: str, place: str, token: str | None, status: int, settings: OtasSettings, agent: Agent
) -> None:
    headers = [FORM, ("Cookie", f"csrftoken={TOKEN}")]
    body = b"name=Ada"
    if token is not None and place == "header":
        headers.append(("X-CSRFToken", token))
    elif token is not None:
        body += f"&csrfmiddlewaretoken={token}".encode()
    compare(kind, Request("POST", "/post", headers=tuple(headers), body=(body,)), settings, agent, CSRF, status=status)
    event = agent.event()
    assert event["error"] == ("" if status == 200 else "403 Forbidden")


@both_handlers
def test_behind_the_gzip_middleware_the_compressed_bytes_are_sent_and_the_text_is_recorded(
    kind: str, settings: OtasSettings, agent: Agent
) -> None:
    gzip = "django.middleware.gzip.GZipMiddleware"
    request = Request(path="/long", headers=(("Accept-Encoding", "gzip"),))
    handlers = [make_handler(HANDLERS[kind], values, [gzip, ROUTES]) for values in (None, settings)]
    bare, wrapped = (call(kind, handler, request.having(agent.header)) for handler in handlers)
    # The compressed form holds random bytes, against BREACH: its length may differ.
    assert wrapped.body[:2] == bare.body[:2] == b"\x1f\x8b"
    event = agent.event()
    assert event["response_size_bytes"] == len(wrapped.body) < 2100
    assert "gzip" in (event["response_headers"] or "")


@both_handlers
def test_behind_the_conditional_get_middleware_the_second_request_is_a_304(
    kind: str, settings: OtasSettings, agent: Agent
) -> None:
    conditional = "django.middleware.http.ConditionalGetMiddleware"
    first = compare(kind, Request(path="/long"), settings, agent, conditional)
    etag = dict(first.headers)["ETag"]
    request = Request(path="/long", headers=(("If-None-Match", etag),))
    compare(kind, request, settings, agent, conditional, status=304)
    statuses = sorted((event["status_code"], event["response_size_bytes"]) for event in agent.events())
    assert statuses == [(200, len(first.body)), (304, 0)]


@both_handlers
def test_an_answer_out_of_the_cache_is_an_event_of_its_own(kind: str, settings: OtasSettings, agent: Agent) -> None:
    caching = ["django.middleware.cache.UpdateCacheMiddleware", "django.middleware.cache.FetchFromCacheMiddleware"]
    with override_settings(CACHE_MIDDLEWARE_KEY_PREFIX=f"{kind}-{agent.session_id}"):
        handler = make_handler(HANDLERS[kind], settings, [*caching, ROUTES])
        answers = [call(kind, handler, Request(path="/counted", headers=(agent.header,))) for _ in range(3)]
    assert answers[0].body == answers[1].body == answers[2].body
    events = agent.events()
    assert [event["response_body"] for event in events] == [answers[0].body.decode()] * 3
    assert sorted(event["metadata"]["route"] or "" for event in events) == ["", "", "/counted"]


@both_handlers
@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/http404", 404, "404 Not Found"),
        ("/nowhere", 404, "404 Not Found"),
        ("/suspicious", 400, "400 Bad Request"),
        ("/denied", 403, "403 Forbidden"),
        ("/bad", 400, "400 Bad Request"),
        ("/broken", 500, "LookupError: lost"),
        ("/returns-nothing", 500, "ValueError: The view support.django_lab.returns_nothing didn't return an"),
    ],
)
def test_errors_are_answered_as_without_us_and_named(
    kind: str, path: str, status: int, error: str, settings: OtasSettings, agent: Agent
) -> None:
    answer = compare(kind, Request(path=path), settings, agent, status=status)
    event = agent.event()
    assert (event["error"] or "").startswith(error)
    assert event["status_code"] == status
    assert event["response_size_bytes"] == len(answer.body)


@both_handlers
def test_the_debug_page_is_shown_and_the_exception_named(kind: str, settings: OtasSettings, agent: Agent) -> None:
    request = Request(path="/broken").having(agent.header)
    with override_settings(DEBUG=True):
        wrapped = call(kind, make_handler(HANDLERS[kind], settings, [ROUTES]), request)
    assert b"LookupError" in wrapped.body
    event = agent.event()
    assert event["error"] == "LookupError: lost"
    assert event["response_size_bytes"] == len(wrapped.body)


@both_handlers
@pytest.mark.parametrize("named", [True, False])
def test_an_exception_that_another_middleware_answers_is_named_where_the_second_class_stands_last(
    kind: str, *, named: bool, settings: OtasSettings, agent: Agent
) -> None:
    request = Request(path="/broken", headers=(agent.header,))
    others = ["support.django_lab.LastWord", ROUTES]
    ours = [*others, OTAS_EXCEPTION_MIDDLEWARE] if named else others
    bare = call(kind, make_handler(HANDLERS[kind], None, others), request)
    wrapped = call(kind, make_handler(HANDLERS[kind], settings, ours), request)
    assert wrapped == bare
    assert (wrapped.status_code, wrapped.body) == (500, b"handled")
    event = agent.event()
    assert event["error"] == ("LookupError: lost" if named else "500 Internal Server Error")
    assert event["metadata"].get("exception", {}).get("type") == ("LookupError" if named else None)


@both_handlers
def test_a_template_response_is_rendered_once_and_recorded(kind: str, settings: OtasSettings, agent: Agent) -> None:
    compare(kind, Request(path="/template"), settings, agent)
    assert agent.event()["response_body"] == "hello Zoë"


def test_a_stream_of_things_that_are_not_bytes_is_recorded_as_the_bytes_that_are_sent(
    settings: OtasSettings, agent: Agent
) -> None:
    answer = compare("wsgi", Request(path="/stream"), settings, agent)
    assert answer.chunks == [b"one", "zwei ü".encode(), b"3", b"4.5"]
    event = agent.event()
    assert (event["response_body"], event["response_size_bytes"]) == ("onezwei ü34.5", 14)


def test_a_stream_in_another_charset_is_counted_in_the_bytes_that_are_sent(
    settings: OtasSettings, agent: Agent
) -> None:
    answer = compare("wsgi", Request(path="/stream-utf-16"), settings, agent)
    assert agent.event()["response_size_bytes"] == len(answer.body) == 8


@pytest.mark.parametrize(("kind", "path"), [("asgi", "/stream"), ("wsgi", "/async-stream")])
def test_a_stream_of_the_handlers_other_kind_is_sent_with_djangos_warning(
    kind: str, path: str, settings: OtasSettings, agent: Agent
) -> None:
    request = Request(path=path, headers=(agent.header,))
    said: list[list[str]] = []
    answers: list[Any] = []
    for values in (None, settings):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            answers.append(call(kind, make_handler(HANDLERS[kind], values, [ROUTES]), request))
        said.append([str(warning.message) for warning in caught if warning.category is not ResourceWarning])
    assert answers[0] == answers[1]
    assert said[0] == said[1]
    assert len(said[0]) == 1
    assert agent.event()["response_size_bytes"] == len(answers[0].body)


def test_an_async_stream_is_sent_chunk_by_chunk(settings: OtasSettings, agent: Agent) -> None:
    answer = compare("asgi", Request(path="/async-stream"), settings, agent)
    assert answer.chunks == [b"one", b"two", b""]
    assert agent.event()["response_body"] == "onetwo"


@pytest.mark.skipif(django.VERSION < (5, 0), reason="Django 4.2 does not listen for a disconnect")
@pytest.mark.parametrize("path", ["/slow", "/endless"])
def test_a_client_that_goes_away_cancels_the_view_and_leaves_an_aborted_event(
    path: str, settings: OtasSettings, agent: Agent
) -> None:
    handler = make_handler(ASGIHandler, settings, [ROUTES])
    sent: list[Message] = []

    async def go_away() -> None:
        incoming: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Message:
            if incoming:
                return incoming.pop()
            await asyncio.sleep(0.05)
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        request = Request(path=path, headers=(agent.header,))
        await asyncio.wait_for(handler(request.scope(), receive, send), PATIENCE)

    asyncio.run(go_away())
    event = agent.event()
    assert event["metadata"]["aborted"] is True
    assert "exception" not in event["metadata"]
    ticks = sum(len(message["body"]) for message in sent if message["type"] == "http.response.body")
    assert event["status_code"] == (499 if path == "/slow" else 200)
    assert event["response_size_bytes"] == ticks
    assert bool(ticks) is (path == "/endless")


def ignore(*_: Any) -> Any:
    """Be a `start_response` of which nothing is expected."""
    return print


def test_a_file_is_sent_by_the_servers_file_wrapper(settings: OtasSettings, agent: Agent) -> None:
    request = Request(path="/file", headers=(agent.header,))
    results: list[Any] = []
    for values in (None, settings):
        handler = make_handler(WSGIHandler, values, [ROUTES])
        environ = request.environ(**{"wsgi.file_wrapper": FileWrapper})
        results.append(handler(environ, ignore))
    assert [type(result) for result in results] == [FileWrapper, FileWrapper]
    for result in results:
        assert b"".join(result) == b"0123456789" * 1000
        result.close()
        assert result.filelike.closed
    event = agent.event()
    assert (event["response_size_bytes"], event["response_body"]) == (10_000, "")
    assert "aborted" not in event["metadata"]


def test_a_file_is_iterated_where_the_server_has_no_file_wrapper(settings: OtasSettings, agent: Agent) -> None:
    compare("wsgi", Request(path="/file"), settings, agent)
    event = agent.event()
    assert event["response_size_bytes"] == 10_000
    assert (event["response_body"] or "").startswith("0123456789")


@both_handlers
@pytest.mark.parametrize("path", ["/thread", "/async-thread"])
def test_views_run_in_the_thread_in_which_they_run_without_us(
    kind: str, path: str, settings: OtasSettings, agent: Agent
) -> None:
    answer = compare(kind, Request(path=path), settings, agent)
    assert (answer.body == b"True") is ((kind, path) in {("wsgi", "/thread"), ("asgi", "/async-thread")})
    assert threading.current_thread() is threading.main_thread()


def test_atomic_requests_are_rolled_back_as_without_us(
    settings: OtasSettings, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE note (text)")
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
    try:
        compare("wsgi", Request(path="/insert-and-fail"), settings, agent, status=500)
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM note")
            assert cursor.fetchone() == (0,)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE note")
    assert agent.event()["error"] == "LookupError: after the insert"


@both_handlers
def test_a_route_by_regular_expression_is_recorded_by_its_names(
    kind: str, settings: OtasSettings, agent: Agent
) -> None:
    compare(kind, Request(path="/archive/2026/green-tea/"), settings, agent)
    assert agent.event()["metadata"]["route"] == "/archive/{year}/{slug}/"


@both_handlers
def test_installed_twice_it_records_once(kind: str, settings: OtasSettings, agent: Agent) -> None:
    with override_settings(MIDDLEWARE=[OTAS_MIDDLEWARE, OTAS_MIDDLEWARE, ROUTES], OTAS=otas_settings(settings)):
        handler: Any = HANDLERS[kind]()
    outer: Any = asgi.OtasMiddleware if kind == "asgi" else wsgi.OtasMiddleware
    assert (
        call(kind, outer(handler, settings=settings), Request(path="/long", headers=(agent.header,))).status_code == 200
    )
    agent.event()


# --- the test client


def in_the_lab(settings: OtasSettings | None) -> override_settings:
    stack = [ROUTES] if settings is None else [OTAS_MIDDLEWARE, ROUTES]
    return override_settings(MIDDLEWARE=stack, OTAS={} if settings is None else otas_settings(settings))


def test_the_test_client_gets_what_it_gets_without_us(settings: OtasSettings, agent: Agent) -> None:
    answers: list[list[Any]] = []
    for values in (None, settings):
        with in_the_lab(values):
            client: Any = Client(headers=dict([agent.header]), raise_request_exception=False)
            streamed = client.get("/stream")
            answers.append(
                [
                    client.post("/files", {"name": "Ada"}).content,
                    client.get("/http404").status_code,
                    client.get("/broken").status_code,
                    client.get("/template").content,
                    b"".join(streamed.streaming_content),
                ]
            )
            streamed.close()
    assert answers[0] == answers[1]
    assert sorted(event["status_code"] for event in agent.events()) == [200, 200, 200, 404, 500]


def test_the_test_client_raises_the_views_exception(settings: OtasSettings, agent: Agent) -> None:
    with in_the_lab(settings), pytest.raises(LookupError, match="lost"):
        Client(headers=dict([agent.header])).get("/broken")
    assert agent.event()["error"] == "LookupError: lost"


def test_the_asynchronous_test_client_gets_what_it_gets_without_us(settings: OtasSettings, agent: Agent) -> None:
    async def talk() -> list[Any]:
        client: Any = AsyncClient(raise_request_exception=False)
        headers = dict([agent.header])
        posted = await client.post("/files", {"name": "Ada"}, headers=headers)
        got = [await client.get(path, headers=headers) for path in ("/http404", "/broken")]
        return [posted.content, *(response.status_code for response in got)]

    answers: list[list[Any]] = []
    for values in (None, settings):
        with in_the_lab(values):
            answers.append(asyncio.run(talk()))
    assert answers[0] == answers[1]
    assert sorted(event["status_code"] for event in agent.events()) == [200, 404, 500]


# --- Django REST framework and django-ninja

ORDER = (b'{"item": "tea", "quantity": 2}',)


@both_handlers
@pytest.mark.parametrize(
    ("library", "request_", "status", "error"),
    [
        ("drf", Request("POST", "/drf/orders/7", headers=(JSON,), body=ORDER), 201, ""),
        ("drf", Request("POST", "/drf/orders/7", headers=(FORM,), body=(b"item=tea&quantity=2",)), 201, ""),
        ("drf", Request("POST", "/drf/orders/7", headers=(JSON,), body=(b'{"item": "',)), 400, "400 Bad Request"),
        ("drf", Request("POST", "/drf/orders/7", headers=(JSON,), body=(b"{}",)), 400, "400 Bad Request"),
        ("drf", Request("PUT", "/drf/orders/7", headers=(MULTI,), body=(MULTIPART,)), 200, ""),
        ("drf", Request("GET", "/drf/orders/404"), 404, "404 Not Found"),
        ("drf", Request("GET", "/drf/orders/500"), 500, "LookupError: lost"),
        ("drf", Request("PATCH", "/drf/orders/7"), 405, "405 Method Not Allowed"),
        ("ninja", Request("POST", "/ninja/orders/7", headers=(JSON,), body=ORDER), 200, ""),
        ("ninja", Request("POST", "/ninja/orders/7", headers=(JSON,), body=(b"{}",)), 422, "422 Unprocessable"),
        ("ninja", Request("GET", "/ninja/orders/404"), 404, "404 Not Found"),
        ("ninja", Request("GET", "/ninja/orders/500"), 500, "LookupError: lost"),
    ],
)
def test_views_of_rest_framework_and_ninja(
    kind: str, library: str, request_: Request, status: int, error: str, settings: OtasSettings, agent: Agent
) -> None:
    answer = compare(kind, request_, settings, agent, status=status)
    event = agent.event()
    assert (event["error"] or "").startswith(error)
    assert bool(event["error"]) is bool(error)
    assert event["metadata"]["route"] == f"/{library}/orders/{{order_id}}"
    assert event["request_size_bytes"] == request_.size
    assert event["response_size_bytes"] == len(answer.body)
