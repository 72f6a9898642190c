"""The ASGI application: which path is answered by what, and the guards before all of them."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.responses import HTMLResponse

from otas_middleware.localbrain.agnost import Agnost
from otas_middleware.localbrain.brain import Analytics, Intake
from otas_middleware.localbrain.django_http import BAD_HOST, NO_SLASH, NOT_FOUND, TOO_MANY_HEADERS
from otas_middleware.localbrain.endpoint import Endpoint
from otas_middleware.localbrain.faults import SERVICES, Control
from otas_middleware.localbrain.page import Feed, Site, assets
from otas_middleware.localbrain.page.http import DENIED, LOGIN, Access, Changing
from otas_middleware.localbrain.page.senders import Refusals
from otas_middleware.localbrain.store import Batch, Store
from otas_middleware.localbrain.tokens import TokenAuthority
from otas_middleware.localbrain.uasam import Directory, Uasam, first_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from starlette.types import ASGIApp, Receive, Scope, Send

    from otas_middleware.localbrain.endpoint import Drop
    from otas_middleware.localbrain.faults import Faults
    from otas_middleware.localbrain.uasam import Credentials

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
        access: Whether a request may see what is stored.
    """

    def __init__(
        self, endpoints: Mapping[str, ASGIApp], otherwise: ASGIApp, hosts: Iterable[str], access: Access
    ) -> None:
        self._endpoints = endpoints
        self._access = access
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
        if not self._access.permits(scope):
            return DENIED
        return self._endpoints.get(scope["path"], self._otherwise)


def _without_endpoint(endpoints: Mapping[str, ASGIApp]) -> ASGIApp:
    """Return what answers where there is no endpoint.

    Of a known path without its last slash a GET is redirected, and a POST is a failure of Django's debug mode, which
    tells the developer of the slash; everything else is 404.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        slashed = scope["path"] + "/"
        if slashed not in endpoints:
            answer = NOT_FOUND
        elif scope["method"] in {"POST", "PUT", "PATCH", "DELETE"}:
            answer = NO_SLASH
        else:
            query = scope["query_string"].decode("latin-1")
            answer = HTMLResponse(b"", 301, {"location": quote(slashed, safe="/") + (f"?{query}" if query else "")})
        await answer(scope, receive, send)

    return answer


def _without_port(host: bytes) -> bytes:
    name, colon, port = host.rpartition(b":")
    return (name if colon and port.isdigit() else host).lower()


@dataclass(frozen=True, slots=True)
class Parts:
    """What a running Brain consists of, but for its server."""

    store: Store
    directory: Directory
    credentials: Credentials
    tokens: TokenAuthority
    uasam: Uasam
    app: ASGIApp


def assemble(
    db: Path | None,
    faults: Faults,
    drop: Drop,
    hosts: Iterable[str],
    access_token: str | None,
    on_events: Callable[[Sequence[tuple[object, ...]]], None],
    on_refused: Callable[[str], None],
) -> Parts:
    """Open the store, and make everything that works on it; the caller closes the store.

    Args:
        db: The SQLite file; None for a temporary one.
        faults: The misbehaviour that is asked for.
        drop: Ends a request's connection.
        hosts: The names under which the server may be addressed, beside the usual ones.
        access_token: Guards what is stored, where others can reach the server.
        on_events: Called with the rows that were just stored.
        on_refused: Called with the reason when an event cannot be stored.

    Raises:
        ConfigurationError: The file is not a local Brain's, or the access token is too short.
    """
    with ExitStack() as undo:
        store = Store(db)
        undo.callback(store.close)
        directory = Directory(store)
        credentials = first_credentials(store, directory)
        tokens = TokenAuthority(credentials.token_secret.encode())
        uasam = Uasam(store, directory, tokens)
        access = Access(access_token, frozenset(assets()))
        feed, refusals = Feed(), Refusals()

        def stored(rows: Sequence[tuple[object, ...]]) -> None:
            feed.publish()
            on_events(rows)

        def new_token() -> str:
            agent = directory.agent(credentials.agent_id)
            if agent is None:
                raise KeyError(credentials.agent_id)
            return uasam.new_session(agent, {"made_by": "the local Brain's page"})

        plain = partial(Endpoint, faults=faults, drop=drop)
        intake = Intake(directory, tokens, Batch(store, stored).save, faults, on_refused)
        endpoints: dict[str, ASGIApp] = {
            **Site(store, feed, refusals, new_token).endpoints(),
            LOGIN: Changing(access.log_in),
            **_services(plain, intake, uasam, Agnost(store, credentials.agnost_org_id, feed.publish), refusals),
            **_figures(plain, Analytics(store, directory, tokens, credentials.user_id)),
            **_controls(plain, Control(store, faults)),
        }
        names = {"localhost", "127.0.0.1", "[::1]", *(host.lower() for host in hosts)}
        app = Guard(endpoints, _without_endpoint(endpoints), names, access)
        undo.pop_all()
    return Parts(store, directory, credentials, tokens, uasam, app)


def _services(
    plain: partial[Endpoint], intake: Intake, uasam: Uasam, agnost: Agnost, refusals: Refusals
) -> dict[str, ASGIApp]:
    """Return the endpoints that applications and agents use, each with its service's faults."""
    of_brain, of_uasam, of_agnost = (partial(plain, service=service) for service in SERVICES)
    of_uasam = partial(of_uasam, key_first=True)
    return {
        "/api/v1/backend/log/sdk/": refusals.watch(of_brain(intake.from_backend)),
        "/api/v1/backend/log/agent/": refusals.watch(of_brain(intake.from_agent)),
        "/api/agent/v1/session/create/": of_uasam(uasam.create_session),
        "/api/project/v1/sdk/backend/key/authenticate/": of_uasam(uasam.authenticate_sdk_key),
        "/api/agent/v1/auth/verify/": of_uasam(uasam.verify_agent),
        "/api/v1/capture-session": of_agnost(agnost.capture_session),
        "/api/v1/capture-event": of_agnost(agnost.capture_event),
    }


def _figures(plain: partial[Endpoint], analytics: Analytics) -> dict[str, ASGIApp]:
    """Return the endpoints that dashboards read."""
    reading = partial(plain, method="GET", csrf=True)
    return {
        "/api/v1/agent/session/events/": reading(analytics.session_events),
        "/api/v1/agent/latency-percentiles/": reading(analytics.latency_percentiles),
        "/api/v1/agent/error-count/": reading(analytics.error_count),
        "/api/v1/agent/path-timeseries/": reading(analytics.path_timeseries),
    }


def _controls(plain: partial[Endpoint], control: Control) -> dict[str, ASGIApp]:
    """Return the endpoints of this Brain's own, for tests and tools in other processes."""
    reading = partial(plain, method="GET")
    return {
        "/_local/state": reading(control.state),
        "/_local/events": reading(control.events),
        "/_local/agnost": reading(control.agnost),
        "/_local/faults": plain(control.inject),
        "/_local/faults/clear": plain(control.clear),
    }
