"""Flask.

```python
from otas_middleware.flask import Otas

Otas(app)                               # or: otas = Otas(); otas.init_app(app)
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

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
from otas_middleware._recorder import open_recorder
from otas_middleware._session import TOKEN_ENVIRON_KEY
from otas_middleware._streams import InputTap, tap_response
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
"""Key in `environ` of the capture that this adapter began."""


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


class _Hooks:
    """The hooks of one application. Per-request state is in `environ`, never here."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def mount(self, app: Flask) -> None:
        # Before hooks run in the order of their lists, after and teardown hooks in reverse: ours are the outermost.
        app.before_request_funcs.setdefault(None, []).insert(0, self.before)
        app.after_request_funcs.setdefault(None, []).insert(0, self.after)
        app.teardown_request_funcs.setdefault(None, []).insert(0, self.teardown)
        got_request_exception.connect(self.unhandled, app, weak=False)
        _note_handled_exceptions(app)

    def before(self) -> None:
        environ = request.environ
        if TOKEN_ENVIRON_KEY not in environ:
            return
        capture = begin(self._recorder, environ, "flask")
        if capture is None:
            return
        environ[_STATE] = capture
        rule = request.url_rule
        if rule is not None:
            capture.route = rule.rule
            capture.path_params = request.view_args
        stream = environ.get("wsgi.input")
        if stream is not None:
            environ["wsgi.input"] = InputTap(stream, capture.request.add)
        current.set(capture)

    def after(self, response: Response) -> Response:
        capture: Capture | None = request.environ.get(_STATE)
        if capture is not None:
            try:
                _watch(response, capture)
            except Exception:
                swallow("flask.after")
        return response

    def teardown(self, error: BaseException | None) -> None:
        environ = request.environ
        capture: Capture | None = environ.get(_STATE)
        if capture is None:
            return
        if not capture.status_code:  # no response passed the after hook: the exception goes on to the server
            if error is not None:
                capture.failed(error)
            _finish(capture)
        if current.get() is capture:
            current.set(None)

    def unhandled(self, _sender: Flask, exception: BaseException, **_: Any) -> None:
        _note(exception)


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
        capture: Capture | None = environ.get(_STATE)
        if capture is not None and not capture.finished:
            try:
                code, _, reason = status.partition(" ")
                # Werkzeug writes its reasons in capitals; the standard's own are readable.
                capture.started(int(code), list(headers), None if reason.isupper() else reason)
                # Closing a sequence runs callbacks at most, and test clients close late or never.
                early = response.is_sequence
                result = tap_response(result, environ, capture, lambda: _finish(capture), done_at_end=early)
            except Exception:
                swallow("flask.response")
        return result, status, headers


def _note_handled_exceptions(app: Flask) -> None:
    """Learn of exceptions that an error handler turns into a response; Flask sends no signal for them."""
    handle = app.handle_user_exception

    def handle_user_exception(error: Exception) -> Any:
        response = handle(error)
        _note(error)
        return response

    app.handle_user_exception = handle_user_exception  # type: ignore[method-assign,assignment]


def _note(error: BaseException) -> None:
    try:
        capture: Capture | None = request.environ.get(_STATE)
        if capture is not None:
            capture.failed(error)
    except Exception:
        swallow("flask.exception")


def _finish(capture: Capture) -> None:
    try:
        capture.finish()
    except Exception:
        swallow("flask.finish")
    if current.get() is capture:
        current.set(None)
