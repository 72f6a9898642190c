"""What WSGI servers load."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ["DJANGO_SETTINGS_MODULE"] = "servers.applications.django_site.settings"
application = get_wsgi_application()
