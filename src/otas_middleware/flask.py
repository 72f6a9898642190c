"""Flask.

```python
from otas_middleware.flask import Otas

Otas(app)                               # or: otas = Otas(); otas.init_app(app)
```
"""

from __future__ import annotations

import logging
import sys
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, cast
from weakref import ref

from otas_middleware._errors import ConfigurationError, MissingExtraError

try:
    from flask import current_app, got_request_exception, has_request_context, request, request_started
    from werkzeug.exceptions import HTTPException, MethodNotAllowed
    from werkzeug.routing import RoutingException
    from werkzeug.wsgi import ClosingIterator
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "flask":
        raise
    raise MissingExtraError("otas_middleware.flask", "flask") from error

from otas_middleware._capture.context import capture_of, current, is_of
from otas_middleware._capture.session import TOKEN_ENVIRON_KEY
from otas_middleware._capture.wsgi_streams import tap_response
from otas_middleware._errors import report_internal_error
from otas_middleware._recorder import open_recorder
from otas_middleware._runtime import runtime
from otas_middleware.wsgi import Exchange, Wrapper, full_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Unpack
    from wsgiref.types import StartResponse, WSGIEnvironment

    from flask import Flask, Request, Response

    from otas_middleware._capture import Capture, Headers
    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._config.types import SettingOptions
    from otas_middleware._recorder import Recorder

__all__ = ["Otas"]

_DICTIONARY = (
    "otas_middleware: the dictionary OTAS in the configuration is read by nobody; that is how Django has it. Write "
    "app.config['OTAS_SDK_KEY'] and the like."
)

_GONE_AROUND = (
    "otas_middleware: an agent's request has reached the Flask application {!r} around Otas, and is not recorded: "
    "what serves it (Connexion, a bridge to ASGI, a dispatcher) took `wsgi_app` before Otas(app) replaced it. Call "
    "Otas(app) before that; where that cannot be, as with Connexion, wrap what the server is given in OtasMiddleware "
    "of otas_middleware.asgi or otas_middleware.wsgi instead."
)


class Otas:
    """Records the requests of AI agents to a Flask application, around all of its hooks.

    Settings come from keywords, from `OTAS_*` in the application's configuration, and from the environment.

    Args:
        app: The application; or call `init_app` later.
        settings: Complete settings; no other source is read then.
        **options: Settings by field name, such as `max_body_bytes=4096`.

    Raises:
        ConfigurationError: A setting is unknown or cannot be used.
    """

    def __init__(
        self, app: Flask | None = None, *, settings: OtasSettings | None = None, **options: Unpack[SettingOptions]
    ) -> None:
        self._settings = settings
        self._options = options
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Hook into an application; a second call for the same application does nothing.

        Args:
            app: The application, its configuration already loaded.

        Raises:
            ConfigurationError: A setting is unknown or cannot be used, or it is no Flask application.
        """
        app = getattr(app, "_get_current_object", lambda: app)()  # documented by Werkzeug, of `current_app`
        if not hasattr(app, "wsgi_app") or not hasattr(app, "extensions"):
            fix = "give it the application, or call init_app(app) in its factory."
            if iscoroutinefunction(type(app).__call__):  # Quart's and Connexion's, which look like Flask's
                fix = "it is an ASGI application: wrap it in OtasMiddleware of otas_middleware.asgi."
            raise ConfigurationError(
                f"otas_middleware: Otas was given {type(app).__qualname__}(…), which is no Flask application; {fix}"
            )
        if "otas" in app.extensions:
            return
        config = cast("Mapping[str, object]", app.config)
        values = {key[5:]: value for key, value in config.items() if key.startswith("OTAS_")}
        if isinstance(config.get("OTAS"), dict):
            runtime.log_once(logging.WARNING, _DICTIONARY)
        recorder = open_recorder(self._options, (values, "OTAS_{}"), self._settings)
        app.extensions["otas"] = self
        if recorder is not None:
            _mount(app, recorder)


def _mount(app: Flask, recorder: Recorder) -> None:
    """Stand around the application, and hear of route, response and exception by its hooks and Flask's signals.

    What its hooks miss because another one answers first is found out when the response starts. The signal of the
    request's start costs every request as much as two hooks, so that it is heard only where there may be none of ours.
    """
    hears_all = "wsgi_app" not in vars(app)  # else another application may be dispatched to inside of it
    try:
        app.before_request(_before)
        app.after_request(_after)
        app.teardown_request(_teardown)
    except AssertionError:
        hears_all = False  # Flask takes no hooks after its first request; signals tell what they tell, but for details
    if not hears_all:
        request_started.connect(_before, weak=False)
    got_request_exception.connect(_on_unhandled, weak=False)  # for any sender, as above
    _hear_handled_exceptions(app)
    wrapper = _FlaskWrapper(app.wsgi_app, recorder, "flask", _FlaskExchange)
    app.wsgi_app = wrapper  # type: ignore[method-assign]
    request_started.connect(wrapper.on_first_request, sender=app)


def _hear_handled_exceptions(app: Flask) -> None:
    """Learn of exceptions that an error handler turns into a response: Flask has no signal or hook for them."""
    name = "handle_user_exception"
    kind, alive = type(app), ref(app)  # weakly: the application holds this, and a cycle would keep it for the collector
    replaced: Any = vars(app).get(name)  # by another extension
    if replaced is None and not hasattr(kind, name):
        return

    def handle_user_exception(*args: Any, **named: Any) -> Any:
        # Asked of the class anew, because tracers replace it there, also later, by objects that are no functions.
        answer = replaced(*args, **named) if replaced else getattr(kind, name)(alive(), *args, **named)
        if _current() is not None:
            _note_error(sys.exception())
        return answer

    setattr(app, name, handle_user_exception)


class _FlaskWrapper(Wrapper):
    """As for any WSGI application; warns when requests go around it, since something took the one inside before."""

    def on_first_request(self, app: Flask, **_: object) -> None:
        """Hear of requests until it is known which way they come; each costs as much as two hooks."""
        try:
            if not self.reached:
                if TOKEN_ENVIRON_KEY not in request.environ or _current() is not None:
                    return
                runtime.log_once(logging.WARNING, _GONE_AROUND.format(app.name))
            request_started.disconnect(self.on_first_request, sender=app)
        except Exception:
            report_internal_error("flask.start")


class _FlaskExchange(Exchange):
    """As for any WSGI application, with what is Flask's own."""

    __slots__ = ("_called", "_left_open")

    def __init__(self, capture: Capture, environ: WSGIEnvironment, start_response: StartResponse) -> None:
        Exchange.__init__(self, capture, environ, start_response)
        self._called = environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", "")
        self._left_open = capture.ends_early  # the host closes nothing, whatever the response is

    def started(self, status_code: int, headers: Headers, reason: str) -> None:
        capture = self.capture
        if capture.route is None and has_request_context():
            _before()
        if status_code < 500:
            capture.exception = None  # handled, and answered as the client's error
        # Werkzeug writes its reasons in capitals; the standard's own are readable.
        capture.started(status_code, headers, None if reason.isupper() else reason)

    def tap(self, result: Iterable[bytes]) -> Iterable[bytes] | bytes | None:
        # What another middleware made of the response may have more to say when it is closed.
        capture = self.capture
        capture.ends_early = self._left_open or (capture.ends_early and isinstance(result, ClosingIterator))
        return tap_response(result, self.environ, capture, self.finish)

    def finish(self) -> None:
        try:
            new = self.environ.get("SCRIPT_NAME", ""), self.environ.get("PATH_INFO", "")
            if new != self._called and not self.capture.finished:
                self.capture.path = self._corrected(*new)
        except Exception:
            report_internal_error("flask.finish")
        Exchange.finish(self)  # by name, as `super()` makes an object each time

    def _corrected(self, new_script: str, new_info: str) -> str:
        """Return the path as the client called it: what stood before it has been changed since.

        `ProxyFix` and its like correct `SCRIPT_NAME` in place, and mounts move the path's beginning there. A middleware
        that serves one path for another rewrites `PATH_INFO`; that is not what the client called.
        """
        script, info = self._called
        if info.endswith(new_info) and new_script.endswith(info[: len(info) - len(new_info)]):
            return full_path(self.environ)
        if new_script != script and "werkzeug.proxy_fix.orig" in self.environ:
            return full_path({"SCRIPT_NAME": new_script, "PATH_INFO": info})
        return self.capture.path


