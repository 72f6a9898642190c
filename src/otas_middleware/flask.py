"""Flask.

```python
from otas_middleware.flask import Otas

Otas(app)                               # or: otas = Otas(); otas.init_app(app)
```
"""

from __future__ import annotations

import sys
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
from otas_middleware._recorder import MARKER, open_recorder
from otas_middleware.wsgi import Exchange, Wrapper, full_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask, Request, Response

    from otas_middleware._capture import Capture, Headers
    from otas_middleware._recorder import Recorder
    from otas_middleware._settings import OtasSettings

__all__ = ["Otas"]


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
            _mount(app, recorder)


def _mount(app: Flask, recorder: Recorder) -> None:
    """Stand around the application and listen to what Flask does with responses and exceptions.

    Flask's own hooks would cost every request some microseconds: it looks them up and calls each through a wrapper.
    """
    app.wsgi_app = Wrapper(app.wsgi_app, recorder, "flask", _FlaskExchange)  # type: ignore[method-assign]
    preprocess_request = app.preprocess_request
    process_response = app.process_response
    handle_user_exception = app.handle_user_exception

    def noting_preprocess_request(*args: Any, **named: Any) -> Any:
        capture = current.get()
        if capture is not None:
            _note_route(capture)
        return preprocess_request(*args, **named)

    def noting_process_response(*args: Any, **named: Any) -> Response:
        response = process_response(*args, **named)
        capture = current.get()
        if capture is not None:
            _note_response(capture, response)
        return response

    def noting_handle_user_exception(*args: Any, **named: Any) -> Any:
        """Learn of exceptions that an error handler turns into a response; Flask sends no signal for them."""
        answer = handle_user_exception(*args, **named)
        if current.get() is not None:
            _note_error(sys.exc_info()[1])
        return answer

    app.preprocess_request = noting_preprocess_request  # type: ignore[method-assign]
    app.process_response = noting_process_response  # type: ignore[method-assign]
    app.handle_user_exception = noting_handle_user_exception  # type: ignore[method-assign]
    got_request_exception.connect(_unhandled, app)


class _FlaskExchange(Exchange):
    """As for any WSGI application, with what Flask's own objects tell."""

    __slots__ = ()

    def started(self, status_code: int, headers: Headers, reason: str) -> None:
        if status_code < 500:
            self.capture.exception = None  # handled, and answered as the client's error
        # Werkzeug writes its reasons in capitals; the standard's own are readable.
        self.capture.started(status_code, headers, None if reason.isupper() else reason)

    def finish(self) -> None:
        capture = self.capture
        if not capture.finished:
            try:
                capture.path = full_path(self.environ)  # middlewares such as `ProxyFix` correct it in place
            except Exception:
                swallow("flask.finish")
        super().finish()


def _note_route(capture: Capture) -> None:
    try:
        # Once, since the proxy costs as much at each access.
        asked: Request = cast("Any", request)._get_current_object()  # noqa: SLF001  # documented by Werkzeug
        if asked.url_rule is not None and asked.environ.get(MARKER) is capture:
            capture.route = asked.url_rule.rule
            capture.path_params = asked.view_args
    except Exception:
        swallow("flask.route")


def _note_response(capture: Capture, response: Response) -> None:
    try:
        capture.ends_early = response.is_sequence and not vars(response).get("_on_close")
    except Exception:
        swallow("flask.response")


def _unhandled(_sender: Flask, exception: BaseException, **_: Any) -> None:
    _note_error(exception)


def _note_error(error: BaseException | None) -> None:
    try:
        capture: Capture | None = request.environ.get(MARKER)
        if capture is not None and error is not None:
            capture.failed(error)
    except Exception:
        swallow("flask.exception")
