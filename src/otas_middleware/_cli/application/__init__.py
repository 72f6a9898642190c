"""A user's application as a tool sees it: loaded as its server loads it, with our middleware found in it."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import SecretStr

from otas_middleware._cli import without_log
from otas_middleware._cli.application.find import (
    ADAPTERS,
    attribute,
    find,
    framework_of,
    in_django,
    installed,
    is_a,
    is_application,
    protocol_of,
)
from otas_middleware._cli.application.load import (
    ApplicationError,
    import_named,
    importable_here,
    load,
    masked,
    module_of,
    user_code,
)
from otas_middleware._config.settings import OtasSettings
from otas_middleware._config.sources import (
    ENV_PREFIX,
    NO_FRAMEWORK,
    FrameworkSettings,
    env_name,
    gather,
    load_settings,
    unknown_variables,
)
from otas_middleware._errors import ConfigurationError
from otas_middleware._runtime import runtime

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otas_middleware._cli.application.find import Placement

__all__ = ["IN_CODE", "ApplicationError", "Kind", "Source", "Subject", "masked", "read"]


Kind = Literal["environment", "any", "django", "flask", "asgi", "wsgi"]
"""How something is named; `any` is told by what it is found to be."""

IN_CODE = "the code"


@dataclass(frozen=True)
class Source:
    """What the user named: an application, a Django settings module, or nothing but the environment."""

    kind: Kind = "environment"
    target: str = ""
    environ_django_settings: str = field(default_factory=lambda: os.environ.get("DJANGO_SETTINGS_MODULE", ""))
    """The Django settings that the environment names, whether they are used or not."""

    def __str__(self) -> str:
        if self.kind == "any":
            return self.target
        return f"--{self.kind} {self.target}" if self.target else "the environment"


@dataclass(frozen=True)
class Subject:
    """What was found there.

    Attributes:
        source: What the user named.
        framework: Such as `Django 5.2`; None where it is not known.
        settings: What the middleware works with; None when `error` says why not.
        origins: Field name → where its value came from, for the fields that were set.
        placements: Where the middleware is, from the outside to the inside; None where that cannot be known.
        protocol: `asgi` or `wsgi`, by the form of the application; None where it is not known.
        error: What is wrong with the application or with a setting.
    """

    source: Source
    framework: str | None = None
    settings: OtasSettings | None = None
    origins: Mapping[str, str] = field(default_factory=dict[str, str])
    placements: tuple[Placement, ...] | None = None
    protocol: str | None = None
    error: ApplicationError | ConfigurationError | None = None


def read(source: Source) -> Subject:
    """Load what the user named, and read the configuration from it; nothing is sent, and no request is run."""
    try:
        with without_log():
            return _read(source)
    except (ApplicationError, ConfigurationError) as error:
        return Subject(source, error=error)


def _read(source: Source) -> Subject:
    importable_here()  # functions that settings name, too
    if source.kind == "environment":
        return _configured(source)
    if source.kind == "any" and ":" not in source.target and _is_django_project(source.target):
        source = replace(source, kind="django")
    if source.kind == "django":
        return _django(source)
    app = load(source.target)
    if source.kind == "any":
        source = replace(source, kind=_kind_of(source.target, app))
    return replace(_loaded(source, app), protocol=protocol_of(app))


def _is_django_project(target: str) -> bool:
    """Say whether a module alone, or a package, holds what the settings of each Django project do."""
    try:
        settings = vars(import_named(_settings_module(target)))
    except ApplicationError:
        return False
    return "INSTALLED_APPS" in settings or "ROOT_URLCONF" in settings


def _kind_of(target: str, app: object) -> Kind:
    """Return what an application is.

    Raises:
        ApplicationError: It could be either of two.
    """
    if is_a(app, "flask.app.Flask"):
        return "flask"
    protocol = protocol_of(app)
    if protocol is None:
        raise ApplicationError(
            f"{target} is of type {type(app).__qualname__}, whose call tells neither ASGI nor WSGI",
            f"say which it is: --asgi {target}, or --wsgi",
        )
    return "asgi" if protocol == "asgi" else "wsgi"


def _django(source: Source) -> Subject:
    try:
        with user_code(f"the Django settings {source.target} cannot be loaded"):
            os.environ["DJANGO_SETTINGS_MODULE"] = _settings_module(source.target)
            own = _django_settings()
            inside, around = tuple(in_django()), tuple(_around_django())
            placements = (*inside, *around) if inside else around[:1]  # of wsgi.py and asgi.py one is served
    except ModuleNotFoundError:
        raise ApplicationError("Django is not installed", "run this in the application's environment") from None
    return _configured(source, own, framework=f"Django {installed('django')}", placements=placements)


def _settings_module(target: str) -> str:
    """Import the Django settings that a target names and return their module: for a project `shop` `shop.settings`.

    Raises:
        ApplicationError: It is not there, or holds no settings.
    """
    name = module_of(target)
    for each in (name, f"{name}.settings"):
        if any(setting.isupper() for setting in vars(import_named(each))):
            return each
    raise ApplicationError(f"{target} holds no settings", "name the module that does, such as shop.settings")


def _around_django() -> Iterator[Placement]:
    """Find our middleware around the project's own WSGI and ASGI applications, where the settings name them."""
    from django.conf import settings  # noqa: PLC0415  # only for Django's projects

    for name in ("WSGI_APPLICATION", "ASGI_APPLICATION"):
        module, _, variable = str(getattr(settings, name, None) or "").rpartition(".")
        if module:
            try:
                found = find(load(f"{module}:{variable}"), f"{module}:{variable}")
            except ApplicationError:
                continue  # its server will say so; the settings can be judged all the same
            yield from (place for place in found if place.made is not None)


