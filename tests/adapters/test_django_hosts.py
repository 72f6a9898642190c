"""The Django adapter among other middlewares, hosts and adapters: what they do to requests, bodies and responses."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import TYPE_CHECKING, Any
from wsgiref.util import FileWrapper

import django
import pytest
from asgiref.wsgi import WsgiToAsgi
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.base import BaseHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse, StreamingHttpResponse
from django.test import RequestFactory, override_settings

from otas_middleware import asgi, wsgi
from otas_middleware.django import OtasMiddleware
from support import django_hosts
from support.agent import PATIENCE
from support.asgi_gateway import call_asgi
from support.django_project import OTAS_MIDDLEWARE, make_handler, otas_settings
from support.request import Request
from support.scenarios import BINARY, JSON, MULTIPART
from support.sink import TOKEN, Sink
from support.wsgi_gateway import call_wsgi

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otas_middleware._capture import Capture
    from otas_middleware._capture.asgi_scope import Message

ROUTES = "support.django_hosts.Routes"
FORM = ("Content-Type", "application/x-www-form-urlencoded")
MULTI = ("Content-Type", "multipart/form-data; boundary=boundary-7d93")
HANDLERS: dict[str, Any] = {"wsgi": WSGIHandler, "asgi": ASGIHandler}

both_handlers = pytest.mark.parametrize("kind", HANDLERS)


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as sink:
        yield sink


def call(kind: str, handler: Any, request: Request) -> Any:
    return call_asgi(handler, request) if kind == "asgi" else call_wsgi(handler, request.environ())


def record(kind: str, request: Request, sink: Sink, *middleware: str, above: tuple[str, ...] = ()) -> Capture:
    """Call bare and wrapped, check that both answer alike, and return what was captured.

    Args:
        kind: The handler.
        request: What is asked.
        sink: Takes the capture.
        middleware: The middlewares below ours.
        above: Those above it.
    """
    request = request.having(TOKEN)
    bare = call(kind, make_handler(HANDLERS[kind], None, [*above, *middleware, ROUTES]), request)
    stack = [*above, OTAS_MIDDLEWARE, *middleware, ROUTES]
    with override_settings(MIDDLEWARE=stack, OTAS=otas_settings(sink.settings)):
        handler = HANDLERS[kind]()
    assert call(kind, handler, request) == bare
    return sink.take()


# --- start-up


@both_handlers
def test_a_site_starts_whatever_wraps_the_loading_of_its_middlewares(
    kind: str, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = BaseHandler.load_middleware

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return load(*args, **kwargs)  # as error trackers do it

    monkeypatch.setattr(BaseHandler, "load_middleware", wrapper)
    capture = record(kind, Request(path="/failing"), sink)
    assert capture.exception is not None
    assert capture.exception.type == "LookupError"


def test_a_file_is_an_event_at_its_end_where_a_bridge_stops_at_its_length(sink: Sink) -> None:
    """As asgiref's does, which closes nothing; the response is in a reference cycle."""
    with override_settings(MIDDLEWARE=[OTAS_MIDDLEWARE, ROUTES], OTAS=otas_settings(sink.settings)):
        bridge: Any = WsgiToAsgi
        bridged = bridge(WSGIHandler())
    gc.disable()
    try:
        exchange = call_asgi(bridged, Request(path="/file", headers=(TOKEN,)))
        assert sink.take().response_size == len(exchange.body) > 0
    finally:
        gc.enable()
        django_hosts.made.pop().close()


# --- bodies


@both_handlers
@pytest.mark.parametrize("first", ["ReadsBody", "ReplacesInput", "ReadsForm"])
@pytest.mark.parametrize(
    ("header", "body"),
    [(FORM, b"name=Ada"), (JSON, b'{"a": 1}'), (MULTI, MULTIPART)],
    ids=["form", "json", "multipart"],
)
def test_a_body_that_somebody_read_before_is_recorded(
    kind: str, first: str, header: tuple[str, str], body: bytes, sink: Sink
) -> None:
    path = "/hello" if (first, header) == ("ReadsForm", MULTI) else "/echo"  # else Django refuses `body`
    request = Request("POST", path, headers=(header,), body=(body,))
    capture = record(kind, request, sink, above=(f"support.django_hosts.{first}",))
    if (kind, path) == ("asgi", "/hello"):
        return  # Django's parser took it from where nobody can see it; the documentation says so
    assert (capture.request_body(), capture.request_size) == (body, len(body))


