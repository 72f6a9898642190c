"""The application as a Django project: `asgi` with asynchronous views, `wsgi` with synchronous ones."""
