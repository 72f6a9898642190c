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

    from otas_middleware._cli.doctor.services import Kind, Probe
    from otas_middleware._cli.doctor.wire import Trouble, TroubleError

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
    if probe.trouble is not None:
        return _trouble("brain", probe, probe.trouble, setting, uasam)
    if not probe.is_it:
        return _somebody_else("brain", probe, setting, uasam)
    if probe.status >= 500:
        return _failing("brain", probe)
    if probe.key == "bad" and uasam is not None and uasam.key == "good":
        text = f"{probe.url} refuses the SDK key, which {uasam.url} accepts: Brain does not reach that UASAM"
        fix = "look at Brain's own configuration of UASAM's address, and at the network between the two"
        return Check("brain", "failed", text, fix, data={"url": probe.url})
    return _well(probe, "brain")


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
    if probe.trouble is not None:
        return _trouble("uasam", probe, probe.trouble, setting, brain)
    if not probe.is_it:
        return _somebody_else("uasam", probe, setting, brain)
    if probe.status >= 500:
        return _failing("uasam", probe)
    return _well(probe, "uasam")


def _well(probe: Probe, kind: Kind) -> Check:
    steps = {} if probe.answer is None else {name: round(seconds, 6) for name, seconds in probe.answer.steps.items()}
    return Check(kind, "ok", f"{probe.url} answers: {probe.described()}", data={"url": probe.url, "seconds": steps})


def _failing(kind: Kind, probe: Probe) -> Check:
    name = _NAMES[kind]
    what = "its database may be down" if probe.status == 500 else f"{name} is down or overloaded behind its proxy"
    text = f"{probe.url} fails: it answers {probe.status}"
    fix = f"look at {name}'s log; {what}"
    return Check(kind, "failed", text, fix, data={"url": probe.url, "status": probe.status})


def _somebody_else(kind: Kind, probe: Probe, setting: str, other: Probe | None) -> Check:
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
