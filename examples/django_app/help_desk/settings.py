"""Settings of the help desk; `HELP_DESK_*` in the environment changes the few that anyone would change."""

import os
import tempfile
from pathlib import Path

from django.core.management.utils import get_random_secret_key

SECRET_KEY = os.environ.get("HELP_DESK_SECRET_KEY") or get_random_secret_key()
DEBUG = os.environ.get("HELP_DESK_DEBUG") == "1"
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

INSTALLED_APPS = ["help_desk"]
MIDDLEWARE = [
    "otas_middleware.django.OtasMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
]
ROOT_URLCONF = "help_desk.urls"
WSGI_APPLICATION = "help_desk.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
    },
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("HELP_DESK_DATABASE") or Path(tempfile.gettempdir()) / "help-desk.sqlite3",
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TIME_ZONE = "UTC"
USE_TZ = True
