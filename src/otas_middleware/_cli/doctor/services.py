"""Brain and UASAM: is each one there, is it the one, is it well, and what does it say of the SDK key; if not, why.

Nothing here writes an event: Brain checks the key before it asks for the session token, and no token is sent.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from otas_middleware._cli.doctor import LOOPBACK, Check
from otas_middleware._cli.doctor.wire import Answer, TroubleError, post
from otas_middleware._config.origins import DEFAULT_PORTS, in_url
from otas_middleware._delivery.destinations import BACKEND_PATH
from otas_middleware._delivery.destinations.uasam import KEY_PATH, key_state
from otas_middleware._delivery.protocols import fields_of
from otas_middleware._version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otas_middleware._cli.doctor.wire import Trouble
    from otas_middleware._delivery.destinations.uasam import KeyState

Kind = Literal["brain", "uasam"]

_BRAIN_SAYS: dict[str, KeyState] = {
    "missing_agent_session_token": "good",
    "invalid_sdk_key": "bad",
    "missing_sdk_key": "unknown",
}


@dataclass(frozen=True)
class Probe:
    """One question to one service.

    Attributes:
        url: The service's URL.
        answer: What came back; None when nothing did.
        trouble: Why nothing did; None when something did.
        is_it: Whether what answered is the service.
        key: What it says of the key.
        project: The key's project: `id` and `name` (UASAM only).
    """

    url: str
    answer: Answer | None = None
    trouble: TroubleError | None = None
    is_it: bool = False
    key: KeyState = "unknown"
    project: Mapping[str, str] | None = None

    @property
    def status(self) -> int:
        """The answer's status; 0 when there is none."""
        return 0 if self.answer is None else self.answer.response.status

    @property
    def clock(self) -> tuple[float, float] | None:
        """By how many seconds the service's clock is ahead of ours: at least, at most; None when it does not say.

        A `Date` header has whole seconds, and the answer was under way for a time that we know.
        """
        text = None if self.answer is None else self.answer.response.headers.get("date")
        if self.answer is None or text is None:
            return None
        try:
            then = parsedate_to_datetime(text).timestamp()
        except ValueError:
            return None
        return then - self.answer.received_at, then + 1.0 - self.answer.sent_at

    def described(self) -> str:
        """Say how long the steps took."""
        if self.answer is None:
            return ""
        return ", ".join(f"{name} {_milliseconds(seconds)}" for name, seconds in self.answer.steps.items())


def ask_brain(url: str, key: str | None, timeout: float, connect_timeout: float) -> Probe:
    """Ask Brain about a key: a post with a key and without a token.

    Args:
        url: Where it is.
        key: The SDK key; None asks only whether it is there.
        timeout: Seconds for the answer.
        connect_timeout: Seconds for the connection.
    """
    answer = _probe(url, BACKEND_PATH, key, timeout, connect_timeout)
    if isinstance(answer, TroubleError):
        return Probe(url, trouble=answer)
    fields = fields_of(answer.response)
    description = str(fields.get("status_description"))
    state = _BRAIN_SAYS.get(description)
    if answer.response.status == 401 and state is not None:
        return Probe(url, answer, is_it=True, key=state)
    # Brain's other answers, and its failures (500 with a page), are Brain's as well; a 404 is not.
    return Probe(url, answer, is_it="status_description" in fields or answer.response.status >= 500)


def ask_uasam(url: str, key: str | None, timeout: float, connect_timeout: float) -> Probe:
    """Ask UASAM about a key: it tells a bad one from an outage, and names its project.

    Args:
        url: Where it is.
        key: The SDK key; None asks only whether it is there.
        timeout: Seconds for the answer.
        connect_timeout: Seconds for the connection.
    """
    answer = _probe(url, KEY_PATH, key, timeout, connect_timeout)
    if isinstance(answer, TroubleError):
        return Probe(url, trouble=answer)
    state, project = key_state(answer.response)
    has_error = isinstance(fields_of(answer.response).get("error"), str)
    is_it = state != "unknown" or has_error or answer.response.status >= 500
    named = {name: str(project[name]) for name in ("id", "name") if project.get(name)}
    return Probe(url, answer, is_it=is_it, key=state, project=named)


