"""The Flask adapter: applications that use Flask in full."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any
from wsgiref.util import FileWrapper

import flask
import pytest
from flask import Blueprint, Flask, Response, abort, request, request_started, send_file, session, stream_with_context
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from quart import Quart
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.dispatcher import DispatcherMiddleware

import otas_middleware as otas
from otas_middleware import ConfigurationError, OtasSettings, wsgi
from otas_middleware._runtime import runtime
from otas_middleware.flask import Otas
from support.request import Request
from support.wsgi_gateway import WsgiExchange, call_wsgi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from wsgiref.types import StartResponse, WSGIEnvironment

    from support.agent import Agent

    Install = Callable[[Flask], object]


def nothing(_: Flask) -> None:
    """Install nothing: the application stays bare."""


@pytest.fixture
def otas_app(settings: OtasSettings) -> Install:
    """Install the extension in an application."""
    return lambda app: Otas(app, settings=settings)


def compare(
    make: Callable[[Install], Any], install: Install, agent: Agent, path: str = "/", method: str = "GET", **environ: Any
) -> WsgiExchange:
    """Call an application bare and wrapped, check that both answer alike, and return the answer."""
    asked = Request(method, path, headers=(agent.header,))
    bare = call_wsgi(make(nothing), asked.environ(**environ))
    wrapped = call_wsgi(make(install), asked.environ(**environ))
    if wrapped != bare:
        bare = call_wsgi(make(nothing), asked.environ(**environ))  # a second had begun, and `Date` was another
    assert wrapped == bare
    return bare


def new_app(**config: Any) -> Flask:
    app = Flask("tea")
    app.secret_key = "only for tests"
    app.config.from_mapping(config)
    return app


def test_an_application_factory_installs_it_later(settings: OtasSettings, agent: Agent) -> None:
    extension = Otas(settings=settings)

    def create_app() -> Flask:
        app = new_app()
        app.get("/")(lambda: "hello")
        extension.init_app(app)
        return app

    for app in (create_app(), create_app()):
        assert call_wsgi(app, Request(headers=(agent.header,)).environ()).body == b"hello"
    assert len(agent.events()) == 2


@pytest.mark.parametrize("thing", [Blueprint("shop", __name__), nothing, "shop:app"])
def test_what_is_no_application_is_refused_with_what_to_give(thing: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=rf"given {type(thing).__qualname__}\(…\), which is no Flask application"
    ):
        Otas(thing)


def test_an_asgi_application_that_looks_like_one_is_told_which_adapter_it_needs() -> None:
    looking_alike: Any = Quart(__name__)
    with pytest.raises(ConfigurationError, match=r"given Quart\(…\).+in OtasMiddleware of otas_middleware\.asgi\."):
        Otas(looking_alike)


def test_requests_that_go_around_it_are_told_of_once(
    settings: OtasSettings, agent: Agent, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "logged", set[str]())
    app = new_app()
    app.get("/")(lambda: "hello")
    taken_before = app.wsgi_app  # as Connexion does, and who mounts an application in another
    Otas(app, settings=settings)
    ordinary, recorded = Request().environ(), Request(headers=(agent.header,))
    assert call_wsgi(taken_before, ordinary).body == b"hello"
    assert not caplog.messages
    for _ in range(2):
        assert call_wsgi(taken_before, recorded.environ()).body == b"hello"
    assert [("around Otas" in text, repr(app.name) in text) for text in caplog.messages] == [(True, True)]
    assert call_wsgi(app, recorded.environ()).body == b"hello"
    agent.event()


def test_nothing_listens_to_starting_requests_when_the_first_one_has_come_through_it(settings: OtasSettings) -> None:
    app = new_app()
    app.get("/")(lambda: "hello")
    before = list(request_started.receivers_for(app))
    Otas(app, settings=settings)
    assert len(list(request_started.receivers_for(app))) == len(before) + 1
    call_wsgi(app, Request().environ())
    assert list(request_started.receivers_for(app)) == before


def test_the_configuration_of_the_application_is_read(settings: OtasSettings, agent: Agent) -> None:
    assert settings.sdk_key is not None
    app = new_app(
        OTAS_SDK_KEY=settings.sdk_key.get_secret_value(), OTAS_BRAIN_URL=settings.brain_url, OTAS_MAX_BODY_BYTES=3
    )
    app.get("/")(lambda: "hello")
    Otas(app)
    call_wsgi(app, Request(headers=(agent.header,)).environ())
    event = agent.event()
    assert event["response_size_bytes"] == 5
    assert (event["response_body"] or "").startswith("hel")
    assert "hello" not in (event["response_body"] or "")


def test_a_dictionary_as_django_has_it_is_said_to_be_read_by_nobody(
    settings: OtasSettings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "logged", set[str]())
    for own in ({"SDK_KEY": "otas_a_b"}, "a name of the application's own"):
        app = Flask(__name__)
        app.config["OTAS"] = own
        Otas(app, settings=settings)
    assert ["app.config['OTAS_SDK_KEY']" in record.message for record in caplog.records] == [True]


def test_installed_twice_it_records_once(otas_app: Install, settings: OtasSettings, agent: Agent) -> None:
    app: Any = new_app()
    app.get("/")(lambda: "hello")
    otas_app(app)
    otas_app(app)
    app.wsgi_app = wsgi.OtasMiddleware(app.wsgi_app, settings=settings)
    assert call_wsgi(app, Request(headers=(agent.header,)).environ()).body == b"hello"
    agent.event()


def test_two_applications_of_one_process_are_recorded_each_for_itself(otas_app: Install, agent: Agent) -> None:
    def make(install: Install) -> Any:
        shop, admin = Flask("shop"), Flask("admin")

        @shop.get("/items/<int:item_id>")
        def item(item_id: int) -> str:
            return f"item {item_id}"

        @admin.get("/users/<name>")
        def user(name: str) -> str:
            return f"user {name} of {request.script_root}"

        install(shop)
        install(admin)
        return DispatcherMiddleware(shop, {"/admin": admin})

    assert compare(make, otas_app, agent, "/items/5").body == b"item 5"
    assert compare(make, otas_app, agent, "/admin/users/ada").body == b"user ada of /admin"
    seen = sorted((event["path"], event["metadata"]["route"]) for event in agent.events())
    assert seen == [("/admin/users/ada", "/admin/users/{name}"), ("/items/5", "/items/{item_id}")]


def test_an_application_that_answers_out_of_another_one_is_one_event(otas_app: Install, agent: Agent) -> None:
    def make(install: Install) -> Flask:
        outer, inner = Flask("outer"), Flask("inner")
        inner.get("/")(lambda: ("from the inner one", 202))
        outer.get("/")(lambda: Response.from_app(inner.wsgi_app, request.environ))
        install(inner)
        install(outer)
        return outer

    answer = compare(make, otas_app, agent)
    assert (answer.status_code, answer.body) == (202, b"from the inner one")
    event = agent.event()
    assert (event["status_code"], event["response_body"]) == (202, "from the inner one")


def test_a_stream_with_the_requests_context_keeps_it(otas_app: Install, agent: Agent) -> None:
    def make(install: Install) -> Flask:
        app = new_app()

        @app.get("/")
        def stream() -> Response:
            def chunks() -> Iterator[str]:
                for step in range(3):
                    current = otas.current_session()
                    assert current is None or current.session_id == agent.session_id
                    yield f"{step} of {request.path}\n"

            return Response(stream_with_context(chunks()))

        install(app)
        return app

    assert compare(make, otas_app, agent).chunks == [b"0 of /\n", b"1 of /\n", b"2 of /\n"]
    assert agent.event()["response_body"] == "0 of /\n1 of /\n2 of /\n"


@pytest.mark.parametrize("file_wrapper", [False, True])
def test_a_file_is_sent_as_without_us(*, file_wrapper: bool, tmp_path: Path, otas_app: Install, agent: Agent) -> None:
    file = tmp_path / "tea.txt"
    file.write_bytes(b"leaves\n" * 1000)

    def make(install: Install) -> Flask:
        app = new_app()
        app.get("/")(lambda: send_file(file))
        install(app)
        return app

    extra: dict[str, Any] = {"wsgi.file_wrapper": FileWrapper} if file_wrapper else {}
    headers: list[list[tuple[str, str]]] = []

    def start_response(status: str, got: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        headers.append([(name, value) for name, value in got if name != "Date"])
        return print

    answers: list[Any] = []
    for install in (nothing, otas_app):
        result: Any = make(install).wsgi_app(Request(headers=(agent.header,)).environ(**extra), start_response)
        answers.append((type(result) is FileWrapper, b"".join(result), headers[-1]))
        result.close()
    assert answers[0] == answers[1]
    assert answers[0][0] is file_wrapper
    event = agent.event()
    assert event["response_size_bytes"] == 7000
    assert "aborted" not in event["metadata"]


def test_a_range_of_a_file_is_sent_as_without_us(tmp_path: Path, otas_app: Install, agent: Agent) -> None:
    file = tmp_path / "tea.txt"
    file.write_bytes(b"0123456789")

    def make(install: Install) -> Flask:
        app = new_app()

        @app.get("/")
        def part() -> Response:
            response = send_file(io.BytesIO(file.read_bytes()), mimetype="text/plain", conditional=True)
            response.date = None
            return response

        install(app)
        return app

    answer = compare(make, otas_app, agent, HTTP_RANGE="bytes=2-5")
    assert (answer.status_code, answer.body) == (206, b"2345")
    event = agent.event()
    assert (event["status_code"], event["response_size_bytes"]) == (206, 4)


@pytest.mark.parametrize("config", [{}, {"PROPAGATE_EXCEPTIONS": True}, {"TESTING": True}, {"DEBUG": True}])
def test_an_unhandled_exception_goes_where_it_goes_without_us(
    config: dict[str, Any], otas_app: Install, agent: Agent
) -> None:
    def make(install: Install) -> Flask:
        app = new_app(**config)

        @app.get("/<int:number>")
        def fail(number: int) -> str:
            raise LookupError(f"no {number}")

        install(app)
        return app

    answer = compare(make, otas_app, agent, "/7")
    assert (answer.raised is None) is (not config)
    event = agent.event()
    assert (event["status_code"], event["error"]) == (500, "LookupError: no 7")
    assert event["metadata"]["route"] == "/{number}"
    assert event["response_size_bytes"] == len(answer.body)


def test_a_request_that_is_cut_off_keeps_its_route(otas_app: Install, agent: Agent) -> None:
    app = new_app()

    @app.get("/<int:number>")
    def time_out(number: int) -> str:
        raise SystemExit(number)  # as gunicorn's worker does

    otas_app(app)
    answer = call_wsgi(app, Request("GET", "/7", headers=(agent.header,)).environ())
    assert answer.raised == (SystemExit, "7")
    event = agent.event()
    assert (event["metadata"]["route"], event["status_code"], event["error"]) == ("/{number}", 500, "SystemExit: 7")


@pytest.mark.parametrize(("path", "route"), [("/7", "/{number}"), ("/tea", None), ("/other/7", None)])
def test_the_route_is_known_also_when_a_middleware_holds_the_response_back(
    path: str, route: str | None, otas_app: Install, agent: Agent
) -> None:
    app = new_app()
    app.get("/<int:number>")(str)
    inner = DispatcherMiddleware(app.wsgi_app, {"/other": no_flask})

    def holding_back(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        started: list[Any] = []

        def hold(*args: Any) -> Callable[[bytes], object]:
            started.append(args)
            return bytearray().extend

        body = b"".join(inner(environ, hold))
        start_response(*started[-1])
        return [body]

    app.wsgi_app = holding_back  # type: ignore[method-assign]
    otas_app(app)
    call_wsgi(app, Request("GET", path, headers=(agent.header,)).environ())
    assert agent.event()["metadata"]["route"] == route


def no_flask(_: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [])
    return [b"no tea"]


def test_hooks_run_in_the_order_in_which_they_run_without_us(otas_app: Install, agent: Agent) -> None:
    steps: list[str] = []

    def step(name: str) -> Callable[..., Any]:
        def hook(*args: Any) -> Any:
            steps.append(name)
            return args[0] if args and name.startswith("after") else None

        return hook

    def make(install: Install) -> Flask:
        app = new_app()
        blueprint = Blueprint("tea", __name__)
        blueprint.before_request(step("before, blueprint"))
        blueprint.after_request(step("after, blueprint"))
        blueprint.teardown_request(step("teardown, blueprint"))
        blueprint.get("/")(lambda: "hello")
        app.register_blueprint(blueprint)
        app.before_request(step("before, one"))
        app.before_request(step("before, two"))
        install(app)
        app.after_request(step("after, one"))
        app.after_request(step("after, two"))
        app.teardown_request(step("teardown, one"))
        app.teardown_appcontext(step("teardown of the application's context"))
        return app

    compare(make, otas_app, agent)
    half = len(steps) // 2
    assert half == 9
    assert steps[:half] == steps[half:]
    agent.event()


def test_what_other_hooks_add_to_the_response_is_recorded(otas_app: Install, agent: Agent) -> None:
    def make(install: Install) -> Flask:
        app = new_app()
        install(app)

        @app.get("/")
        def count() -> str:
            session["count"] = session.get("count", 0) + 1
            return "hello"

        @app.after_request
        def add(response: Response) -> Response:
            response.headers["X-Added"] = "yes"
            response.set_data("changed by a hook")
            return response

        return app

    asked = Request(headers=(agent.header,))
    bare, wrapped = (call_wsgi(make(install), asked.environ()) for install in (nothing, otas_app))
    assert [name for name, _ in wrapped.headers] == [name for name, _ in bare.headers]
    assert wrapped.body == bare.body == b"changed by a hook"
    event = agent.event()
    assert event["response_body"] == "changed by a hook"
    recorded = (event["response_headers"] or "").lower()
    assert "x-added" in recorded
    assert "set-cookie" in recorded  # the session's, which Flask adds last of all


def failing_before(app: Flask) -> None:
    app.before_request(_raise)


def failing_preprocessor(app: Flask) -> None:
    app.url_value_preprocessor(_raise)


def failing_after(app: Flask) -> None:
    app.after_request(_raise)


class FailingSessions(SecureCookieSessionInterface):
    def open_session(self, app: Flask, request: flask.Request) -> SecureCookieSession | None:
        raise LookupError("lost")


def failing_session(app: Flask) -> None:
    app.session_interface = FailingSessions()


def _raise(*_: Any) -> Any:
    raise LookupError("lost")


@pytest.mark.parametrize("break_it", [failing_before, failing_preprocessor, failing_after, failing_session])
def test_a_request_that_fails_before_or_after_its_view_is_an_event_all_the_same(
    break_it: Callable[[Flask], None], otas_app: Install, agent: Agent
) -> None:
    def make(install: Install) -> Flask:
        app = new_app()
        app.get("/")(lambda: "hello")
        install(app)
        break_it(app)
        return app

    answer = compare(make, otas_app, agent)
    assert answer.status_code == 500
    event = agent.event()
    assert (event["status_code"], event["error"]) == (500, "LookupError: lost")


def test_a_failing_teardown_fails_as_without_us(otas_app: Install, agent: Agent) -> None:
    def make(install: Install) -> Flask:
        app = new_app()
        app.get("/")(lambda: "hello")
        install(app)
        app.teardown_request(_raise)
        return app

    assert compare(make, otas_app, agent).raised == (LookupError, "lost")
    agent.events()


def test_an_exception_in_a_callback_of_the_responses_end_is_recorded(otas_app: Install, agent: Agent) -> None:
    def make(install: Install) -> Flask:
        app = new_app()

        @app.get("/")
        def view() -> Response:
            response = Response("hello")
            response.call_on_close(_raise)
            return response

        install(app)
        return app

    assert compare(make, otas_app, agent).raised_at == "close"
    event = agent.event()
    assert (event["status_code"], event["error"]) == (200, "LookupError: lost")


@pytest.mark.parametrize(
    ("code", "error"), [(400, "400 Bad Request"), (418, "418 I'm a Teapot"), (503, "ServiceUnavailable: 503 Service")]
)
def test_what_is_aborted_is_named_by_its_status(code: int, error: str, otas_app: Install, agent: Agent) -> None:
    def make(install: Install) -> Flask:
        app = new_app()
        app.get("/")(lambda: abort(code))

        @app.errorhandler(HTTPException)
        def page(problem: HTTPException) -> tuple[str, int]:
            return f"problem {problem.code}", problem.code or 500

        install(app)
        return app

    assert compare(make, otas_app, agent).body == f"problem {code}".encode()
    assert (agent.event()["error"] or "").startswith(error)


def test_one_response_object_may_answer_many_requests(otas_app: Install, agent: Agent) -> None:
    shared = Response("the same for all")
    app = new_app()

    @app.get("/<int:number>")
    def same(number: int) -> Response:
        return shared

    otas_app(app)
    for number in range(3):
        asked = Request(path=f"/{number}", headers=(agent.header,))
        assert call_wsgi(app, asked.environ()).body == b"the same for all"
    assert call_wsgi(app, Request(path="/9").environ()).body == b"the same for all"
    seen = sorted((event["path"], event["response_body"]) for event in agent.events())
    assert seen == [(f"/{number}", "the same for all") for number in range(3)]


def test_the_test_client_gets_what_it_gets_without_us(otas_app: Install, agent: Agent) -> None:
    def make(install: Install) -> Flask:
        app = new_app()
        app.post("/form", endpoint="form")(lambda: dict(request.form))
        app.get("/stream", endpoint="stream")(lambda: Response(iter(["a", "b"])))
        install(app)
        return app

    answers: list[Any] = []
    for install in (nothing, otas_app):
        client = make(install).test_client()
        headers = dict([agent.header])
        with client:
            posted = client.post("/form", data={"name": "Ada"}, headers=headers)
            context = request.path
        with client.get("/stream", headers=headers) as streamed:
            text = streamed.data
        with client.get("/missing", headers=headers) as missing:
            page = missing.data
        answers.append([posted.json, posted.status, context, text, missing.status_code, page])
    assert answers[0] == answers[1]
    assert sorted(event["path"] for event in agent.events()) == ["/form", "/missing", "/stream"]


def test_the_test_client_raises_the_views_exception_when_testing(otas_app: Install, agent: Agent) -> None:
    app = new_app(TESTING=True)
    app.get("/")(_raise)
    otas_app(app)
    with pytest.raises(LookupError, match="lost"):
        app.test_client().get("/", headers=dict([agent.header]))
    assert agent.event()["error"] == "LookupError: lost"


def test_a_request_context_without_a_server_leaves_nothing(otas_app: Install, agent: Agent) -> None:
    app = new_app()
    otas_app(app)
    with app.test_request_context("/", headers=dict([agent.header])):
        assert otas.current_session() is None
        assert request.path == "/"
    assert agent.events() == []


def test_applications_that_are_gone_leave_nothing_behind(otas_app: Install) -> None:
    import gc
    import weakref

    app = new_app()
    otas_app(app)
    gone = weakref.ref(app)
    del app
    gc.collect()
    assert gone() is None
