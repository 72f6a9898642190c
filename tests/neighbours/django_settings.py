"""The Django site's settings."""

from __future__ import annotations

import os
from typing import Any

SECRET_KEY = "only for tests"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "django_urls"
INSTALLED_APPS: list[str] = []
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]

match os.environ["SITE_NEIGHBOUR"]:
    case "elastic-apm":
        INSTALLED_APPS.append("elasticapm.contrib.django")
        MIDDLEWARE.insert(0, "elasticapm.contrib.django.middleware.TracingMiddleware")
        ELASTIC_APM: dict[str, Any] = {"SERVICE_NAME": "site", "SERVER_URL": "http://127.0.0.1:9"}
    case "scout-apm":
        INSTALLED_APPS.append("scout_apm.django")
        SCOUT_MONITOR, SCOUT_KEY, SCOUT_NAME, SCOUT_CORE_AGENT_DOWNLOAD = True, "key", "site", False
    case _:
        pass

if os.environ.get("SITE_OURS") == "1":
    MIDDLEWARE.insert(0, "otas_middleware.django.OtasMiddleware")
    MIDDLEWARE.append("otas_middleware.django.OtasExceptionMiddleware")
