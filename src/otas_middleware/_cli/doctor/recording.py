"""Which requests are recorded: can their tokens be checked, and does no setting leave everything out?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otas_middleware._capture.selection import PathSet
from otas_middleware._capture.session import read_claims
from otas_middleware._cli import printable
from otas_middleware._cli.doctor import Check
from otas_middleware._errors import MissingExtraError
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
    from otas_middleware._cli.preview import Exchange, Reply  # noqa: PLC0415  # heavy, and rarely asked for
    from otas_middleware._cli.preview.replay import replay  # noqa: PLC0415  # as above

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
