"""What is recorded: can tokens be checked, does no setting leave out every request, are an agent's clients seen?"""

from __future__ import annotations

import inspect
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from otas_middleware._capture.selection import PathSet
from otas_middleware._capture.session import TOKEN_HEADER, read_claims
from otas_middleware._cli import printable, serving
from otas_middleware._cli.application.load import ApplicationError, load
from otas_middleware._cli.doctor import Check
from otas_middleware._errors import MissingExtraError, OtasError
from otas_middleware._recorder import key_set, secret_verifier

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otas_middleware._capture.verify import Verifier
    from otas_middleware._config.settings import OtasSettings

_ANY_PATHS = ("/otas", "/otas-middleware/doctor")
_USUAL_METHODS = {"GET", "POST"}
_NO_TOKEN = "doctor.doctor.doctor"  # noqa: S105  # no key signed it: only whether there are keys is asked
_EFFECTS = {"should_record": "the request is not recorded", "before_send": "the event is withheld"}


def check_recording(settings: OtasSettings) -> Iterator[Check]:
    """Yield a check for each setting that keeps requests from being recorded; nothing where all is as it should be."""
    yield from _verification(settings)
    everything = [entry for entry in settings.ignore_paths if all(path in PathSet([entry]) for path in _ANY_PATHS)]
    if everything:
        text = f"{everything[0]} stands for every path, so that no request is recorded"
        yield Check("ignore_paths", "warning", text, f"take {everything[0]} out of OTAS_IGNORE_PATHS")
    if {method.upper() for method in settings.ignore_methods} >= _USUAL_METHODS:
        yield Check("ignore_methods", "warning", "neither GET nor POST is recorded", "correct OTAS_IGNORE_METHODS")
    if settings.session_sample_rate == 0:
        text = "0: of all sessions nothing but errors is recorded"
        yield Check("session_sample_rate", "warning", text, "set OTAS_SESSION_SAMPLE_RATE to a share, such as 0.1")
    yield from _functions(settings)


def _functions(settings: OtasSettings) -> Iterator[Check]:
    """Call the functions that the settings name for an ordinary request, in memory."""
    if settings.should_record is None and settings.before_send is None:
        return
    from otas_middleware._cli.preview import Exchange, Reply, replay  # noqa: PLC0415  # heavy, and rarely asked for

    asked = settings.replace(session_sample_rate=1.0, ignore_paths=(), ignore_methods=(), ignore_operations=())
    body = b'{"made_by":"otas-middleware doctor"}'
    headers = (("Host", "localhost"), ("Content-Type", "application/json"))
    exchange = Exchange("POST", "/otas-middleware/doctor", headers, body, Reply(200, headers=headers[1:], body=body))
    shown = replay(exchange, asked, "doctor")
    for name, effect in _EFFECTS.items():
        error = next((error for where, error in shown.failures if where == name), None)
        if error is not None:
            text = f"it fails for an ordinary request ({printable(error)}), and then {effect}"
            fix = f"correct the function that OTAS_{name.upper()} names; `otas-middleware preview` tries it again"
            yield Check(name, "failed", text, fix)
    if shown.event is None and not shown.failures:
        name = "should_record" if shown.withheld.startswith("should_record") else "before_send"
        text = f"{shown.withheld} for {exchange.method} {exchange.path}; `otas-middleware preview` tries yours"
        yield Check(name, "skipped", text)


def _verification(settings: OtasSettings) -> Iterator[Check]:
    from otas_middleware._capture.verify import KeysUnavailableError  # noqa: PLC0415  # rarely asked for

    try:
        secret_verifier(settings)
        by_keys = key_set(settings)
        if by_keys is not None:
            by_keys(_NO_TOKEN)
    except MissingExtraError as error:
        yield Check("signatures", "failed", f"{error}; the application does not start", "install it where it runs")
    except KeysUnavailableError:
        text = f"no keys can be had from {settings.session_jwks_url}: events are recorded as unverified"
        yield Check("signatures", "warning", text, "correct OTAS_SESSION_JWKS_URL, or let this host reach it")


