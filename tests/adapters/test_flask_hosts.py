"""The Flask adapter among other hooks, extensions, middlewares and applications."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING, Any, cast

import flask
import pytest
from flask import Blueprint, Flask, Response, abort, current_app, request
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import run_wsgi_app
from werkzeug.wsgi import ClosingIterator

from otas_middleware.flask import Otas
from support.request import Request
from support.sink import TOKEN, Sink
from support.wsgi_gateway import call_wsgi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from otas_middleware._capture import Capture

    Make = Callable[[], Any]


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as sink:
        yield sink


def record(make: Make, sink: Sink, path: str = "/", method: str = "GET", **environ: Any) -> Capture:
    """Call an application bare and wrapped, check that both answer alike, and return what was captured."""
    asked = Request(method, path, headers=(TOKEN,))
    bare = call_wsgi(make(), asked.environ(**environ))
    app = make()
    Otas(app, settings=sink.settings)
    assert call_wsgi(app, asked.environ(**environ)) == bare
    return sink.take()


def fail(*_: Any, **__: Any) -> Any:
    raise LookupError("lost")


def time_out(*_: Any, **__: Any) -> Any:
    raise SystemExit(1)  # as gunicorn's worker does


def text(number: object, **_: object) -> str:
    return str(number)


def routed() -> Flask:
    app = Flask("shop")
    app.get("/<int:number>")(text)
    return app


def test_its_hooks_are_where_users_read_them(sink: Sink) -> None:
    app = routed()
    Otas(app, settings=sink.settings)
    for hooks in (app.before_request_funcs, app.after_request_funcs, app.teardown_request_funcs):
        assert [hook.__module__ for hook in hooks[None]] == ["otas_middleware.flask"]


def test_a_signal_for_every_request_is_heard_only_where_hooks_may_miss_one(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[object] = []

    def connect(receiver: object, sender: object = None, **_: object) -> None:
        if sender is None:  # what one application hears is heard up to its first request only
            heard.append(receiver)

    monkeypatch.setattr(flask.request_started, "connect", connect)
    Otas(routed(), settings=sink.settings)
    assert heard == []
    behind = routed()
    behind.wsgi_app = ProxyFix(behind.wsgi_app)  # type: ignore[method-assign]
    Otas(behind, settings=sink.settings)
    assert len(heard) == 1


@pytest.mark.parametrize("hook", [lambda: "first", lambda: ("first", 503), fail, time_out])
def test_a_hook_that_answers_or_fails_first_leaves_the_route_known(hook: Callable[..., Any], sink: Sink) -> None:
    def make() -> Flask:
        app = routed()
        app.before_request(hook)
        return app

    capture = record(make, sink, "/7")
    assert (capture.route, dict(capture.path_params or {})) == ("/<int:number>", {"number": 7})


@pytest.mark.parametrize("view", [text, fail, time_out])
def test_an_application_that_is_mounted_inside_names_its_routes(view: Callable[..., Any], sink: Sink) -> None:
    def make() -> Any:
        app: Any = routed()
        inner = Flask("inner")
        inner.get("/things/<int:number>")(view)
        app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/inner": inner})
        return app

    capture = record(make, sink, "/inner/things/7")
    assert (capture.path, capture.route) == ("/inner/things/7", "/things/<int:number>")
    assert view is time_out or (capture.exception is None) is (view is text)


@pytest.mark.parametrize("path", ["/missing", "/fails", "/aborts", "/7"])
def test_a_page_is_an_event_with_its_last_chunk_where_nobody_closes_it(path: str, sink: Sink) -> None:
    """As test clients and serverless-wsgi do not; after an exception, reference counts do not tell either."""
    app = routed()
    app.get("/fails")(fail)
    app.get("/aborts")(lambda: abort(409))
    Otas(app, settings=sink.settings)
    body, status, _ = run_wsgi_app(app, Request(path=path, headers=(TOKEN,)).environ())
    size = len(b"".join(body))
    capture = sink.take()
    assert (f"{capture.status_code}", capture.response.size) == (status[:3], size)


@pytest.mark.parametrize("calls", [None, "/7", "/missing"])
def test_a_stream_is_no_event_before_it_is_closed_whatever_its_view_called(calls: str | None, sink: Sink) -> None:
    app = routed()

    @app.get("/stream")
    def stream() -> Response:
        if calls is None:
            return Response(ClosingIterator([b"a", b"b"], fail))
        app.test_client().get(calls)
        response = Response(iter("ab"))
        response.call_on_close(fail)
        return response

    Otas(app, settings=sink.settings)
    body = app(Request(path="/stream", headers=(TOKEN,)).environ(), lambda *_: None)  # type: ignore[arg-type]
    assert list(body) == [b"a", b"b"]
    assert not sink.captures
    with pytest.raises(LookupError):
        body.close()  # type: ignore[attr-defined]
    assert sink.take().exception is not None


def test_the_application_may_be_given_as_the_current_one(sink: Sink) -> None:
    """As where the host makes it, such as functions-framework."""
    app = routed()
    with app.app_context():
        Otas(current_app, settings=sink.settings)
    call_wsgi(app, Request(path="/7", headers=(TOKEN,)).environ())
    assert sink.take().route == "/<int:number>"


def test_an_application_that_a_view_calls_names_nothing(sink: Sink) -> None:
    def make() -> Flask:
        app, other = Flask("shop"), Flask("other")
        other.get("/boom")(fail)
        other.get("/list")(lambda: ["a"])

        @app.get("/<int:number>")
        def view(number: int) -> str:
            client = other.test_client()
            return f"{client.get('/boom').status_code} {client.get('/list').status_code}"

        return app

    capture = record(make, sink, "/7")
    assert (capture.status_code, capture.route, capture.exception) == (200, "/<int:number>", None)


@pytest.mark.parametrize("propagate", [True, False])
@pytest.mark.parametrize("view", [text, fail])
def test_routes_of_subdomains_are_known_behind_a_middleware_that_buffers(
    view: Callable[..., Any], *, propagate: bool, sink: Sink
) -> None:
    def make() -> Any:
        app: Any = Flask("shop", subdomain_matching=True)
        app.config.update(SERVER_NAME="example.com", PROPAGATE_EXCEPTIONS=propagate)
        app.get("/users/<int:number>", subdomain="<tenant>")(view)
        app.wsgi_app = buffering(app.wsgi_app)
        return app

    capture = record(make, sink, "/users/3", HTTP_HOST="acme.example.com", SERVER_NAME="acme.example.com")
    assert (capture.route, capture.status_code or 500) == ("/users/<int:number>", 200 if view is text else 500)


def buffering(app: WSGIApplication) -> WSGIApplication:
    """Read the whole response before it starts one, as compressing middlewares do."""

    def outer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        started: list[Any] = []

        def start(*args: Any) -> Callable[[bytes], object]:
            started[:] = args
            return bytearray().extend

        inner: Any = app(environ, start)
        try:
            body = b"".join(inner)
        finally:
            inner.close()
        start_response(*started)
        return [body]

    return outer


def rewriting(app: WSGIApplication) -> WSGIApplication:
    def outer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["PATH_INFO"] = "/v2" + environ["PATH_INFO"]
        return app(environ, start_response)

    return outer


def stripping(app: WSGIApplication) -> WSGIApplication:
    """Take the prefix from the path, as many a snippet for proxies does."""

    def outer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["SCRIPT_NAME"] = "/pre"
        environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix("/pre")
        return app(environ, start_response)

    return outer


def fixing(app: WSGIApplication) -> WSGIApplication:
    return ProxyFix(app, x_prefix=1)


@pytest.mark.parametrize(
    ("middlewares", "path", "recorded"),
    [
        ([rewriting], "/leaf/a", "/leaf/a"),
        ([fixing], "/v2/leaf/a", "/pre/v2/leaf/a"),
        ([rewriting, fixing], "/leaf/a", "/pre/leaf/a"),
        ([stripping], "/pre/v2/leaf/a", "/pre/v2/leaf/a"),
        ([], "/v2/leaf/grün", "/v2/leaf/grün"),
        ([fixing], "/v2/leaf/grün", "/pre/v2/leaf/grün"),
    ],
)
def test_the_path_is_what_the_client_called_whatever_middlewares_make_of_it(
    middlewares: list[Callable[[WSGIApplication], WSGIApplication]], path: str, recorded: str, sink: Sink
) -> None:
    def make() -> Any:
        app: Any = Flask("shop")
        app.get("/v2/leaf/<number>")(text)
        for middleware in middlewares:
            app.wsgi_app = middleware(app.wsgi_app)
        return app

    capture = record(make, sink, path, HTTP_X_FORWARDED_PREFIX="/pre")
    assert (capture.status_code, capture.path, capture.route) == (200, recorded, "/v2/leaf/<number>")


def test_mounts_behind_a_proxy_are_part_of_the_path(sink: Sink) -> None:
    def make() -> Any:
        app: Any = routed()
        app.wsgi_app = fixing(DispatcherMiddleware(app.wsgi_app, {"/api": routed()}))
        return app

    assert record(make, sink, "/api/7", HTTP_X_FORWARDED_PREFIX="/pre").path == "/pre/api/7"


def test_a_method_that_is_not_allowed_has_the_route_of_the_others(sink: Sink) -> None:
    capture = record(routed, sink, "/7", "DELETE")
    assert (capture.status_code, capture.route) == (405, "/<int:number>")


@pytest.mark.parametrize(("status", "named"), [(500, True), (503, True), (409, False), (200, False)])
@pytest.mark.parametrize("where", [Flask, Blueprint])
@pytest.mark.parametrize("kind", [LookupError, Exception, HTTPException])
def test_an_exception_that_a_handler_answers_is_named_when_the_answer_is_a_servers_error(
    kind: type[Exception], where: type[Any], status: int, *, named: bool, sink: Sink
) -> None:
    def make() -> Flask:
        app = Flask("shop")
        place = app if where is Flask else Blueprint("tea", __name__)
        place.get("/")((lambda: abort(503)) if kind is HTTPException else fail)

        def answer(error: Exception) -> tuple[dict[str, str], int]:
            return {"error": type(error).__name__}, status

        place.errorhandler(kind)(answer)
        if isinstance(place, Blueprint):
            app.register_blueprint(place)
        return app

    capture = record(make, sink)
    assert capture.status_code == status
    assert (capture.exception is not None) is named
    if capture.exception is not None:
        assert capture.exception.type == ("ServiceUnavailable" if kind is HTTPException else "LookupError")


@pytest.mark.parametrize("status", [200, 503])
def test_the_page_of_a_500_may_have_another_status(status: int, sink: Sink) -> None:
    def make() -> Flask:
        app = Flask("shop")
        app.get("/")(fail)

        def page(_: Exception) -> tuple[str, int]:
            return "sorry", status

        app.errorhandler(500)(page)
        return app

    capture = record(make, sink)
    assert (capture.status_code, capture.exception is None) == (status, status == 200)


def test_another_extension_may_have_replaced_the_handling_of_exceptions(sink: Sink) -> None:
    def make() -> Flask:
        app = Flask("shop")
        app.get("/")(fail)
        app.handle_user_exception = lambda e: app.make_response((str(e), 500))  # type: ignore[method-assign]
        return app

    capture = record(make, sink)
    assert capture.exception is not None
    assert capture.exception.type == "LookupError"


def sorry(_: Exception) -> tuple[str, int]:
    return "sorry", 503


class Proxy:
    """Takes a function's place on a class, and its class's name, as the proxies do that tracers put there."""

    def __init__(self, function: Any, instance: object = None) -> None:
        self._function = function
        self._instance = instance

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]  # to be told, not set
        return cast("Any", type(self._function))

    def __get__(self, instance: object, owner: type) -> Proxy:
        return Proxy(self._function.__get__(instance, owner), instance)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self._function(*args, **named)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_tracer_may_have_replaced_the_handling_of_exceptions_for_all(
    when: str, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Flask("shop")
    app.get("/")(fail)
    app.errorhandler(LookupError)(sorry)
    if when == "after":
        Otas(app, settings=sink.settings)
    monkeypatch.setattr(Flask, "handle_user_exception", Proxy(Flask.handle_user_exception))
    Otas(app, settings=sink.settings)
    for path, status, named in (("/", 503, "LookupError"), ("/missing", 404, None)):
        assert call_wsgi(app, Request(path=path, headers=(TOKEN,)).environ()).status_code == status
        capture = sink.take()
        assert (capture.exception.type if capture.exception else None) == named


def test_an_application_that_has_served_already_is_recorded_from_then_on(sink: Sink) -> None:
    app = routed()
    app.get("/boom")(fail)
    assert call_wsgi(app, Request(path="/7").environ()).body == b"7"
    Otas(app, settings=sink.settings)
    assert call_wsgi(app, Request(path="/8", headers=(TOKEN,)).environ()).body == b"8"
    assert sink.take().route == "/<int:number>"
    call_wsgi(app, Request(path="/boom", headers=(TOKEN,)).environ())
    assert sink.take().exception is not None


def test_an_asynchronous_stack_of_hooks_is_recorded(sink: Sink) -> None:
    def make() -> Flask:
        app = Flask("shop")

        async def before() -> None:
            request.environ["before"] = True

        async def after(response: Response) -> Response:
            response.headers["X-After"] = "yes"
            return response

        async def view(number: int) -> str:
            return str(number)

        app.before_request(before)
        app.after_request(after)
        app.get("/<int:number>")(view)
        return app

    capture = record(make, sink, "/7")
    assert (capture.route, dict(capture.response_headers)["X-After"]) == ("/<int:number>", "yes")


def test_no_cycle_holds_an_application_but_the_one_of_its_replaced_wsgi_app(sink: Sink) -> None:
    app = routed()
    app.config["TESTING"] = False
    Otas(app, settings=sink.settings)
    call_wsgi(app, Request(path="/7", headers=(TOKEN,)).environ())
    sink.take()
    del app.wsgi_app  # the documented way makes a cycle by itself
    gc.collect()
    gc.disable()
    try:
        gone = weakref.ref(app)
        del app
        assert gone() is None
    finally:
        gc.enable()


def test_other_applications_of_the_process_are_left_alone(sink: Sink) -> None:
    Otas(routed(), settings=sink.settings)
    other = routed()
    assert call_wsgi(other, Request(path="/7", headers=(TOKEN,)).environ()).body == b"7"
    assert flask.got_request_exception.receivers
    assert not sink.captures
