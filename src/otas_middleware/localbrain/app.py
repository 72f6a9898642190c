"""The ASGI application: which path is answered by what, and the guards before all of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from otas_middleware.localbrain.http import Endpoint
from otas_middleware.localbrain.pages import BAD_HOST, NOT_FOUND, TOO_MANY_HEADERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from otas_middleware.localbrain.faults import Faults
    from otas_middleware.localbrain.http import Drop
    from otas_middleware.localbrain.intake import Intake
    from otas_middleware.localbrain.uasam import Uasam

_MOST_HEADERS = 100
_LONGEST_HEADER = 8190


class Guard:
    """Passes a request to the endpoint of its exact path, and refuses what must not reach any.

    A page on the internet can have its own name resolve to 127.0.0.1 and then talk to this server (DNS rebinding);
    it cannot make a browser send another name than its own in `Host`. Heads are limited as the real servers limit
    them, by the stricter of the two that were measured.

    Args:
        endpoints: Path to application. Paths are exact, as Brain's are: no slash is added, removed or merged.
        otherwise: Answers every other path.
        hosts: The names under which the server may be addressed.
    """

    def __init__(self, endpoints: Mapping[str, ASGIApp], otherwise: ASGIApp, hosts: Iterable[str]) -> None:
        self._endpoints = endpoints
        self._otherwise = otherwise
        self._hosts = frozenset(host.encode() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._choose(scope)(scope, receive, send)

    def _choose(self, scope: Scope) -> ASGIApp:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        hosts: list[bytes] = []
        if len(headers) > _MOST_HEADERS:
            return TOO_MANY_HEADERS
        for name, value in headers:
            if len(name) + len(value) + 4 > _LONGEST_HEADER:
                return TOO_MANY_HEADERS
            if name == b"host":
                hosts.append(_without_port(value))
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return BAD_HOST
        return self._endpoints.get(scope["path"], self._otherwise)


def build_app(intake: Intake, uasam: Uasam, faults: Faults, drop: Drop, hosts: Iterable[str]) -> ASGIApp:
    """Put the application together.

    Args:
        intake: Brain's log endpoints.
        uasam: UASAM's endpoints.
        faults: The misbehaviour that is asked for.
        drop: Ends a request's connection.
        hosts: The names under which the server may be addressed, beside the usual ones.
    """
    brain_post = partial(Endpoint, faults=faults, drop=drop, service="brain")
    uasam_post = partial(Endpoint, faults=faults, drop=drop, service="uasam")
    endpoints: dict[str, ASGIApp] = {
        "/api/v1/backend/log/sdk/": brain_post(intake.from_backend),
        "/api/v1/backend/log/agent/": brain_post(intake.from_agent),
        "/api/agent/v1/session/create/": uasam_post(uasam.create_session),
        "/api/project/v1/sdk/backend/key/authenticate/": uasam_post(uasam.authenticate_sdk_key),
        "/api/agent/v1/auth/verify/": uasam_post(uasam.verify_agent),
    }
    return Guard(endpoints, NOT_FOUND, {"localhost", "127.0.0.1", "[::1]", *hosts})


def _without_port(host: bytes) -> bytes:
    name, colon, port = host.rpartition(b":")
    return (name if colon and port.isdigit() else host).lower()
