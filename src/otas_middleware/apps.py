"""The Django application, `INSTALLED_APPS = ["otas_middleware", ...]`: system checks, and `manage.py otas`.

It is not needed for recording; that is the middleware's alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, Warning, register  # noqa: A004  # Django's own name for it

from otas_middleware._cli.application.find import DJANGO_ADAPTER, in_django, unread_in_django, wrong_in_django
from otas_middleware._config.sources import FrameworkSettings, load_settings
from otas_middleware._errors import OtasError
from otas_middleware._recorder import has_destination

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIRST = f'put "{DJANGO_ADAPTER}" first in MIDDLEWARE'


class OtasConfig(AppConfig):
    """Registers the checks."""

    name = "otas_middleware"
    verbose_name = "OTAS"

    def ready(self) -> None:
        """Let `manage.py check` judge our settings and our place in MIDDLEWARE."""
        register(check_otas, "otas")


def check_otas(**_: Any) -> list[CheckMessage]:
    """Return what is wrong with the settings and with the place of the middleware."""
    return [*_settings(), *_place()]


def _settings() -> Iterator[CheckMessage]:
    from otas_middleware.django import own_settings  # noqa: PLC0415  # when the checks run, not when apps are loaded

    try:
        settings = load_settings({}, FrameworkSettings(own_settings(), "OTAS[{!r}]"))
    except OtasError as error:
        yield Error(error.problem_and_fix, hint="manage.py otas doctor says more", id="otas_middleware.E001")
        return
    for text, hint in unread_in_django():
        yield Warning(text, hint=hint, id="otas_middleware.W005")
    if settings.enabled and not has_destination(settings):
        hint = "set OTAS_SDK_KEY, or OTAS['SDK_KEY'] in the Django settings, to the project's backend SDK key"
        yield Warning("there is no SDK key, so nothing is recorded", hint=hint, id="otas_middleware.W001")


def _place() -> Iterator[CheckMessage]:
    places = list(in_django())
    wrong = next(filter(None, map(wrong_in_django, places)), None)
    if wrong is not None:
        text, hint = wrong
        yield Error(text, hint=hint, id="otas_middleware.E002")
    elif not places:
        yield Warning(
            "OtasMiddleware is not in MIDDLEWARE, so nothing is recorded", hint=_FIRST, id="otas_middleware.W002"
        )
    elif len(places) > 1:
        where = ", ".join(place.where for place in places)
        yield Warning(
            f"OtasMiddleware is there {len(places)} times: {where}", hint="keep the first", id="otas_middleware.W003"
        )
    elif places[0].outer:
        others = ", ".join(places[0].outer)
        text = f"OtasMiddleware is behind {others}: what those answer is not recorded"
        yield Warning(text, hint=_FIRST, id="otas_middleware.W004")