def _django_settings() -> FrameworkSettings:
    from otas_middleware.django import own_settings  # noqa: PLC0415  # Django's projects only

    return FrameworkSettings(own_settings(), "OTAS[{!r}]")


def _loaded(source: Source, app: object) -> Subject:
    if source.kind == "flask" and not is_a(app, "flask.app.Flask"):
        raise ApplicationError(
            f"{source.target} is of type {type(app).__qualname__}, not a Flask application",
            "name the variable that holds it, or the factory as module:create_app()",
        )
    if not callable(app):
        raise ApplicationError(
            f"{source.target} is of type {type(app).__qualname__}, which cannot be called",
            "name the variable that the server is given",
        )
    if not is_application(app):
        raise ApplicationError(
            f"{source.target} is a function that takes neither ASGI's three arguments nor WSGI's two",
            f"name what it makes: {source.target}()",
        )
    placements = tuple(find(app, source.target))
    framework = framework_of(app)
    first = placements[0] if placements else None
    if first is not None:
        given = _given_settings(first)
        if given is not None:
            return Subject(source, framework, given, _origins_of(given), placements)
    own = NO_FRAMEWORK
    if is_a(app, "flask.app.Flask") and (first is None or is_a(first.made, "otas_middleware.flask.Otas")):
        own = _flask_settings(app)
    elif first is not None and first.where.startswith("MIDDLEWARE["):
        own = _django_settings()
    subject = _configured(source, own, dict(first.keywords or {}) if first else {}, framework, placements)
    return _off_in_code(subject) if first is not None and is_a(first.made, *ADAPTERS) else subject


def _flask_settings(app: object) -> FrameworkSettings:
    config = cast("Mapping[str, object]", attribute(app, "config"))
    values = {name.removeprefix(ENV_PREFIX): config[name] for name in config if name.startswith(ENV_PREFIX)}
    return FrameworkSettings(values, ENV_PREFIX + "{}")


def _off_in_code(subject: Subject) -> Subject:
    """Set the settings right for an adapter that is off although everything that can be read here says otherwise."""
    settings = subject.settings
    if settings is None or not settings.enabled or settings.sdk_key is None:
        return subject
    without_key = "no_sdk_key" in runtime.off_because and "disabled" not in runtime.off_because
    name, value = ("sdk_key", None) if without_key else ("enabled", False)
    changed = settings.model_copy(update={name: value})
    return replace(subject, settings=changed, origins={**subject.origins, name: IN_CODE})


def _given_settings(placement: Placement) -> OtasSettings | None:
    """Return the complete settings of an adapter: those it works with, or those it was given; None if it has none."""
    keywords = placement.keywords or {}
    for holder, name in ((attribute(placement.made, "_recorder"), "settings"), (placement.made, "_settings")):
        settings = attribute(holder, name)
        if isinstance(settings, OtasSettings):
            return settings
    complete = keywords.get("settings")
    if isinstance(complete, OtasSettings):
        changes: dict[str, Any] = {name: value for name, value in keywords.items() if name != "settings"}
        return complete.replace(**changes) if changes else complete
    return None


def _configured(
    source: Source,
    own: FrameworkSettings = NO_FRAMEWORK,
    keywords: Mapping[str, object] | None = None,
    framework: str | None = None,
    placements: tuple[Placement, ...] | None = None,
) -> Subject:
    keywords = keywords or {}
    try:
        found = gather(keywords, own)
        settings = load_settings(keywords, own)
    except ConfigurationError as error:
        return Subject(source, framework, placements=placements, error=error)
    places = {"django": " in the Django settings", "flask": " in the application's config"}
    origins = {
        name: IN_CODE
        if name in keywords
        else origin.spelling + (places.get(source.kind, "") if name.upper() in own.values else "")
        for name, origin in found.items()
    }
    return Subject(source, framework, settings, origins, placements)


def _origins_of(settings: OtasSettings) -> dict[str, str]:
    """Tell for finished settings where the values came from: a value that the environment has too came from there."""
    origins: dict[str, str] = {}
    for name in settings.model_fields_set:
        text = os.environ.get(env_name(name))
        value: Any = getattr(settings, name)
        if text and _says(name, text, value):
            origins[name] = env_name(name)
        else:
            origins[name] = IN_CODE
    return origins


def _says(name: str, text: str, value: Any) -> bool:
    try:
        other: Any = getattr(OtasSettings(**cast("dict[str, Any]", {name: text})), name)
    except ConfigurationError:
        return False
    if isinstance(value, SecretStr) and isinstance(other, SecretStr):
        return value.get_secret_value() == other.get_secret_value()
    return bool(value == other)


def print_settings(source: Source, *, as_json: bool) -> None:
    """Print every setting, its value, and where that came from; secrets are masked.

    Args:
        source: Where the settings come from.
        as_json: Print one JSON document instead of lines.

    Raises:
        OtasError: The settings cannot be read.
    """
    subject = read(source)
    if subject.error is not None or subject.settings is None:
        raise subject.error or RuntimeError("the settings cannot be read")
    for line in unknown_variables():
        sys.stderr.write(line + "\n")
    listed = {
        name: {"value": _shown(getattr(subject.settings, name)), "from": subject.origins.get(name, "default")}
        for name in type(subject.settings).model_fields
    }
    if as_json:
        sys.stdout.write(json.dumps(listed, ensure_ascii=False, indent=2) + "\n")
        return
    width = max(map(len, listed))
    for name, found in listed.items():
        origin = "" if found["from"] == "default" else f"  ({found['from']})"
        sys.stdout.write(f"{name:<{width}}  {'-' if found['value'] is None else found['value']}{origin}\n")


def _shown(value: object) -> str | None:
    """Return a value as it may be shown, or None for what is not set: nothing, or a list of nothing."""
    return None if value is None or value == () else masked(value)
