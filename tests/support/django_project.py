"""The one Django project of the test process: its settings, and handlers built with and without us.

Settings are configured once, when this module is imported; tests change them by `override_settings`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import django
from django.conf import settings
from django.test import override_settings
from pydantic import SecretStr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from otas_middleware import OtasSettings

OTAS_MIDDLEWARE = "otas_middleware.django.OtasMiddleware"
OTAS_EXCEPTION_MIDDLEWARE = "otas_middleware.django.OtasExceptionMiddleware"

if not settings.configured:
    settings.configure(
        SECRET_KEY="only for tests",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="support.harnesses.django_app",
        MIDDLEWARE=[],
        INSTALLED_APPS=[],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        LOGGING_CONFIG=None,
        REST_FRAMEWORK={"UNAUTHENTICATED_USER": None},
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "OPTIONS": {"loaders": [("django.template.loaders.locmem.Loader", {"page.html": "hello {{ name }}"})]},
            }
        ],
        USE_TZ=True,
    )
    django.setup()


def otas_settings(values: OtasSettings) -> dict[str, Any]:
    """Return settings in the form in which a Django project writes them."""
    spelled: dict[str, Any] = {}
    for name in values.model_fields_set:
        value = getattr(values, name)
        spelled[name.upper()] = value.get_secret_value() if isinstance(value, SecretStr) else value
    return spelled


def make_handler(
    make: Callable[[], Any], values: OtasSettings | None, middleware: Iterable[str] = (), **changes: Any
) -> Any:
    """Return a request handler, its middlewares loaded.

    Args:
        make: `WSGIHandler`, `ASGIHandler` or a function that returns one.
        values: Our settings; without them our middleware is not installed.
        middleware: The other middlewares.
        changes: Other settings that count while the middlewares are loaded.
    """
    stack = [] if values is None else [OTAS_MIDDLEWARE]
    changes["OTAS"] = {} if values is None else otas_settings(values)
    with override_settings(MIDDLEWARE=[*stack, *middleware], **changes):
        return make()