def test_of_a_body_read_before_no_more_is_kept_than_of_others() -> None:
    sink = Sink(max_body_bytes=100)
    larger = Sink(max_body_bytes=10_000)
    with override_settings(MIDDLEWARE=[OTAS_MIDDLEWARE], OTAS=otas_settings(larger.settings)):
        other = WSGIHandler()  # it hears the signal of all
    request = Request("POST", "/echo", headers=(JSON,), body=(BINARY,))
    capture = record("wsgi", request, sink, above=("support.django_hosts.ReadsBody",))
    assert (capture.request_body(), capture.request_size) == (BINARY[:100], len(BINARY))
    assert other is not None
    assert not larger.captures


@both_handlers
def test_a_body_of_a_request_with_a_refused_token_is_let_go(kind: str, sink: Sink) -> None:
    request = Request("POST", "/echo", headers=(JSON, (TOKEN[0], "no token")), body=(BINARY,))
    handler = make_handler(HANDLERS[kind], sink.settings, [ROUTES])
    assert call(kind, handler, request).body == BINARY
    assert not sink.captures


def test_a_body_that_is_read_while_the_response_is_streamed_is_recorded_once(sink: Sink) -> None:
    request = Request("POST", "/reads-while-it-answers", headers=(JSON,), body=(b"0123456789",))
    capture = record("asgi", request, sink)
    assert capture.request_body() == capture.response_body() == b"0123456789"


def test_a_request_is_copied_and_pickled_as_without_us(sink: Sink) -> None:
    capture = record("asgi", Request("POST", "/copied", headers=(JSON,), body=(b"tea",)), sink)
    assert (capture.status_code, capture.request_body()) == (200, b"tea")


@both_handlers
def test_copies_of_what_django_calls_meta_succeed_as_without_us(kind: str, sink: Sink) -> None:
    capture = record(kind, Request(path="/meta"), sink)
    assert capture.response_body() == b'{"deepcopy": "done", "dumps": "done"}'


# --- responses


@pytest.mark.parametrize("path", ["/hello", "/closable"])
def test_a_response_that_nobody_closes_is_complete(path: str, sink: Sink) -> None:
    handler = make_handler(WSGIHandler, sink.settings, [ROUTES])
    body = b"".join(handler(Request(path=path, headers=(TOKEN,)).environ(), ignore))
    capture = sink.take()
    assert capture.response_body() == body
    assert (capture.complete, capture.aborted) == (True, False)


def ignore(*_: Any) -> Any:
    """Be a `start_response` of which nothing is expected."""
    return print


def test_another_host_may_run_the_middleware_without_djangos_handlers(sink: Sink) -> None:
    with override_settings(OTAS=otas_settings(sink.settings)):
        middleware = OtasMiddleware(lambda request: HttpResponse(request.read()))
    request = RequestFactory().post("/", b"abc", content_type="text/plain", headers=dict([TOKEN]))
    assert middleware(request).content == b"abc"
    capture = sink.take()
    assert (capture.request_body(), capture.response_body(), capture.complete) == (b"abc", b"abc", True)


def test_an_exception_that_another_host_answers_is_a_500_and_named(sink: Sink) -> None:
    def view(_: Any) -> HttpResponse:
        raise LookupError("lost")

    with override_settings(OTAS=otas_settings(sink.settings)):
        middleware = OtasMiddleware(view)
    with pytest.raises(LookupError):
        middleware(RequestFactory().get("/", headers=dict([TOKEN])))
    capture = sink.take()
    assert capture.exception is not None
    assert not capture.aborted


@pytest.mark.parametrize("stop_after", [0, 1, 2, 3, None])
def test_a_stream_is_closed_once_wherever_it_was_left(stop_after: int | None, sink: Sink) -> None:
    handler = make_handler(WSGIHandler, sink.settings, [ROUTES])
    answer = call_wsgi(handler, Request(path="/closable", headers=(TOKEN,)).environ(), stop_after=stop_after)
    assert django_hosts.made[-1].closed == 1
    capture = sink.take()
    assert capture.response_size == len(answer.body)
    assert capture.aborted is (stop_after is not None)


def test_a_response_that_is_left_in_its_middle_is_freed_with_its_last_reference(sink: Sink) -> None:
    with override_settings(OTAS=otas_settings(sink.settings)):
        middleware = OtasMiddleware(lambda _: StreamingHttpResponse(iter([b"one", b"two"])))
    response = middleware(RequestFactory().get("/", headers=dict([TOKEN])))
    chunks = iter(response)
    assert next(chunks) == b"one"
    gc.collect()
    gc.disable()
    try:
        response.close()
        gone = weakref.ref(response)
        del response, chunks
        assert gone() is None
    finally:
        gc.enable()
    assert sink.take().response_body() == b"one"