def verifier(settings: OtasSettings) -> Verifier | None:
    """Return what checks a token's signature as the application does, or None when it checks none.

    Raises:
        MissingExtraError: PyJWT is not installed.
    """
    from otas_middleware._capture.verify import KeysUnavailableError  # noqa: PLC0415  # as above

    by_secret, by_keys = secret_verifier(settings), key_set(settings)
    if by_secret is not None or by_keys is None:
        return by_secret

    def verify(token: str) -> Mapping[str, object] | None:
        try:
            return by_keys(token)
        except KeysUnavailableError:
            return read_claims(token)

    return verify


_AGENT = "agent"
_SEEN_BY = (
    "make it with session.client(), session.async_client(), session.requests_session() or session.aiohttp_session(), "
    "or session.instrument() it, and see docs/sdks.md for the way of its SDK"
)


def check_agent(target: str) -> Iterator[Check]:
    """Check that calls through an agent's clients are seen: one through each, to a loopback host of our own.

    No provider is called, and nothing reaches Brain or UASAM: meanwhile the session records into memory.

    Args:
        target: `module:session`, and after commas further clients, such as `shop.agent:session,shop.agent:http`.

    Yields:
        One check of the session, and one for each client.
    """
    first, *others = [part.strip() for part in target.split(",")]
    try:
        session, clients = load(first), [(name, load(name)) for name in others]
    except ApplicationError as error:
        yield Check(_AGENT, "failed", error.problem, error.fix)
        return
    except OtasError as error:
        yield Check(_AGENT, "failed", f"{target} cannot be made: {error}", "see above")
        return
    if not hasattr(session, "headers_for") or not hasattr(session, "clients"):
        yield Check(
            _AGENT, "failed", f"{first} is of type {type(session).__name__}, no AgentSession", "name the session first"
        )
        return
    given = {id(client) for _, client in clients}
    clients += [(type(client).__name__, client) for client in session.clients if id(client) not in given]
    if not clients:
        text = f"{first} has made and instrumented no client that is in use"
        yield Check(_AGENT, "warning", text, f"name your clients after it: --agent {first},MODULE:CLIENT")
        return
    for number, (name, client) in enumerate(clients, start=1):
        yield _try(f"{_AGENT}_{number}" if len(clients) > 1 else _AGENT, name, client)


def _try(check: str, name: str, client: Any) -> Check:
    from otas_middleware._testing.recording import record_events  # noqa: PLC0415  # heavy, and for this check alone

    tokens: list[str] = []
    with record_events() as events, serving(_answers(tokens)) as url:
        path = "/otas-doctor"
        try:
            _call(client, url + path)
        except Exception as error:  # a client of the user's: whatever it raises is the finding
            return Check(check, "failed", f"a call through {name} raised {type(error).__name__}", "call it by hand")
        # A host that happens to be inside the project's domain gets the token, and is recorded there.
        seen = bool(tokens) or any(event.path == path for event in events)
    if not seen:
        return Check(check, "failed", f"a call through {name} is not seen: nothing would be recorded of it", _SEEN_BY)
    return Check(check, "ok", f"calls through {name} are seen", data={"client": name})


def _call(client: Any, url: str) -> None:
    """Make one call with a client of httpx, requests or aiohttp, or with the one that an SDK is built on.

    Raises:
        TypeError: It is no such client.
    """
    get = getattr(client, "get", None)
    if get is None:
        raise TypeError
    if inspect.iscoroutinefunction(get) or hasattr(client, "connector"):
        import asyncio  # noqa: PLC0415  # as above

        asyncio.run(_call_asynchronously(client, url))
    else:
        get(url)


async def _call_asynchronously(client: Any, url: str) -> None:
    answer: Any = await client.get(url)
    await (answer.aread() if hasattr(answer, "aread") else answer.read())


def _answers(tokens: list[str]) -> type[BaseHTTPRequestHandler]:
    """Return what answers everything, and notes the tokens that come."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            tokens.extend(self.headers.get_all(TOKEN_HEADER, ()))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name in the base class
            """Say nothing."""

    return Answers
