"""Checks of what can be seen without a network: versions, the application, its settings, middleware and spool.

The check of the spool's directory leaves nothing there: what it made could belong to the wrong user.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import sqlite3
import stat
import sys
import tempfile
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from otas_middleware._cli.application.find import DJANGO_ADAPTER, installed, unread_in_django, wrong_in_django
from otas_middleware._cli.application.load import ApplicationError, masked
from otas_middleware._cli.doctor import LOOPBACK, Check, counted
from otas_middleware._config.sources import unknown_variables
from otas_middleware._version import SETTINGS_URL, __version__

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otas_middleware._cli.application import Subject
    from otas_middleware._cli.application.find import Placement
    from otas_middleware._config.settings import OtasSettings

_OLDEST = {"Django": (4, 2), "Flask": (2, 3), "Starlette": (0, 40)}
_ALWAYS_SHOWN = ("brain_url",)
_PACKING = re.compile("gzip|brotli|compress|zstd|deflate", re.IGNORECASE)

_INSTALL = {
    "django": f'put "{DJANGO_ADAPTER}" first in MIDDLEWARE',
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
    said, protocol = subject.source.kind, subject.protocol
    if protocol is not None and said in {"asgi", "wsgi"} and protocol != said:
        text = (
            f"{subject.source.target} is an application of {protocol.upper()}"
            f"{f' ({subject.framework})' if subject.framework else ''}, and --{said} says {said.upper()}"
        )
        fix = f"name it with --{protocol}, and serve it with a server for {protocol.upper()}"
        return Check("application", "warning", text, fix)
    what = "the project's settings are loaded" if subject.source.kind == "django" else "it is loaded"
    return Check("application", "ok", f"{subject.source.target}: {what}")


def _settings(subject: Subject) -> Check:
    settings = subject.settings
    if settings is None:
        lines = ("" if subject.error is None else subject.error.problem_and_fix).split("\n")
        fix = f"correct it; all settings are explained at {SETTINGS_URL}"
        return Check("settings", "failed", lines[0], fix, tuple(lines[1:]))
    origins = {**dict.fromkeys(_ALWAYS_SHOWN, "default"), **subject.origins}
    shown = {name: origins[name] for name in type(settings).model_fields if name in origins}
    if not settings.enabled:
        where = subject.origins.get("enabled", "the environment")
        text = f"recording is switched off (`enabled` is false, from {where})"
        fix = "take that out, or set OTAS_ENABLED=1"
        return Check("settings", "failed", text, fix)
    values = {name: masked(getattr(settings, name)) for name in shown}
    width = max(map(len, shown))
    details = tuple(f"{name:<{width}}  {values[name]}  ({where})" for name, where in shown.items())
    data = {name: {"value": values[name], "from": where} for name, where in shown.items()}
    unknown = unknown_variables()
    text = f"{len(subject.origins) or 'none'} set; read from {subject.source}"
    fix = f"correct or remove these variables; all settings are explained at {SETTINGS_URL}" if unknown else ""
    return Check("settings", "warning" if unknown else "ok", text, fix, details=(*unknown, *details), data=data)


def _middleware(subject: Subject) -> Check:
    placements = list(subject.placements or ())
    if subject.placements is None:
        text = "name the application to have this checked, as `otas-middleware doctor shop.main:app`"
        if subject.source.target:
            text = "not looked at while the settings are not right"
        return Check("middleware", "skipped", text)
    kind, target = subject.source.kind, subject.source.target
    if not placements:
        place = "MIDDLEWARE" if kind == "django" else target
        return Check("middleware", "failed", f"it is not installed in {place}", _INSTALL[kind])
    protocol = subject.protocol or {"asgi": "asgi", "wsgi": "wsgi", "flask": "wsgi"}.get(kind)
    misplaced = next(filter(None, (_misplaced(placement, protocol) for placement in placements)), None)
    if misplaced is not None:
        return Check("middleware", "failed", *misplaced)
    places = [placement.where for placement in placements]
    data = {"places": places, "outer": placements[0].outer}
    if len(placements) > 1:
        text = f"it is installed {len(placements)} times: {', '.join(places)}"
        fix = f"keep {places[0]} and take the others out; a request is recorded once, by the outermost"
        return Check("middleware", "failed", text, fix, data=data)
    outer = placements[0].outer
    concern = placements[0].concern or _concern(kind, outer)
    details = tuple(outer) if kind == "django" else tuple(f"inside of {layer}" for layer in outer)
    if concern is not None:
        return Check("middleware", "warning", f"{places[0]}: {concern[0]}", concern[1], details, data)
    return Check("middleware", "ok", places[0], details=details, data=data)


def _misplaced(placement: Placement, protocol: str | None) -> tuple[str, str] | None:
    """Say where an adapter stands that is made for something else, and what to do; None for one in its place."""
    wrong = wrong_in_django(placement)
    if wrong is not None:
        return wrong
    if protocol is not None and placement.adapter in {"asgi", "wsgi"} and placement.adapter != protocol:
        text = f"the middleware for {placement.adapter.upper()} is {placement.where}, which is for {protocol.upper()}"
        return text, f"import it from otas_middleware.{protocol}"
    return None


def _concern(kind: str, outer: tuple[str, ...]) -> tuple[str, str] | None:
    """Say what is wrong with standing inside of these layers, and what to do; None when nothing is."""
    if outer and kind == "django":
        others = f"{len(outer)} other{'s' if len(outer) > 1 else ''}"
        return (
            f"it is behind {others}: what those answer is not recorded",
            "put it first, so that it sees what the client sees",
        )
    packing = next((layer for layer in outer if _PACKING.search(layer)), None)
    if packing is not None:
        return (
            f"it is inside of {packing}: sizes and headers are those before compression, not those that the client got",
            f"add it after {packing} (the last one that is added is the outermost), or wrap the application in it",
        )
    return None


SLOWEST_ANSWER = 10.0
"""Seconds: a busy Brain takes one to four for an event, and an event that is given up on may be stored all the same."""

_USES_PROXIES = {"httpx"}


def check_surroundings(subject: Subject, settings: OtasSettings) -> Iterator[Check]:
    """Yield a check for each thing that needs attention; nothing where all is as it should be."""
    yield from _django_settings(subject)
    if subject.source.kind == "django":
        for text, fix in unread_in_django():
            yield Check("unread_settings", "warning", text, fix)
            break  # the others are to be mended in the same way
    if settings.request_timeout < SLOWEST_ANSWER:
        text = (
            f"{settings.request_timeout:g} s: a busy Brain answers later, and each answer that comes too late is an "
            "event that is sent twice or lost"
        )
        fix = f"set OTAS_REQUEST_TIMEOUT to {SLOWEST_ANSWER:g} or more; it delays no request of the application's"
        yield Check("request_timeout", "warning", text, fix)
    if settings.shutdown_timeout == 0 and settings.spool_dir is None and settings.relay is None:
        text = "0 s: what waits in memory when a process ends is lost"
        fix = "set OTAS_SHUTDOWN_TIMEOUT to 2, or OTAS_SPOOL_DIR"
        yield Check("shutdown_timeout", "warning", text, fix)
    yield from _proxy(settings)
    if find_spec("multipart") is None:
        text = "the package `multipart` is not installed: uploads are recorded without their parts"
        fix = "pip install 'multipart>=2'; it may stand beside python-multipart, whatever FastAPI says"
        yield Check("multipart", "warning", text, fix)


def _django_settings(subject: Subject) -> Iterator[Check]:
    named = subject.source.environ_django_settings
    framework = (subject.framework or "").partition(" ")[0]
    if not named or framework == "Django" or subject.source.target == named:
        return
    read = f"{subject.source} was read" if subject.source.target else "no application is named"
    text = f"DJANGO_SETTINGS_MODULE is {named}, and {read}: OTAS in those settings plays no part in this"
    fix = f"otas-middleware doctor {named}, if that is what is served"
    yield Check("django_settings", "warning", text, fix)


def _proxy(settings: OtasSettings) -> Iterator[Check]:
    parts = urlsplit(settings.brain_url)
    host = parts.hostname or ""
    proxies = getproxies_environment()
    scheme = next((name for name in (parts.scheme, "all") if proxies.get(name)), None)
    if scheme is None or host in LOOPBACK or proxy_bypass(host):
        return
    names = (f"{scheme}_proxy", f"{scheme.upper()}_PROXY")
    variable = next((name for name in names if os.environ.get(name)), names[1])
    if settings.transport in _USES_PROXIES:
        yield Check(
            "proxy", "ok", f"events go through the proxy that {variable} names (transport={settings.transport})"
        )
        return
    text = f"{variable} is set, and events do not go through that proxy (transport={settings.transport})"
    fix = "set OTAS_TRANSPORT=httpx if Brain can be reached only through it, else name Brain's host in NO_PROXY"
    yield Check("proxy", "warning", text, fix)


_LEAST_ROOM = 65_536
_NO_DIRECTORY = "it is not a directory"
_OTHER_FILES = "holds other files"


def check_spool(settings: OtasSettings) -> Check:
    """Check that the spool's directory is there or can be made, is ours alone, and has room; leaves nothing behind."""
    directory = settings.spool_dir
    if directory is None:
        return Check(
            "spool", "skipped", "not configured: what waits in memory is lost with the process (OTAS_SPOOL_DIR)"
        )
    directory = directory.absolute()
    who = _user()
    try:
        problem = _directory_problem(directory) if directory.exists() else _parent_problem(directory)
    except OSError as error:
        problem = f"it cannot be looked at ({error.strerror})"
    if problem is not None:
        fix = (
            f"run this as the application's user; then: mkdir -p {directory} && chown {who} {directory} && "
            f"chmod 700 {directory}, or point OTAS_SPOOL_DIR elsewhere"
        )
        if _nearest(directory).is_file() or problem.endswith((_NO_DIRECTORY, _OTHER_FILES)):
            fix = "set OTAS_SPOOL_DIR to a directory of its own, such as /var/lib/otas"  # /tmp stays as it is
        return Check("spool", "failed", f"{directory} is not usable for {who}: {problem}", fix)
    details = list(_spool_remarks(directory, settings))
    free, wanted = shutil.disk_usage(_nearest(directory)).free, settings.spool_max_bytes
    events, unusable = _backlog(directory) if directory.exists() else (0, [])
    data = {"directory": str(directory), "events": events}
    text = f"{directory} is writable for {who}; {counted(events, 'event waits', 'events wait')} in it"
    if unusable:
        fix = "keep them if their events matter, and delete them otherwise; a new file takes their place by itself"
        return Check("spool", "warning", f"{text}; not usable: {', '.join(unusable)}", fix, tuple(details), data)
    if free < wanted:
        mebibytes = f"{free // 1_048_576:,} MiB are free, and the spool may grow to {wanted // 1_048_576:,} MiB"
        fix = f"make room, or set OTAS_SPOOL_MAX_BYTES to at most {free // 2}"
        return Check("spool", "warning", f"{text}; only {mebibytes}", fix, tuple(details), data)
    return Check("spool", "ok", text, details=tuple(details), data=data)


