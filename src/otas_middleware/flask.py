"""Flask.

```python
from otas_middleware.flask import Otas

Otas(app)                               # or: otas = Otas(); otas.init_app(app)
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from otas_middleware._errors import MissingExtraError

try:
    from flask import got_request_exception, request
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "flask":
        raise
    raise MissingExtraError("otas_middleware.flask", "flask") from error

from otas_middleware._configure import FrameworkSettings
from otas_middleware._context import current
from otas_middleware._guard import swallow
from otas_middleware._recorder import MARKER, open_recorder
from otas_middleware._session import TOKEN_ENVIRON_KEY
from otas_middleware._streams import tap_environ, tap_response
from otas_middleware.wsgi import begin

if TYPE_CHECKING:
    from collections.abc import Mapping
    from wsgiref.types import WSGIEnvironment

    from flask import Flask, Response

    from otas_middleware._capture import Capture
    from otas_middleware._recorder import Recorder
    from otas_middleware._settings import OtasSettings

__all__ = ["Otas"]

_STATE = "otas_middleware.flask"
"""Key in `environ` of this adapter's `_State`."""


class Otas:
    """Records the requests of AI agents to a Flask application, through its before, after and teardown hooks.

    Settings come from keywords, from `OTAS_*` in the application's configuration, and from the environment.

    Args:
        app: The application; or call `init_app` later.
        settings: Complete settings; no other source is read then.
        **options: Settings by field name, such as `max_body_bytes=4096`.

    Raises:
        ConfigurationError: A setting is unknown or cannot be used.
    """

    def __init__(self, app: Flask | None = None, *, settings: OtasSettings | None = None, **options: Any) -> None:
        self._settings = settings
        self._options = options
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Hook into an application; a second call for the same application does nothing.

        Args:
            app: The application, its configuration already loaded.

        Raises:
            ConfigurationError: A setting is unknown or cannot be used.
        """
        if "otas" in app.extensions:
            return
        config = cast("Mapping[str, object]", app.config)
        values = {key[5:]: value for key, value in config.items() if key.startswith("OTAS_")}
        recorder = open_recorder(self._options, FrameworkSettings(values, "OTAS_{}"), self._settings)
        app.extensions["otas"] = self
        if recorder is not None:
            _Hooks(recorder).mount(app)


class _State(NamedTuple):
    """What the hooks of one application keep of one request."""

    hooks: _Hooks
    capture: Capture | None
    previous: Capture | None
    """What was current before, to be so again afterwards."""


class _Hooks:
    """The hooks of one application. Per-request state is in `environ`, never here."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def mount(self, app: Flask) -> None:
        # Before hooks run in the order of their lists, after and teardown hooks in reverse: ours are the outermost.
        app.before_request_funcs.setdefault(None, []).insert(0, self.before)
        app.after_request_funcs.setdefault(None, []).insert(0, self.after)
        app.teardown_request_funcs.setdefault(None, []).insert(0, self.teardown)
        got_request_exception.connect(self.unhandled, app)  # lives as long as the lists above
        self._hear_handled_exceptions(app)

    def before(self) -> None:
        environ = request.environ
        if TOKEN_ENVIRON_KEY in environ:
            self._begin(environ)
        elif (other := current.get()) is not None:  # its response is still being read in this thread
            environ[_STATE] = _State(self, None, other)
            current.set(None)

    def _begin(self, environ: WSGIEnvironment) -> None:
        previous = current.get()
        capture = begin(self._recorder, environ, "flask")
        if MARKER in environ and capture is None:
            return  # recorded by another adapter
        environ[_STATE] = _State(self, capture, previous)
        if capture is None:
            return
        rule = request.url_rule
        if rule is not None:
            capture.route = rule.rule
            capture.path_params = request.view_args
        tap_environ(environ, capture)
        current.set(capture)

    def _catch_up(self, environ: WSGIEnvironment) -> None:
        """Begin where something failed even before the first hook."""
        if _STATE not in environ and MARKER not in environ and TOKEN_ENVIRON_KEY in environ:
            self._begin(environ)

    def after(self, response: Response) -> Response:
        environ = request.environ
        if TOKEN_ENVIRON_KEY in environ:
            try:
                self._catch_up(environ)
                state: _State | None = environ.get(_STATE)
                if state is not None and state.hooks is self and state.capture is not None:
                    _watch(response, state.capture)
            except Exception:
                swallow("flask.after")
        return response

    def teardown(self, error: BaseException | None) -> None:
        state: _State | None = request.environ.get(_STATE)
        if state is None or state.hooks is not self:
            return
        capture = state.capture
        if capture is not None and not capture.status_code:
            # No response passed the after hook: the exception goes on to the server.
            if error is not None:
                capture.failed(error)
            _finish(state)
        elif current.get() is capture:
            current.set(state.previous)

    def unhandled(self, _sender: Flask, exception: BaseException, **_: Any) -> None:
        self._note(exception)

    def _hear_handled_exceptions(self, app: Flask) -> None:
        """Learn of exceptions that an error handler turns into a response; Flask sends no signal for them."""
        handle = app.handle_user_exception

        def handle_user_exception(error: Exception) -> Any:
            response = handle(error)
            self._note(error)
            return response

        app.handle_user_exception = handle_user_exception  # type: ignore[method-assign,assignment]

    def _note(self, error: BaseException) -> None:
        try:
            environ = request.environ
            self._catch_up(environ)
            state: _State | None = environ.get(_STATE)
            if state is not None and state.capture is not None:
                state.capture.failed(error)
        except Exception:
            swallow("flask.exception")


def _watch(response: Response, capture: Capture) -> None:
    """See the response as the server gets it: the status, headers and iterable that werkzeug finally makes of it."""
    capture.status_code = response.status_code
    if response.status_code < 500:
        capture.exception = None  # handled, and answered as the client's error
    if not isinstance(response.get_wsgi_response, _Watched):
        response.get_wsgi_response = _Watched(response)  # type: ignore[method-assign]


class _Watched:
    """A response's `get_wsgi_response`. It holds no request, because views may return one response many times."""

    __slots__ = ("_response",)

    def __init__(self, response: Response) -> None:
        self._response = response

    def __call__(self, environ: WSGIEnvironment) -> tuple[Any, str, list[tuple[str, str]]]:
        response = self._response
        result: Any
        result, status, headers = type(response).get_wsgi_response(response, environ)
        state: _State | None = environ.get(_STATE)
        capture = None if state is None else state.capture
        if state is not None and capture is not None and not capture.finished:
            try:
                code, _, reason = status.partition(" ")
                # Werkzeug writes its reasons in capitals; the standard's own are readable.
                capture.started(int(code), list(headers), None if reason.isupper() else reason)
                # Closing this can bring nothing new, and test clients close late or never.
                early = response.is_sequence and not vars(response).get("_on_close")
                result = tap_response(result, environ, capture, lambda: _finish(state), done_at_end=early)
            except Exception:
                swallow("flask.response")
        return result, status, headers


def _finish(state: _State) -> None:
    try:
        if state.capture is not None:
            state.capture.finish()
    except Exception:
        swallow("flask.finish")
    if current.get() is state.capture:
        current.set(state.previous)
