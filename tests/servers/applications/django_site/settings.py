"""Settings of the synchronous project."""

from __future__ import annotations

from servers.applications import behaviour

SECRET_KEY = "only for tests"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "servers.applications.django_site.sync_urls"
WSGI_APPLICATION = "servers.applications.django_site.wsgi.application"
DATA_UPLOAD_MAX_MEMORY_SIZE = None
USE_TZ = True
MIDDLEWARE = [] if behaviour.BARE else ["otas_middleware.django.OtasMiddleware"]
