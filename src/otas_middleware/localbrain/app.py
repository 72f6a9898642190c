"""The ASGI application: which path is answered by what, the guards before all of them, and what tests control."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import HTMLResponse

from otas_middleware.localbrain import page
from otas_middleware.localbrain.agnost import Agnost
from otas_middleware.localbrain.brain import Analytics, Intake
from otas_middleware.localbrain.django_http import (
    BAD_HOST,
    NO_SLASH,
    NOT_FOUND,
    TOO_MANY_HEADERS,
    DjangoJSON,
    Endpoint,
    RefusedError,
)
from otas_middleware.localbrain.faults import SERVICES, Mode, Service
from otas_middleware.localbrain.page import Feed, assets
from otas_middleware.localbrain.page.http import DENIED, LOGIN, Access, Changing
from otas_middleware.localbrain.page.senders import Refusals
from otas_middleware.localbrain.store import Batch, Store
from otas_middleware.localbrain.tokens import TokenAuthority
from otas_middleware.localbrain.uasam import Directory, Uasam, first_credentials

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from otas_middleware.localbrain.django_http import Incoming
    from otas_middleware.localbrain.faults import Faults
    from otas_middleware.localbrain.uasam import Credentials

_MOST_HEADERS = 100
_LONGEST_HEADER = 8190


def _guarded(endpoints: Mapping[str, ASGIApp], otherwise: ASGIApp, hosts: Iterable[str], access: Access) -> ASGIApp:
    """Return what passes a request to the endpoint of its exact path, and refuses what must not reach any.

    A page on the internet can have its own name resolve to 127.0.0.1 and then talk to this server (DNS rebinding);
    it cannot make a browser send another name than its own in `Host`. Heads are limited as the real servers limit
    them, by the stricter of the two that were measured.

    Args:
        endpoints: Path to application. Paths are exact, as Brain's are: no slash is added, removed or merged.
        otherwise: Answers every other path.
        hosts: The names under which the server may be addressed.
        access: Whether a request may see what is stored.
    """
    names = frozenset(host.encode() for host in hosts)

    def choose(scope: Scope) -> ASGIApp:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        if len(headers) > _MOST_HEADERS or any(len(name) + len(value) + 4 > _LONGEST_HEADER for name, value in headers):
            return TOO_MANY_HEADERS
        addressed = [_without_port(value) for name, value in headers if name == b"host"]
        if len(addressed) != 1 or addressed[0] not in names:
            return BAD_HOST
        if not access.permits(scope):
            return DENIED
        return endpoints.get(scope["path"], otherwise)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await choose(scope)(scope, receive, send)

    return answer


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
    drop: Callable[..., Awaitable[None]],
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
            **page.endpoints(store, feed, refusals, new_token),
            LOGIN: Changing(access.log_in),
            **_services(plain, intake, uasam, Agnost(store, credentials.agnost_org_id, feed.publish), refusals),
            **_figures(plain, Analytics(store, directory, tokens, credentials.user_id)),
            **_controls(plain, Control(store, faults)),
        }
        names = {"localhost", "127.0.0.1", "[::1]", *(host.lower() for host in hosts)}
        app = _guarded(endpoints, _without_endpoint(endpoints), names, access)
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


Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class FaultOrder(BaseModel):
    """The body of `POST /_local/faults`: a mode, or one or more of the settings."""

    model_config = ConfigDict(extra="forbid")

    mode: Mode | Literal["down"] | None = None
    services: tuple[Service, ...] = ("brain",)
    rate: Share = 1.0
    seconds: Seconds | None = None
    times: Annotated[int, Field(ge=1)] | None = None
    slow_ms: Annotated[float, Field(ge=0, le=600_000)] | None = None
    fail_rate: Share | None = None
    down_after: Annotated[int, Field(ge=1)] | None = None


class Control:
    """Handles the endpoints under `/_local/`, by which tests in other processes ask for faults and events.

    The server listens on loopback only, but a web page in a browser on this machine can post to it. It cannot send JSON
    across origins without asking first, which is never granted; and a request that names an origin is refused.
    """

    def __init__(self, store: Store, faults: Faults) -> None:
        self._store = store
        self._faults = faults

    async def state(self, incoming: Incoming) -> Response:  # noqa: ARG002  # a handler's form
        """`GET /_local/state`: how much is stored, and how it misbehaves."""
        return self._state()

    async def events(self, incoming: Incoming) -> Response:
        """`GET /_local/events?session_id=&after=&limit=`: stored events, of one session or all, by order of arrival.

        `after` is the `id` of the last event that the caller has; without a `limit` there are at most 1,000.
        """
        try:
            after, limit = (
                int(incoming.parameter(name) or default) for name, default in (("after", 0), ("limit", 1000))
            )
        except ValueError:
            raise RefusedError(DjangoJSON({"error": "after and limit must be integers"}, 400)) from None
        session_id = incoming.parameter("session_id")
        found = await asyncio.to_thread(self._store.events, session_id, after=after, limit=limit)
        return DjangoJSON({"events": found})

    async def agnost(self, incoming: Incoming) -> Response:  # noqa: ARG002  # a handler's form
        """`GET /_local/agnost`: what Agnost's two endpoints took."""
        sessions, events = await asyncio.to_thread(lambda: (self._store.agnost_sessions(), self._store.agnost_events()))
        return DjangoJSON({"sessions": sessions, "events": events})

    async def inject(self, incoming: Incoming) -> Response:
        """`POST /_local/faults`: misbehave (see `FaultOrder`)."""
        _refuse_browsers(incoming)
        try:
            order = FaultOrder.model_validate_json(incoming.body)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise RefusedError(DjangoJSON({"error": wrong}, 400)) from None
        if order.mode == "down":
            if order.seconds is None:
                raise RefusedError(DjangoJSON({"error": "down needs seconds: nobody could end it from outside"}, 400))
            self._faults.down(order.seconds)
        elif order.mode is not None:
            self._faults.inject(order.mode, *order.services, rate=order.rate, seconds=order.seconds, times=order.times)
        if order.slow_ms is not None:
            self._faults.slow_ms = order.slow_ms
        if order.fail_rate is not None:
            self._faults.fail_rate = order.fail_rate
        if order.down_after is not None:
            self._faults.down_after(order.down_after)
        return self._state()

    async def clear(self, incoming: Incoming) -> Response:
        """`POST /_local/faults/clear`: behave again."""
        _refuse_browsers(incoming)
        self._faults.clear()
        return self._state()

    def _state(self) -> Response:
        counts = {
            table: self._store.read(f"SELECT count(*) AS n FROM {table}")[0]["n"]  # noqa: S608  # the names below
            for table in ("event", "session", "agnost_session", "agnost_event")
        }
        active = [{"mode": fault.mode, "services": fault.services} for fault in self._faults.active()]
        return DjangoJSON(
            {"stored": counts, "slow_ms": self._faults.slow_ms, "fail_rate": self._faults.fail_rate, "faults": active}
        )


def _refuse_browsers(incoming: Incoming) -> None:
    if incoming.header(b"origin") or incoming.header(b"content-type") != "application/json":
        raise RefusedError(DjangoJSON({"error": "send Content-Type: application/json and no Origin"}, 403))
