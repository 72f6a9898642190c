"""The ASGI application: which path is answered by what, and the guards before all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.routing import Route

from otas_middleware.localbrain.http import Endpoint
from otas_middleware.localbrain.pages import BAD_HOST, NOT_FOUND, TOO_MANY_HEADERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from otas_middleware.localbrain.faults import Faults
    from otas_middleware.localbrain.http import Drop
    from otas_middleware.localbrain.intake import Intake
    from otas_middleware.localbrain.uasam import Uasam

_MOST_HEADERS = 100
_LONGEST_HEADER = 8190


class Guard:
    """Refuses what must not reach any endpoint: foreign hosts, and heads that the real servers refuse.

    A page on the internet can have its own name resolve to 127.0.0.1 and then talk to this server (DNS rebinding);
    it cannot make a browser send another name than its own in `Host`.

    Args:
        app: What is guarded.
        hosts: The names under which the server may be addressed.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str]) -> None:
        self._app = app
        self._hosts = frozenset(host.encode() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is fine."""
        if scope["type"] == "http":
            headers: list[tuple[bytes, bytes]] = scope["headers"]
            if len(headers) > _MOST_HEADERS or any(
                len(name) + len(value) + 4 > _LONGEST_HEADER for name, value in headers
            ):
                await TOO_MANY_HEADERS(scope, receive, send)
                return
            hosts = [_without_port(value) for name, value in headers if name == b"host"]
            if len(hosts) != 1 or hosts[0] not in self._hosts:
                await BAD_HOST(scope, receive, send)
                return
        await self._app(scope, receive, send)


def build_app(intake: Intake, uasam: Uasam, faults: Faults, drop: Drop, hosts: Iterable[str]) -> ASGIApp:
    """Put the application together.

    Args:
        intake: Brain's log endpoints.
        uasam: UASAM's endpoints.
        faults: The misbehaviour that is asked for.
        drop: Ends a request's connection.
        hosts: The names under which the server may be addressed, beside the usual ones.
    """
    routes = [
        Route("/api/v1/backend/log/sdk/", Endpoint(intake.from_backend, faults=faults, drop=drop, service="brain")),
        Route("/api/v1/backend/log/agent/", Endpoint(intake.from_agent, faults=faults, drop=drop, service="brain")),
        Route(
            "/api/agent/v1/session/create/", Endpoint(uasam.create_session, faults=faults, drop=drop, service="uasam")
        ),
        Route(
            "/api/project/v1/sdk/backend/key/authenticate/",
            Endpoint(uasam.authenticate_sdk_key, faults=faults, drop=drop, service="uasam"),
        ),
        Route("/api/agent/v1/auth/verify/", Endpoint(uasam.verify_agent, faults=faults, drop=drop, service="uasam")),
    ]
    app = Starlette(routes=routes, exception_handlers={404: _not_found})
    app.router.redirect_slashes = False
    return Guard(app, {"localhost", "127.0.0.1", "[::1]", *hosts})


async def _not_found(request: Request, error: Exception) -> Response:
    return NOT_FOUND


def _without_port(host: bytes) -> bytes:
    name, colon, port = host.rpartition(b":")
    return (name if colon and port.isdigit() else host).lower()