def _directory_problem(directory: Path) -> str | None:
    found = directory.stat()
    if not stat.S_ISDIR(found.st_mode):
        return _NO_DIRECTORY
    if hasattr(os, "geteuid"):
        if found.st_uid != os.geteuid():
            return f"it belongs to another user (uid {found.st_uid})"
        others = [entry.name for entry in directory.iterdir() if not entry.name.startswith("otas-")]
        if stat.S_IMODE(found.st_mode) & 0o077 and others:
            return f"it is open to other users (mode {stat.S_IMODE(found.st_mode):o}) and {_OTHER_FILES}"
    try:
        with tempfile.TemporaryFile(dir=directory, prefix="otas-doctor-") as file:
            file.write(bytes(_LEAST_ROOM))
            file.flush()
            return None
    except OSError as error:
        return f"no file can be written in it ({error.strerror})"


def _parent_problem(directory: Path) -> str | None:
    """Say why a directory that is not there yet could not be made."""
    parent = _nearest(directory)
    if not parent.is_dir():
        return f"it cannot be made, since {parent} is not a directory"
    try:
        with tempfile.TemporaryDirectory(dir=parent, prefix="otas-doctor-"):
            return None
    except OSError as error:  # tried, for root has every right and still cannot write everywhere
        return f"it does not exist and cannot be made in {parent} ({error.strerror})"


