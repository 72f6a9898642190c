"""Checks of the set-up in this process: versions, the application, its settings, the place of the middleware."""

from __future__ import annotations

import platform
import re
import sys
from typing import TYPE_CHECKING

from pydantic import SecretStr

from otas_middleware._cli.application.find import installed, is_a
from otas_middleware._cli.application.load import ApplicationError
from otas_middleware._cli.doctor.key import WELL_FORMED
from otas_middleware._cli.doctor.report import Check
from otas_middleware._version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otas_middleware._cli.application import Subject

_OLDEST = {"Django": (4, 2), "Flask": (2, 3), "Starlette": (0, 40)}
_ALWAYS_SHOWN = ("brain_url",)

_INSTALL = {
    "django": 'put "otas_middleware.django.OtasMiddleware" first in MIDDLEWARE',
    "flask": "after `from otas_middleware.flask import Otas`, call Otas(app) where the application is made",
    "asgi": "after `from otas_middleware.asgi import OtasMiddleware`, app.add_middleware(OtasMiddleware) in Starlette "
    "and FastAPI, app = OtasMiddleware(app) elsewhere",
    "wsgi": "after `from otas_middleware.wsgi import OtasMiddleware`, application = OtasMiddleware(application)",
}


def check_set_up(subject: Subject) -> Iterator[Check]:
    """Check what can be seen without a network."""
    yield _versions(subject)
    if subject.source.target:
        yield _application(subject)
    if isinstance(subject.error, ApplicationError):
        return
    yield _settings(subject)
    yield _middleware(subject)


def _versions(subject: Subject) -> Check:
    client = "httpx2" if installed("httpx2") != "?" else "httpx"
    versions = {
        "otas-middleware": __version__,
        "Python": platform.python_version(),
        "pydantic": installed("pydantic"),
        client: installed(client),
    }
    if subject.framework is not None:
        framework, _, version = subject.framework.partition(" ")
        versions[framework] = version
    text = ", ".join(f"{name} {version}" for name, version in versions.items())
    for name, oldest in _OLDEST.items():
        if name in versions and _numbers(versions[name]) < oldest:
            wanted = ".".join(map(str, oldest))
            return Check("versions", "failed", text, f"update {name} to {wanted} or later", data=versions)
    return Check("versions", "ok", text, data=versions)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2]) or (sys.maxsize,)


def _application(subject: Subject) -> Check:
    if isinstance(subject.error, ApplicationError):
        return Check("application", "failed", subject.error.problem, subject.error.fix)
    what = "the project's settings are loaded" if subject.source.kind == "django" else "it is loaded"
    return Check("application", "ok", f"{subject.source.target}: {what}")


def _settings(subject: Subject) -> Check:
    settings = subject.settings
    if settings is None:
        lines = str(subject.error).removeprefix("otas_middleware: ").split("\n")
        return Check("settings", "failed", lines[0], "correct it; the README lists all settings", tuple(lines[1:]))
    shown = {name: where for name, where in subject.origins.items() if name in type(settings).model_fields}
    for name in _ALWAYS_SHOWN:
        shown.setdefault(name, "default")
    if not settings.enabled:
        where = subject.origins.get("enabled", "the environment")
        return Check(
            "settings",
            "failed",
            f"recording is switched off (`enabled` is false, from {where})",
            "take that out, or set OTAS_ENABLED=1",
        )
    values = {name: masked(getattr(settings, name)) for name in shown}
    width = max(map(len, shown))
    details = tuple(f"{name:<{width}}  {values[name]}  ({where})" for name, where in shown.items())
    data = {name: {"value": values[name], "from": where} for name, where in shown.items()}
    return Check(
        "settings",
        "ok",
        f"{len(subject.origins) or 'none'} set; read from {subject.source}",
        details=details,
        data=data,
    )


def masked(value: object) -> str:
    """Return a setting's value as it may be shown: of a secret no more than what tells one key from another."""
    if isinstance(value, SecretStr):
        secret = value.get_secret_value()
        start = f"{secret[:9]}…" if WELL_FORMED.fullmatch(secret) else "…"
        return f"{start} ({len(secret)} characters)"
    if callable(value):
        return f"{getattr(value, '__module__', '')}:{getattr(value, '__qualname__', repr(value))}"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return str(value)


def _middleware(subject: Subject) -> Check:
    placements = list(subject.placements or ())
    if subject.placements is None:
        return Check(
            "middleware",
            "skipped",
            "name the application to have this checked: --django, --flask, --asgi or --wsgi",
        )
    kind, target = subject.source.kind, subject.source.target
    if not placements:
        place = "MIDDLEWARE" if kind == "django" else target
        return Check("middleware", "failed", f"it is not installed in {place}", _INSTALL[kind])
    for placement in placements:
        other = {"asgi": "wsgi", "wsgi": "asgi"}.get(kind, "")
        if is_a(placement.made, f"otas_middleware.{other}.OtasMiddleware"):
            return Check(
                "middleware",
                "failed",
                f"the middleware for {other.upper()} is {placement.where}, which --{kind} says is for {kind.upper()}",
                f"import it from otas_middleware.{kind}, or name the application with --{other}",
            )
    places = [placement.where for placement in placements]
    data = {"places": places, "outer": placements[0].outer}
    if len(placements) > 1:
        return Check(
            "middleware",
            "failed",
            f"it is installed {len(placements)} times: {', '.join(places)}",
            f"keep {places[0]} and take the others out; a request is recorded once, by the outermost",
            data=data,
        )
    outer = placements[0].outer
    if outer and kind == "django":
        return Check(
            "middleware",
            "caution",
            f"{places[0]}, behind {len(outer)} other{'s' if len(outer) > 1 else ''}: what those answer is not recorded",
            "put it first, so that it sees what the client sees",
            tuple(outer),
            data,
        )
    details = tuple(f"inside of {layer}" for layer in outer)
    return Check("middleware", "ok", places[0], details=details, data=data)