@both_handlers
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
def test_a_file_is_streamed_as_without_us_where_the_server_does_not_send_it(kind: str, sink: Sink) -> None:
    handler = make_handler(HANDLERS[kind], sink.settings, [ROUTES])
    answer = call(kind, handler, Request(path="/file", headers=(TOKEN,)))
    assert django_hosts.made[-1].closed
    assert sink.take().response_size == len(answer.body) > 0


def test_a_file_response_keeps_its_file(sink: Sink) -> None:
    with override_settings(OTAS=otas_settings(sink.settings)):
        middleware = OtasMiddleware(django_hosts.file)
    response = middleware(RequestFactory().get("/", headers=dict([TOKEN])))
    assert response.file_to_stream is django_hosts.made[-1]
    response.close()
    assert django_hosts.made[-1].closed


def test_a_file_that_the_server_sends_is_over_when_the_server_closes_it(sink: Sink) -> None:
    handler = make_handler(WSGIHandler, sink.settings, [ROUTES])
    environ = Request(path="/file", headers=(TOKEN,)).environ(**{"wsgi.file_wrapper": FileWrapper})
    result: Any = handler(environ, ignore)
    assert not sink.captures
    b"".join(result)
    result.close()
    capture = sink.take()
    assert (capture.opaque, capture.complete, capture.aborted) == (True, True, False)
    assert django_hosts.made[-1].closed


def test_a_middleware_above_may_stream_something_else(sink: Sink) -> None:
    capture = record("wsgi", Request(path="/closable"), sink, above=("support.django_hosts.Outer",))
    assert (capture.response_body(), capture.complete) == (b"onetwothree", True)


@both_handlers
@pytest.mark.parametrize("place", ["above", "below"])
def test_a_cache_may_keep_responses_above_and_below(kind: str, place: str, sink: Sink) -> None:
    update, fetch = (f"django.middleware.cache.{name}Middleware" for name in ("UpdateCache", "FetchFromCache"))
    stack = [update, OTAS_MIDDLEWARE, fetch, ROUTES] if place == "above" else [OTAS_MIDDLEWARE, update, fetch, ROUTES]
    with override_settings(
        CACHE_MIDDLEWARE_KEY_PREFIX=f"{kind}-{place}", MIDDLEWARE=stack, OTAS=otas_settings(sink.settings)
    ):
        handler = HANDLERS[kind]()
        for _ in range(2):
            assert call(kind, handler, Request(path="/hello", headers=(TOKEN,))).body == b"hello"
    assert [capture.response_body() for capture in sink.captures] == [b"hello"] * 2


@both_handlers
def test_a_response_that_nobody_renders_fails_as_without_us(kind: str, sink: Sink) -> None:
    request = Request(path="/hello", headers=(TOKEN,))
    stack = ["support.django_hosts.AnswersUnrendered"]
    bare = call(kind, make_handler(HANDLERS[kind], None, stack), request)
    assert call(kind, make_handler(HANDLERS[kind], sink.settings, stack), request) == bare
    assert bare.raised is not None
    capture = sink.take()
    assert capture.exception is not None
    assert capture.exception.type == "ContentNotRenderedError"


# --- streams that fail


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_stream_that_fails_before_its_first_byte_is_a_500_under_wsgi(method: str, sink: Sink) -> None:
    capture = record("wsgi", Request(method, "/fails-at-once"), sink)
    assert capture.exception is not None
    assert (capture.status_code or 500, list(capture.response_headers)) == (500, [])


@pytest.mark.parametrize("path", ["/async-fails-at-once", "/async-fails-later"])
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
def test_an_asynchronous_stream_that_fails_is_a_500_under_wsgi_where_django_collects_it(path: str, sink: Sink) -> None:
    capture = record("wsgi", Request(path=path), sink)
    assert capture.exception is not None
    assert (capture.status_code or 500, list(capture.response_headers), capture.response_size) == (500, [], 0)


@pytest.mark.parametrize(
    ("path", "size"),
    [("/async-fails-at-once", 0), ("/async-fails-later", 6), ("/fails-at-once", 0), ("/fails-later", 0)],
)
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
def test_a_stream_that_fails_has_begun_under_asgi(path: str, size: int, sink: Sink) -> None:
    capture = record("asgi", Request(path=path), sink)
    assert capture.exception is not None
    assert (capture.status_code, capture.response_size) == (200, size)