def _nearest(directory: Path) -> Path:
    """Return the directory, or the nearest one above it that exists."""
    return next(each for each in (directory.absolute(), *directory.absolute().parents) if each.exists())


def _spool_remarks(directory: Path, settings: OtasSettings) -> Iterator[str]:
    if not directory.exists():
        yield "it does not exist yet; it is made when the first event goes there"
    if settings.spool_key is None:
        yield "session tokens lie in it as they are; OTAS_SPOOL_KEY encrypts them"
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        yield "this runs as root, who may write anywhere; run it as the application's user"


def _backlog(directory: Path) -> tuple[int, list[str]]:
    """Count the events in the spool's files, reading only; return them and the names of files that cannot be used."""
    events = 0
    unusable = [path.name for path in directory.glob("otas-*.sqlite3.*") if not path.name.endswith(("-wal", "-shm"))]
    for path in directory.glob("otas-*.sqlite3"):
        try:
            with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1.0)) as connection:
                events += connection.execute("SELECT count(*) FROM event").fetchone()[0]
        except sqlite3.Error:
            unusable.append(path.name)
    return events, sorted(unusable)


def _user() -> str:
    try:
        import pwd  # noqa: PLC0415  # not on Windows

        return pwd.getpwuid(os.geteuid()).pw_name
    except (ImportError, KeyError):
        return os.environ.get("USERNAME", "this user")
