"""Checks of Brain and UASAM: is each one there, is it the one, is it well; and if not, what is the matter."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from otas_middleware._cli.doctor import LOOPBACK, Check
from otas_middleware._cli.doctor.services import ask_uasam, find_brain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otas_middleware._cli.doctor.services import Kind, Visit
    from otas_middleware._cli.doctor.wire import Trouble, TroubleError

_NAMES: dict[Kind, str] = {"brain": "Brain", "uasam": "UASAM"}
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy")
_LOCALLY = " (otas-middleware brain is a local one)"


def check_brain(visit: Visit, uasam: Visit | None, setting: str) -> Check:
    """Check that Brain is there and well.

    Args:
        visit: What came of asking it.
        uasam: What came of asking UASAM, if its address is known.
        setting: The name of the setting that holds Brain's address.
    """
    if visit.trouble is not None:
        return _trouble("brain", visit, visit.trouble, setting, uasam)
    if not visit.is_it:
        return _somebody_else("brain", visit, setting, uasam)
    if visit.status >= 500:
        return _unwell("brain", visit)
    if visit.key == "bad" and uasam is not None and uasam.key == "good":
        text = f"{visit.url} refuses the SDK key, which {uasam.url} accepts: Brain does not reach that UASAM"
        fix = "look at Brain's own configuration of UASAM's address, and at the network between the two"
        return Check("brain", "failed", text, fix, data={"url": visit.url})
    return _well(visit, "brain")


def check_uasam(visit: Visit | None, brain: Visit, setting: str) -> Check:
    """Check that UASAM is there and well; without its address that is left out.

    Args:
        visit: What came of asking UASAM; None when its address is not known.
        brain: What came of asking Brain.
        setting: The name of the setting that holds UASAM's address.
    """
    if visit is None:
        return Check(
            "uasam", "skipped", f"its address is not known; set {setting}, or give --uasam-url, to have it checked"
        )
    if visit.trouble is not None:
        return _trouble("uasam", visit, visit.trouble, setting, brain)
    if not visit.is_it:
        return _somebody_else("uasam", visit, setting, brain)
    if visit.status >= 500:
        return _unwell("uasam", visit)
    return _well(visit, "uasam")


def _well(visit: Visit, kind: Kind) -> Check:
    steps = {} if visit.answer is None else {name: round(seconds, 6) for name, seconds in visit.answer.steps.items()}
    return Check(kind, "ok", f"{visit.url} answers: {visit.described()}", data={"url": visit.url, "seconds": steps})


def _unwell(kind: Kind, visit: Visit) -> Check:
    name = _NAMES[kind]
    what = "its database may be down" if visit.status == 500 else f"{name} is down or overloaded behind its proxy"
    text = f"{visit.url} is unwell: it answers {visit.status}"
    fix = f"look at {name}'s log; {what}"
    return Check(kind, "failed", text, fix, data={"url": visit.url, "status": visit.status})


def _somebody_else(kind: Kind, visit: Visit, setting: str, other: Visit | None) -> Check:
    """Explain an answer that the service would not give."""
    name, data = _NAMES[kind], {"url": visit.url, "status": visit.status}
    location = "" if visit.answer is None else visit.answer.response.headers.get("location", "")
    if 300 <= visit.status < 400 and location:
        target = urlsplit(location)
        base = f"{target.scheme}://{target.netloc}"
        if target.netloc and base != visit.url:
            text = f"{visit.url} redirects to {base}, and redirects are not followed"
            return Check(kind, "failed", text, f"set {setting}={base}", data=data)
    if visit.status == 400:
        text = f"{visit.url} answers 400, perhaps because {name} does not know itself by this host name"
        return Check(kind, "failed", text, f"add the host to {name}'s ALLOWED_HOSTS, or correct {setting}", data=data)
    swapped = kind == "brain" and ask_uasam(visit.url, None, 5.0, 2.0)
    who = "UASAM" if swapped and swapped.is_it and swapped.status == 401 else "something else"
    text = f"what answers at {visit.url} is not {name} but {who} (it answers {visit.status})"
    found = find_brain(visit.url, other.url if other is not None else None) if kind == "brain" else None
    if found is not None:
        return Check(kind, "failed", f"{text}; Brain is at {found}", f"set {setting}={found}", data=data)
    return Check(kind, "failed", text, f"correct the port or the path in {setting}", data=data)


def _trouble(kind: Kind, visit: Visit, trouble: TroubleError, setting: str, other: Visit | None) -> Check:
    """Explain why no answer came."""
    name, url = _NAMES[kind], visit.url
    parts = urlsplit(url)
    address = f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
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
