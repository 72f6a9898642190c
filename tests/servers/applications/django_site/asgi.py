"""What ASGI servers load."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ["DJANGO_SETTINGS_MODULE"] = "servers.applications.django_site.async_settings"
application = get_asgi_application()
