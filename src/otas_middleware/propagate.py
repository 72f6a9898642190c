"""Passing the session token of the request that is being handled on to other backends of the project.

```python
from otas_middleware import propagate

http = propagate.instrument(httpx.Client())       # or an AsyncClient, or a requests.Session; once, at start-up
http.get("https://inventory.internal/stock/42")   # in a handler: carries the caller's token, if the host is listed
```

`OTAS_PROPAGATE_TO` (the setting `propagate_to`) lists the origins that get the token; no other does, across redirects
neither. Outside of a request that carries a token nothing is changed.

Which request is being handled is known by a context variable. Tasks inherit it (`asyncio.create_task`, task groups,
`asyncio.to_thread`, `anyio`, `asgiref`), and keep it when the response is finished before they are. Threads that are
started by hand and executors do not: wrap what they are to run in `carry`. Celery tasks get it by `connect_celery`.
"""

from __future__ import annotations

import functools
import logging
from contextvars import ContextVar
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

from otas_middleware._capture import context as _context
from otas_middleware._capture.session import TOKEN_HEADER
from otas_middleware._config.origins import Domain
from otas_middleware._errors import ConfigurationError, MissingExtraError
from otas_middleware._outbound import NOTHING, Scope, Secrets, head_for, register

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import httpx2 as httpx

    from otas_middleware._capture import Capture
    from otas_middleware._outbound import OutgoingRequest
    from otas_middleware._outbound.aiohttp_middleware import AiohttpMiddleware

__all__ = [
    "aiohttp_middleware",
    "async_httpx_hook",
    "carry",
    "connect_celery",
    "headers_for",
    "httpx_hook",
    "instrument",
]

logger = logging.getLogger("otas_middleware")

_Client = TypeVar("_Client")
_P = ParamSpec("_P")
_R = TypeVar("_R")


def instrument(client: _Client, to: str | Iterable[str] | None = None) -> _Client:
    """Have a client pass the token on, and return that same client.

    Args:
        client: A `Client` or `AsyncClient` of `httpx2` or `httpx`, or a `requests.Session`, to which its adapters have
            been mounted.
        to: Origins as in `propagate_to`; those of the settings when left out.

    Raises:
        TypeError: It is something else; use `aiohttp_middleware` or `headers_for`.
        ValueError: An origin cannot be used.
    """
    from otas_middleware._outbound.clients import instrument  # noqa: PLC0415  # heavy

    instrument(client, _policy_for(to))
    return client


def httpx_hook(request: httpx.Request) -> None:
    """Pass the token on, as a request hook: `httpx.Client(event_hooks={"request": [propagate.httpx_hook]})`.

    httpx calls it for each redirect too, where it takes the token out again if need be. It changes the request, so
    that `response.request` shows the token; `instrument` does not.

    Args:
        request: The request that is about to be sent; changed.
    """
    from otas_middleware._outbound.httpx_transport import scope_of  # noqa: PLC0415  # heavy

    scope, location = scope_of(_policy, request)
    if scope is Scope.EXEMPT:
        return
    token = _policy.token() if scope is Scope.INSIDE else None
    headers = head_for(_policy, scope, request.headers.raw, location, token)
    if headers is not None:
        request.headers = type(request.headers)(headers)


async def async_httpx_hook(request: httpx.Request) -> None:
    """As `httpx_hook`, for `httpx.AsyncClient`.

    Args:
        request: The request that is about to be sent; changed.
    """
    httpx_hook(request)


def aiohttp_middleware(to: str | Iterable[str] | None = None) -> AiohttpMiddleware:
    """Return a client middleware that passes the token on: `aiohttp.ClientSession(middlewares=(..., this))`.

    Args:
        to: As for `instrument`.

    Raises:
        ValueError: An origin cannot be used.
    """
    from otas_middleware._outbound.aiohttp_middleware import AiohttpMiddleware  # noqa: PLC0415  # optional

    return AiohttpMiddleware(_policy_for(to))


def headers_for(url: str, to: str | Iterable[str] | None = None) -> dict[str, str]:
    """Return the headers that a request to this URL is to carry, for any other HTTP library.

    Ask anew for each request, after a redirect too.

    Args:
        url: An absolute URL.
        to: As for `instrument`.

    Returns:
        The session token's header, or an empty dictionary.
    """
    from otas_middleware._outbound.clients import headers_for  # noqa: PLC0415  # heavy

    return headers_for(url, _policy_for(to))