def find_brain(near: str, *others: str | None) -> str | None:
    """Look for Brain on the ports where it may be instead: its usual one, and those of the other services.

    Args:
        near: The URL where it is not.
        others: URLs of other services, which may be those of Brain.

    Returns:
        Brain's URL, or None.
    """
    parts = urlsplit(near)
    candidates = [f"{parts.scheme}://{in_url(parts.hostname or '')}:8002", *filter(None, others)]
    for url in dict.fromkeys(candidates):
        if url != near and urlsplit(url).hostname == parts.hostname and ask_brain(url, None, 2.0, 1.0).is_it:
            return url
    return None


def _probe(url: str, path: str, key: str | None, timeout: float, connect_timeout: float) -> Answer | TroubleError:
    headers = [("User-Agent", f"otas-middleware/{__version__} doctor")]
    if key is not None:
        headers.append(("X-OTAS-SDK-KEY", key))
    try:
        return post(url, path, tuple(headers), timeout, connect_timeout)
    except TroubleError as error:
        return error


def _milliseconds(seconds: float) -> str:
    milliseconds = seconds * 1000
    return f"{milliseconds:.1f} ms" if milliseconds < 10 else f"{math.floor(milliseconds + 0.5)} ms"


_NAMES: dict[Kind, str] = {"brain": "Brain", "uasam": "UASAM"}
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy")
_LOCALLY = " (otas-middleware brain is a local one)"


def check_brain(probe: Probe, uasam: Probe | None, setting: str) -> Check:
    """Check that Brain is there and well.

    Args:
        probe: What came of asking it.
        uasam: What came of asking UASAM, if its address is known.
        setting: The name of the setting that holds Brain's address.
    """
    unwell = _service_problem("brain", probe, setting, uasam)
    if unwell is not None:
        return unwell
    if probe.key == "bad" and uasam is not None and uasam.key == "good":
        text = f"{probe.url} refuses the SDK key, which {uasam.url} accepts: Brain does not reach that UASAM"
        fix = "look at Brain's own configuration of UASAM's address, and at the network between the two"
        return Check("brain", "failed", text, fix, data={"url": probe.url})
    return _service_ok(probe, "brain")


def check_uasam(probe: Probe | None, brain: Probe, setting: str) -> Check:
    """Check that UASAM is there and well; without its address that is left out.

    Args:
        probe: What came of asking UASAM; None when its address is not known.
        brain: What came of asking Brain.
        setting: The name of the setting that holds UASAM's address.
    """
    if probe is None:
        return Check(
            "uasam", "skipped", f"its address is not known; set {setting}, or give --uasam-url, to have it checked"
        )
    return _service_problem("uasam", probe, setting, brain) or _service_ok(probe, "uasam")


def _service_problem(kind: Kind, probe: Probe, setting: str, other: Probe | None) -> Check | None:
    """Say what is the matter with a service, or None when it is there, is the one, and is well."""
    if probe.trouble is not None:
        return _trouble(kind, probe, probe.trouble, setting, other)
    if not probe.is_it:
        return _wrong_service(kind, probe, setting, other)
    return _failing(kind, probe) if probe.status >= 500 else None


def _service_ok(probe: Probe, kind: Kind) -> Check:
    steps = {} if probe.answer is None else {name: round(seconds, 6) for name, seconds in probe.answer.steps.items()}
    return Check(kind, "ok", f"{probe.url} answers: {probe.described()}", data={"url": probe.url, "seconds": steps})


def _failing(kind: Kind, probe: Probe) -> Check:
    name = _NAMES[kind]
    what = "its database may be down" if probe.status == 500 else f"{name} is down or overloaded behind its proxy"
    text = f"{probe.url} fails: it answers {probe.status}"
    fix = f"look at {name}'s log; {what}"
    return Check(kind, "failed", text, fix, data={"url": probe.url, "status": probe.status})