# --- cancellation


def leaving(path: str) -> Any:
    """Return a coroutine function that asks for a path and goes away when the view is at work, or at its first byte."""

    async def leave(app: Any) -> None:
        incoming: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Message:
            if incoming:
                return incoming.pop()
            await asyncio.sleep(0.05)
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            """Be a server."""

        await asyncio.wait_for(app(Request(path=path, headers=(TOKEN,)).scope(), receive, send), PATIENCE)

    return leave


@pytest.mark.skipif(django.VERSION < (5, 0), reason="Django 4.2 does not listen for a disconnect")
def test_a_client_that_leaves_is_a_499(sink: Sink) -> None:
    asyncio.run(leaving("/slow")(make_handler(ASGIHandler, sink.settings, [ROUTES])))
    capture = sink.take()
    assert (capture.disconnected, capture.aborted, capture.exception) == (True, True, None)


def test_a_time_limit_of_a_middleware_further_out_is_no_departure_of_the_client(sink: Sink) -> None:
    capture = limited("TimeLimit", 500, sink)
    assert capture.exception is not None
    assert (capture.exception.type, capture.status_code or 500, capture.aborted) == ("TimeoutError", 500, False)


def test_a_time_limit_further_out_that_answers_itself_is_told_from_a_departure_where_the_request_has_a_task(
    sink: Sink,
) -> None:
    capture = limited("AnsweringTimeLimit", 504, sink)
    if django.VERSION >= (6, 0):
        assert (capture.exception, capture.aborted) == (None, True)
    else:
        assert capture.exception is not None
        assert (capture.exception.type, capture.aborted) == ("CancelledError", False)


def limited(limit: str, status: int, sink: Sink) -> Capture:
    stack = [f"support.django_hosts.{limit}", OTAS_MIDDLEWARE, ROUTES]
    with override_settings(MIDDLEWARE=stack, OTAS=otas_settings(sink.settings)):
        handler = ASGIHandler()
    assert call_asgi(handler, Request(path="/slow", headers=(TOKEN,))).status_code == status
    return sink.take()


def test_a_time_limit_inside_of_a_stream_is_the_streams_failure(sink: Sink) -> None:
    capture = record("asgi", Request(path="/slow-stream"), sink)
    assert capture.exception is not None
    assert (capture.exception.type, capture.aborted) == ("TimeoutError", False)


def test_the_cancellation_of_another_task_is_no_departure_of_the_client(sink: Sink) -> None:
    handler = make_handler(ASGIHandler, sink.settings, [ROUTES])
    with pytest.raises(asyncio.CancelledError):
        call_asgi(handler, Request(path="/awaits-what-was-cancelled", headers=(TOKEN,)))
    capture = sink.take()
    assert capture.exception is not None
    assert (capture.exception.type, capture.aborted) == ("CancelledError", False)


# --- inside of another adapter


@both_handlers
@pytest.mark.parametrize(("path", "error"), [("/hello", None), ("/failing", "LookupError"), ("/nowhere", None)])
def test_inside_of_another_adapter_it_names_route_and_exception(
    kind: str, path: str, error: str | None, sink: Sink
) -> None:
    handler = make_handler(HANDLERS[kind], sink.settings, [ROUTES])
    outer: Any = asgi.OtasMiddleware if kind == "asgi" else wsgi.OtasMiddleware
    call(kind, outer(handler, settings=sink.settings), Request(path=path, headers=(TOKEN,)))
    capture = sink.take()
    assert capture.framework == "django"
    assert capture.route == (None if path == "/nowhere" else path[1:])
    assert (capture.exception.type if capture.exception else None) == error


def test_a_client_that_leaves_in_the_middle_of_its_upload_is_seen_by_the_adapter_around_django(sink: Sink) -> None:
    app = asgi.OtasMiddleware(make_handler(ASGIHandler, sink.settings, [ROUTES]), settings=sink.settings)
    incoming: Iterator[Message] = iter(
        [{"type": "http.request", "body": b"half", "more_body": True}, {"type": "http.disconnect"}]
    )

    async def receive() -> Message:
        return next(incoming)

    async def send(message: Message) -> None:
        raise AssertionError("nobody is there")

    asyncio.run(app(Request("POST", "/echo", headers=(TOKEN, JSON)).scope(), receive, send))
    capture = sink.take()
    assert (capture.request_body(), capture.disconnected, capture.aborted) == (b"half", True, True)
