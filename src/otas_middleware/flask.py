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
    from flask import got_request_exception, has_request_context, request
    from werkzeug.exceptions import HTTPException
    from werkzeug.routing import RoutingException
    from werkzeug.wrappers import Response
    from werkzeug.wsgi import ClosingIterator
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "flask":
        raise
    raise MissingExtraError("otas_middleware.flask", "flask") from error

from otas_middleware._capture.context import current
from otas_middleware._config.sources import FrameworkSettings
from otas_middleware._internal_errors import report_internal_error
from otas_middleware._recorder import MARKER, open_recorder
from otas_middleware.wsgi import Exchange, Wrapper, full_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Unpack

    from flask import Flask, Request

    from otas_middleware._capture.capture import Capture, Headers
    from otas_middleware._config.options import SettingOptions
    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._recorder import Recorder

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
    """Stand around the application and listen to what Flask does with exceptions.

    What else there is to know, Flask's own objects tell when the response starts: hooks would cost every request some
    microseconds, also those that nobody records.
    """

    class Mounted(_FlaskExchange):
        __slots__ = ()
        flask = app

    app.wsgi_app = Wrapper(app.wsgi_app, recorder, "flask", Mounted)  # type: ignore[method-assign]
    handle_user_exception = app.handle_user_exception

    def noting_handle_user_exception(*args: Any, **named: Any) -> Any:
        """Learn of exceptions that an error handler turns into a response; Flask sends no signal for them."""
        answer = handle_user_exception(*args, **named)
        if current.get() is not None:
            _note_error(sys.exc_info()[1])
        return answer

    app.handle_user_exception = noting_handle_user_exception  # type: ignore[method-assign]
    got_request_exception.connect(_unhandled, app)


class _FlaskExchange(Exchange):
    """As for any WSGI application, with what Flask's own objects tell.

    Attributes:
        flask: The application.
    """

    __slots__ = ()
    flask: Flask

    def started(self, status_code: int, headers: Headers, reason: str) -> None:
        if has_request_context():
            _note_route(self.capture)
        else:  # a middleware between Flask and us held the response back
            self._find_route()
        if status_code < 500:
            self.capture.exception = None  # handled, and answered as the client's error
        # Werkzeug writes its reasons in capitals; the standard's own are readable.
        self.capture.started(status_code, headers, None if reason.isupper() else reason)

    def tap(self, result: Iterable[bytes]) -> Iterable[bytes] | bytes | None:
        self.capture.ends_early = _is_closed_in_vain(result)
        return super().tap(result)

    def finish(self) -> None:
        capture = self.capture
        if not capture.finished:
            try:
                capture.path = full_path(self.environ)  # middlewares such as `ProxyFix` correct it in place
                if not capture.status_code:  # cut off, or failed so that the server is to answer
                    self._find_route()
            except Exception:
                report_internal_error("flask.finish")
        super().finish()

    def _find_route(self) -> None:
        """Match the path again if it was Flask that had the request, and has forgotten it."""
        if self.environ.get("werkzeug.request", self) is not None:
            return
        try:
            rule, values = self.flask.url_map.bind_to_environ(self.environ).match(return_rule=True)
        except (HTTPException, RoutingException):
            return
        self.capture.route, self.capture.path_params = rule.rule, values


def _is_closed_in_vain(result: Any) -> bool:
    """Say whether closing a response can bring nothing new: its body is there, and nothing waits for its end."""
    if not isinstance(result, ClosingIterator):
        return False
    callbacks: Any = vars(result).get("_callbacks")  # the last is the response's own
    response = getattr(callbacks[-1], "__self__", None) if callbacks else None
    return isinstance(response, Response) and response.is_sequence and not vars(response).get("_on_close")


def _note_route(capture: Capture) -> None:
    try:
        # Once, since the proxy costs as much at each access.
        asked: Request = cast("Any", request)._get_current_object()  # noqa: SLF001  # documented by Werkzeug
        if asked.url_rule is not None and asked.environ.get(MARKER) is capture:
            capture.route = asked.url_rule.rule
            capture.path_params = asked.view_args
    except Exception:
        report_internal_error("flask.route")


def _unhandled(_sender: Flask, exception: BaseException, **_: Any) -> None:
    _note_error(exception)


def _note_error(error: BaseException | None) -> None:
    try:
        capture: Capture | None = request.environ.get(MARKER)
        if capture is not None and error is not None:
            capture.failed(error)
    except Exception:
        report_internal_error("flask.exception")
