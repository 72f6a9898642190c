"""All harnesses' applications behind one server, bare and wrapped; a header of the request chooses among them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from support.harnesses import harnesses

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from otas_middleware import OtasSettings
    from otas_middleware._capture.asgi_scope import ASGIApp, Receive, Scope, Send

HEADER = "X-Test-Application"
"""Its value is a harness's name, a blank, and `bare` or `wrapped`."""


def applications(protocol: Literal["asgi", "wsgi"], settings: OtasSettings) -> dict[str, Any]:
    """Build the applications that speak a protocol; the keys are the header's values."""
    made: dict[str, Any] = {}
    for harness in harnesses():
        if harness.protocol == protocol:
            made[f"{harness.name} bare"] = harness.application(None)
            made[f"{harness.name} wrapped"] = harness.application(settings)
    return made


def asgi(settings: OtasSettings) -> ASGIApp:
    """Return the ASGI application that hands on to the one that the request names."""
    apps = applications("asgi", settings)
    header = HEADER.lower().encode()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await apps[dict(scope["headers"])[header].decode()](scope, receive, send)

    return app


def wsgi(settings: OtasSettings) -> WSGIApplication:
    """Return the WSGI application that hands on to the one that the request names."""
    apps = applications("wsgi", settings)
    key = "HTTP_" + HEADER.upper().replace("-", "_")

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if key not in environ:
            start_response("204 No Content", [])  # who asks for no application asks whether the server is up
            return []
        answer: Iterable[bytes] = apps[environ[key]](environ, start_response)
        return answer

    return app


def wsgi_from_environment() -> WSGIApplication:
    """Return `wsgi` with the settings of the environment: the entry point of a server process."""
    from otas_middleware._config.sources import load_settings

    return wsgi(load_settings({}))