# Ordinary requests pass the hooks as well: nothing is asked of Flask before it is known that this one is recorded.
_current = current.get


def _before(*_: object, **__: object) -> None:
    """Note the route of the request that Flask is handling, unless an application that a view calls handles it."""
    capture = _current()
    if capture is None or capture.route is not None:
        return
    try:
        # Once, since the proxy costs as much at each access.
        asked: Request = cast("Any", request)._get_current_object()  # noqa: SLF001  # documented by Werkzeug
        if not is_of(asked.environ, capture):
            return
        rule, values = asked.url_rule, asked.view_args
        if rule is None and isinstance(asked.routing_exception, MethodNotAllowed):
            rule, values = _route_of_other_methods(asked)
        if rule is not None:
            capture.route = rule.rule
            capture.path_params = values
    except Exception:
        report_internal_error("flask.route")


_FIRST_OF_PAGES = 300


def _route_of_other_methods(asked: Request) -> tuple[Any, Any]:
    """Return the route that matches a request for all but its method."""
    adapter = current_app.create_url_adapter(asked)
    methods = cast("MethodNotAllowed", asked.routing_exception).valid_methods
    try:
        return adapter.match(method=next(iter(methods or ())), return_rule=True) if adapter else (None, None)
    except (HTTPException, RoutingException, StopIteration):
        return None, None


def _after(response: Response) -> Response:
    capture = _current()
    if capture is not None:
        try:
            # A body that is there is over with its last chunk, and so is an error page (or a redirect), of which Flask
            # makes a response as it does of any WSGI application; test clients close both late, or never.
            page = response.status_code >= _FIRST_OF_PAGES and isinstance(response.response, ClosingIterator)
            capture.ends_early = response.is_sequence or page
            if capture.route is None:
                _before()
        except Exception:
            report_internal_error("flask.response")
    return response


def _teardown(error: BaseException | None = None) -> None:
    """Note an exception that no signal told of, unless it has been answered as the client's error."""
    capture = _current()
    if error is not None and capture is not None:
        _before()
        if capture.exception is None and not 0 < capture.status_code < 500:
            _note_error(error)


def _on_unhandled(_sender: Flask, exception: BaseException, **_: Any) -> None:
    _before()
    _note_error(exception)


def _note_error(error: BaseException | None) -> None:
    try:
        capture = capture_of(request.environ)
        if capture is not None and error is not None:
            capture.failed(error)
    except Exception:
        report_internal_error("flask.exception")