def carry(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Return a function that runs with the token of the request that is being handled now, in whatever thread.

    ```python
    executor.map(propagate.carry(fetch), urls)
    threading.Thread(target=propagate.carry(refresh)).start()
    ```

    Args:
        function: What the thread or executor is to run.
    """
    passed = _current()

    @functools.wraps(function)
    def carried(*args: _P.args, **keywords: _P.kwargs) -> _R:
        reset = _carried.set(_Carried(passed, _context.current.get()))
        try:
            return function(*args, **keywords)
        finally:
            _carried.reset(reset)

    return carried


def connect_celery() -> None:
    """Have Celery tasks continue the session of the request, or of the task, that sends them.

    Call it where the Celery application is made, so that senders and workers do it alike. The token travels in the
    message's headers: whoever can read the broker can read it. In a worker without a middleware, `OTAS_PROPAGATE_TO`
    of its environment says where the token may go.

    Raises:
        MissingExtraError: Celery is not installed.
    """
    try:
        signals: Any = import_module("celery.signals")  # Celery has no types
    except ImportError:
        raise MissingExtraError("Passing sessions on to Celery tasks", "celery") from None
    receivers = {"before_task_publish": _publishing, "task_prerun": _starting, "task_postrun": _ending}
    for name, receiver in receivers.items():
        getattr(signals, name).connect(receiver, weak=False, dispatch_uid=f"otas_middleware.{name}")  # once


class _Passed(NamedTuple):
    """What is passed on."""

    token: str
    domain: Domain
    """Where it may go, as the settings say that it came under."""


class _Carried(NamedTuple):
    """What is passed on by what was carried somewhere, or by a Celery task: there it stands for the request."""

    passed: _Passed | None
    within: Capture | None
    """The request that is being handled there, if any; in another one, made within, that one's own token counts."""


_carried: ContextVar[_Carried | None] = ContextVar("otas_middleware.carried_token", default=None)


def _current() -> _Passed | None:
    """Return what the request that is being handled passes on, or what was carried here."""
    # Not `current_session()`: a task of the handler goes on when its request has been recorded.
    capture = _context.current.get()
    carried = _carried.get()
    if carried is not None and carried.within is capture:
        return carried.passed
    if capture is None:
        return None
    settings = getattr(capture.taker, "settings", None)
    return _Passed(capture.session.token, _domain_of(settings.propagate_to) if settings is not None else _NOWHERE)


_IN_MESSAGES = TOKEN_HEADER.lower().replace("-", "_")
"""Celery makes each header an attribute of the task's request, so its name must be one."""

_runs: ContextVar[tuple[_Carried | None, ...]] = ContextVar("otas_middleware.celery_runs", default=())
"""What was in force before each task that runs in this context, the innermost last.

State is a run's, never a task id's: a retry, or a message that is delivered twice, runs under the same id at the same
time, in another thread or greenlet, each of which has a context of its own.
"""


def _publishing(headers: dict[str, Any] | None = None, **_: Any) -> None:
    """Put the token into a task's message."""
    token = _policy.token()
    if token is not None and headers is not None:
        headers.setdefault(_IN_MESSAGES, token)


def _starting(task: Any = None, **_: Any) -> None:
    """Put the token that came with a task in force where it runs."""
    sent: object = getattr(task.request, _IN_MESSAGES, None)
    _runs.set((*_runs.get(), _carried.get()))
    # An eager task runs where it was sent, and there was no message to put the token into.
    if isinstance(sent, str) or not task.request.is_eager:
        passed = _Passed(sent, _domain_of_process()) if isinstance(sent, str) else None
        _carried.set(_Carried(passed, _context.current.get()))


def _ending(**_: Any) -> None:
    """Put back what was in force before a task."""
    runs = _runs.get()
    if runs:  # else it began before the signals were connected
        _runs.set(runs[:-1])
        _carried.set(runs[-1])


class _Policy:
    """Lets the current token through to the listed origins.

    Args:
        domain: The origins; those of the settings when None.
    """

    may_wait = False
    exclusive = False

    def __init__(self, domain: Domain | None = None) -> None:
        self._domain = domain
        register(self)

    def scope(self, scheme: str, host: bytes, port: int | None, target: bytes) -> Scope:
        """Say where a request goes; nothing is to be done where there is no token."""
        passed = _current()
        if passed is None:
            return Scope.EXEMPT
        domain = passed.domain if self._domain is None else self._domain
        return Scope.INSIDE if domain.covers(scheme, host, port, target) else Scope.OUTSIDE

    def token_at_hand(self) -> str | None:
        """Return the current token."""
        return None if (passed := _current()) is None else passed.token

    token = token_at_hand

    def secrets(self, scope: Scope) -> Secrets:
        """Return the current token, for a scope that does not get it."""
        token = self.token()
        return NOTHING if token is None or scope is Scope.INSIDE else Secrets((token,))

    def begin(self, outgoing: OutgoingRequest) -> Capture | None:
        """Record nothing: that is the agent's side."""
        del outgoing
        return None


_NOWHERE = Domain(())


@functools.lru_cache(maxsize=32)
def _domain_of(patterns: tuple[str, ...]) -> Domain:
    return Domain(patterns)


def _domain_of_process() -> Domain:
    """Return the origins for a token without a request: those of this process's middlewares, or of the environment."""
    from otas_middleware._recorder import recorders  # noqa: PLC0415  # not before somebody asks

    running = recorders()
    if not running:
        return _domain_of_environment()
    return _domain_of(tuple(origin for recorder in running for origin in recorder.settings.propagate_to))


@functools.lru_cache(maxsize=1)
def _domain_of_environment() -> Domain:
    from otas_middleware._config.sources import load_settings  # noqa: PLC0415  # pydantic, where no middleware runs

    try:
        return Domain(load_settings({}).propagate_to)
    except ConfigurationError as error:
        logger.warning("otas: no session token is passed on, because the settings cannot be used. %s", error)
        return _NOWHERE


_policy = _Policy()
"""One for all clients, so that instrumenting one twice does no harm."""


def _policy_for(to: str | Iterable[str] | None) -> _Policy:
    if to is None:
        return _policy
    return _explicit((to,) if isinstance(to, str) else tuple(to))


@functools.lru_cache(maxsize=32)
def _explicit(patterns: tuple[str, ...]) -> _Policy:
    return _Policy(Domain(patterns))
