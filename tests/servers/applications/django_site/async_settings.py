"""Settings of the asynchronous project."""

from __future__ import annotations

from servers.applications.django_site import settings as _sync

SECRET_KEY = _sync.SECRET_KEY
ALLOWED_HOSTS = _sync.ALLOWED_HOSTS
MIDDLEWARE = _sync.MIDDLEWARE
DATA_UPLOAD_MAX_MEMORY_SIZE = None
USE_TZ = True
ROOT_URLCONF = "servers.applications.django_site.async_urls"