def _wrong_service(kind: Kind, probe: Probe, setting: str, other: Probe | None) -> Check:
    """Explain an answer that the service would not give."""
    name, data = _NAMES[kind], {"url": probe.url, "status": probe.status}
    location = "" if probe.answer is None else probe.answer.response.headers.get("location", "")
    if 300 <= probe.status < 400 and location:
        target = urlsplit(location)
        base = f"{target.scheme}://{target.netloc}"
        if target.netloc and base != probe.url:
            text = f"{probe.url} redirects to {base}, and redirects are not followed"
            return Check(kind, "failed", text, f"set {setting}={base}", data=data)
    if probe.status == 400:
        text = f"{probe.url} answers 400, perhaps because {name} does not know itself by this host name"
        return Check(kind, "failed", text, f"add the host to {name}'s ALLOWED_HOSTS, or correct {setting}", data=data)
    swapped = kind == "brain" and ask_uasam(probe.url, None, 5.0, 2.0)
    who = "UASAM" if swapped and swapped.is_it and swapped.status == 401 else "something else"
    text = f"what answers at {probe.url} is not {name} but {who} (it answers {probe.status})"
    found = find_brain(probe.url, other.url if other is not None else None) if kind == "brain" else None
    if found is not None:
        return Check(kind, "failed", f"{text}; Brain is at {found}", f"set {setting}={found}", data=data)
    return Check(kind, "failed", text, f"correct the port or the path in {setting}", data=data)


def _trouble(kind: Kind, probe: Probe, trouble: TroubleError, setting: str, other: Probe | None) -> Check:
    """Explain why no answer came."""
    name, url = _NAMES[kind], probe.url
    parts = urlsplit(url)
    address = f"{parts.hostname}:{parts.port or DEFAULT_PORTS[parts.scheme]}"
    swapped = ("http" if parts.scheme == "https" else "https") + url.removeprefix(parts.scheme)
    explained: dict[Trouble, tuple[str, str]] = {
        "name": (
            f"the host name {parts.hostname} is not known here ({trouble.detail})",
            f"correct it in {setting}, or make the name known where the application runs",
        ),
        "refused": (
            f"nothing listens at {address}: {name} is down, or this is the wrong port",
            f"start {name}{_LOCALLY if kind == 'brain' and parts.hostname in LOOPBACK else ''}, or correct {setting}",
        ),
        "unreachable": (
            f"{address} cannot be reached ({trouble.detail})",
            f"look at firewalls and routes between here and {name}, or correct {setting}",
        ),
        "certificate": (
            f"the certificate of {address} does not hold: {trouble.detail}",
            "correct the certificate or the host name; name an authority of your own in SSL_CERT_FILE",
        ),
        "speaks_http": (
            f"https and http are mixed up: {setting} says https, and {address} speaks plain http",
            f"set {setting}={swapped}",
        ),
        "speaks_tls": (
            f"http and https are mixed up: {setting} says http, and {address} speaks https",
            f"set {setting}={swapped}",
        ),
        "tls": (f"no TLS connection to {address} comes about ({trouble.detail})", f"look at {name}'s TLS set-up"),
        "silent": (
            f"{address} takes connections and does not answer ({trouble.detail})",
            f"look at {name}: it hangs" + (", perhaps because UASAM does" if kind == "brain" else ""),
        ),
        "closed": (
            f"{address} ends the connection without an answer",
            f"look at {name} and at the proxies before it, or correct {setting}",
        ),
        "not_http": (f"what answers at {address} does not speak HTTP", f"correct the port in {setting}"),
    }
    text, fix = explained[trouble.trouble]
    if kind == "brain" and trouble.trouble in {"refused", "not_http", "closed"}:
        found = find_brain(url, other.url if other is not None else None)
        if found is not None:
            text = f"this is the wrong port: nothing of Brain's is at {address}, and Brain is at {found}"
            fix = f"set {setting}={found}"
    details = list(_hints(trouble.trouble, parts.hostname or ""))
    return Check(kind, "failed", text, fix, tuple(details), {"url": url, "trouble": trouble.trouble})


def _hints(trouble: Trouble, host: str) -> Iterator[str]:
    if trouble not in {"name", "refused", "unreachable", "silent"}:
        return
    if host in LOOPBACK and Path("/.dockerenv").exists():
        yield "inside a container, localhost is the container itself; name the service or the host instead"
    proxies = [name for name in _PROXIES if os.environ.get(name)]
    if proxies:
        yield f"events do not go through the proxy that {proxies[0]} names; see the setting `transport` for a way"
