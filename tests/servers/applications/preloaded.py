"""The bare WSGI application, loaded before the server forks, in a process that has recorded a request already."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from wsgiref.util import setup_testing_defaults

from servers.applications import raw_wsgi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

application = raw_wsgi.application


def _warm_up(token: str) -> None:
    environ: WSGIEnvironment = {"PATH_INFO": "/warm-up", "HTTP_X_OTAS_AGENT_SESSION_TOKEN": token}
    setup_testing_defaults(environ)
    response = application(environ, _start)
    list(response)
    getattr(response, "close", lambda: None)()


def _start(status: str, headers: list[tuple[str, str]], exc_info: object = None, /) -> Callable[[bytes], object]:
    return lambda data: None


_warm_up(os.environ["WARM_UP_TOKEN"])


def who_served(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """As the application, with the worker's process id in a header."""

    def start(status: str, headers: list[tuple[str, str]], *exc_info: object) -> object:
        return start_response(status, [*headers, ("X-Worker", str(os.getpid()))], *exc_info)  # type: ignore[arg-type]

    return application(environ, start)  # type: ignore[arg-type]
