"""What works, but not as it should: time-outs too short for Brain, a proxy or Django settings that are not used."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from otas_middleware._cli.doctor.report import Check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otas_middleware._cli.application import Subject
    from otas_middleware._config.settings import OtasSettings

SLOWEST_ANSWER = 10.0
"""Seconds: a busy Brain takes one to four for an event, and an event that is given up on may be stored all the same."""

_USES_PROXIES = {"httpx"}
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def check_surroundings(subject: Subject, settings: OtasSettings) -> Iterator[Check]:
    """Yield a check for each thing that needs attention; nothing where all is as it should be."""
    yield from _django_settings(subject)
    if settings.request_timeout < SLOWEST_ANSWER:
        yield Check(
            "request_timeout",
            "warning",
            f"{settings.request_timeout:g} s: a busy Brain answers later, and each answer that comes too late is an "
            "event that is sent twice or lost",
            f"set OTAS_REQUEST_TIMEOUT to {SLOWEST_ANSWER:g} or more; it delays no request of the application's",
        )
    yield from _proxy(settings)


def _django_settings(subject: Subject) -> Iterator[Check]:
    named = subject.source.environ_django_settings
    framework = (subject.framework or "").partition(" ")[0]
    if not named or framework == "Django" or subject.source.target == named:
        return
    read = f"{subject.source} was read" if subject.source.target else "no application is named"
    yield Check(
        "django_settings",
        "warning",
        f"DJANGO_SETTINGS_MODULE is {named}, and {read}: OTAS in those settings plays no part in this",
        f"otas-middleware doctor --django {named}, if that is what is served",
    )


def _proxy(settings: OtasSettings) -> Iterator[Check]:
    parts = urlsplit(settings.brain_url)
    host = parts.hostname or ""
    proxies = getproxies_environment()
    scheme = next((name for name in (parts.scheme, "all") if proxies.get(name)), None)
    if scheme is None or host in _LOOPBACK or proxy_bypass(host):
        return
    names = (f"{scheme}_proxy", f"{scheme.upper()}_PROXY")
    variable = next((name for name in names if os.environ.get(name)), names[1])
    if settings.transport in _USES_PROXIES:
        yield Check(
            "proxy", "ok", f"events go through the proxy that {variable} names (transport={settings.transport})"
        )
        return
    yield Check(
        "proxy",
        "warning",
        f"{variable} is set, and events do not go through that proxy (transport={settings.transport})",
        "set OTAS_TRANSPORT=httpx if Brain can be reached only through it, else name Brain's host in NO_PROXY",
    )
