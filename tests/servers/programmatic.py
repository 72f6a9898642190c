"""Servers and bridges that are started by a few lines of Python: `python -m servers.programmatic NAME TARGET PORT`."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

HOST = "127.0.0.1"


def cheroot(app: Any, port: int) -> None:
    server = import_module("cheroot.wsgi").Server((HOST, port), app)
    try:
        server.start()
    finally:
        server.stop()


def bjoern(app: Any, port: int) -> None:
    import_module("bjoern").run(app, HOST, port)


def gevent(app: Any, port: int) -> None:
    import_module("gevent.pywsgi").WSGIServer((HOST, port), app, log=None).serve_forever()


def asgiref(app: Any, port: int) -> None:
    import uvicorn
    from asgiref.wsgi import WsgiToAsgi

    bridge: Any = WsgiToAsgi
    uvicorn.run(bridge(app), host=HOST, port=port, access_log=False)


def a2wsgi(app: Any, port: int) -> None:
    import uvicorn

    uvicorn.run(import_module("a2wsgi").WSGIMiddleware(app), host=HOST, port=port, access_log=False)


def a2wsgi_asgi(app: Any, port: int) -> None:
    """Serve an ASGI application by a WSGI server."""
    import_module("waitress").serve(import_module("a2wsgi").ASGIMiddleware(app), host=HOST, port=port)


SERVERS = (cheroot, bjoern, gevent, asgiref, a2wsgi, a2wsgi_asgi)


def main() -> None:
    """Load what is named, and serve it."""
    name, target, port = sys.argv[1:]
    module, _, attribute = target.partition(":")
    app = getattr(import_module(module), attribute)
    next(each for each in SERVERS if each.__name__ == name)(app, int(port))


if __name__ == "__main__":
    main()
