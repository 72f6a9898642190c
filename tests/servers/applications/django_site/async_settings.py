"""Settings of the asynchronous project."""

from __future__ import annotations

from servers.applications.django_site.settings import *  # noqa: F403  # Django's own way to vary settings

ROOT_URLCONF = "servers.applications.django_site.async_urls"
