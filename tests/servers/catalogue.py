"""Which servers there are, how each is started, which applications there are, and which go together."""

from __future__ import annotations

import sys
import sysconfig
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

SCRIPTS = Path(sysconfig.get_path("scripts"))
_PACKAGE = "servers.applications"

Interface = Literal["asgi", "wsgi"]


@dataclass(frozen=True)
class Application:
    """The application in one framework.

    Attributes:
        framework: The framework's name, for people.
        distribution: What must be installed for it; None when nothing.
        interface: Which kind of server can run it.
        module: The module that holds it.
        trio: Whether it can run on trio.
        takes_chunks: Whether it reads bodies that come without a length.
        attribute: The name that it has in its module.
    """

    framework: str
    distribution: str | None
    interface: Interface
    module: str
    trio: bool = False
    takes_chunks: bool = True
    attribute: str = "application"

    @property
    def target(self) -> str:
        """How servers are told what to load."""
        return f"{_PACKAGE}.{self.module}:{self.attribute}"


@dataclass(frozen=True)
class Server:
    """A server, in one of the ways in which it is used.

    Attributes:
        name: Its name, for people.
        distributions: What must be installed for it; the first one's version is the server's.
        interface: What it runs.
        arguments: Its command line after the interpreter's folder of scripts; `{target}` and `{port}` are
            filled in.
        only: The only framework that it can run, if it is that framework's own server.
        trio: Whether its applications run on trio.
        by_signal: The signal by which its users stop it.
        takes_chunks: Whether it reads bodies that come without a length.
        cancels: Whether it cancels applications whose client has gone, and tells those that ask only.
    """

    name: str
    distributions: tuple[str, ...]
    interface: Interface
    arguments: tuple[str, ...]
    only: str | None = None
    trio: bool = False
    by_signal: Literal["SIGTERM", "SIGINT"] = "SIGTERM"
    takes_chunks: bool = True
    cancels: bool = False

    def command(self, application: Application, port: int) -> list[str]:
        """Return the command that serves an application on a port of the loopback address."""
        program, *arguments = (
            argument.format(target=application.target, dotted=application.target.replace(":", "."), port=port)
            for argument in self.arguments
        )
        return [sys.executable if program == "python" else str(SCRIPTS / program), *arguments]


@dataclass(frozen=True)
class Combination:
    """A server that runs an application."""

    server: Server
    application: Application

    def __str__(self) -> str:
        return f"{self.server.name} / {self.application.framework}"

    def missing(self) -> list[str]:
        """Return the distributions that it needs and that are not installed."""
        needed = [*self.server.distributions, *filter(None, [self.application.distribution])]
        return [name for name in needed if installed(name) is None]


def installed(distribution: str) -> str | None:
    """Return the version of a distribution, or None when it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


APPLICATIONS = (
    Application("ASGI callable", None, "asgi", "raw_asgi", trio=True),
    Application("Starlette", "starlette", "asgi", "on_starlette", trio=True),
    Application("FastAPI", "fastapi", "asgi", "on_fastapi", trio=True),
    Application("Django (async)", "django", "asgi", "django_site.asgi"),
    Application("Litestar", "litestar", "asgi", "on_litestar", trio=True),
    Application("Quart", "quart", "asgi", "on_quart"),
    Application("Falcon (ASGI)", "falcon", "asgi", "on_falcon_asgi"),
    Application("WSGI callable", None, "wsgi", "raw_wsgi"),
    Application("Flask", "flask", "wsgi", "on_flask"),
    Application("Django (sync)", "django", "wsgi", "django_site.wsgi", takes_chunks=False),
    Application("Falcon (WSGI)", "falcon", "wsgi", "on_falcon_wsgi", takes_chunks=False),
    Application("Bottle", "bottle", "wsgi", "on_bottle", takes_chunks=False),
    Application("Pyramid", "pyramid", "wsgi", "on_pyramid"),
)

_UVICORN = ("uvicorn", "{target}", "--host", "127.0.0.1", "--port", "{port}", "--no-access-log")
_HYPERCORN = ("hypercorn", "{target}", "--bind", "127.0.0.1:{port}")
_GRANIAN = ("granian", "{target}", "--host", "127.0.0.1", "--port", "{port}", "--no-access-log")
_GUNICORN = ("gunicorn", "{target}", "--bind", "127.0.0.1:{port}")
_UWSGI = (
    *("uwsgi", "--http-socket", "127.0.0.1:{port}", "--module", "{target}", "--master", "--need-app"),
    *("--processes", "2", "--die-on-term", "--disable-logging"),
)


def _own(name: str, distributions: tuple[str, ...], start: str, **more: Any) -> Server:
    """Return a server that is started by a few lines of Python (`programmatic`)."""
    interface: Interface = more.pop("interface", "wsgi")
    arguments = ("python", "-m", "servers.programmatic", start, "{target}", "{port}")
    return Server(name, distributions, interface, arguments, **more)


SERVERS = (
    Server("uvicorn, h11", ("uvicorn", "h11"), "asgi", (*_UVICORN, "--http", "h11")),
    Server("uvicorn, httptools", ("uvicorn", "httptools"), "asgi", (*_UVICORN, "--http", "httptools")),
    Server("hypercorn, asyncio", ("hypercorn",), "asgi", (*_HYPERCORN, "--worker-class", "asyncio")),
    Server("hypercorn, trio", ("hypercorn", "trio"), "asgi", (*_HYPERCORN, "--worker-class", "trio"), trio=True),
    Server("granian, ASGI", ("granian",), "asgi", (*_GRANIAN, "--interface", "asgi")),
    Server("daphne", ("daphne",), "asgi", ("daphne", "-b", "127.0.0.1", "-p", "{port}", "{target}")),
    Server(
        "gunicorn, uvicorn worker",
        ("gunicorn", "uvicorn-worker"),
        "asgi",
        (*_GUNICORN, "--worker-class", "uvicorn_worker.UvicornWorker"),
    ),
    Server("gunicorn, sync", ("gunicorn",), "wsgi", (*_GUNICORN, "--worker-class", "sync")),
    Server("gunicorn, gthread", ("gunicorn",), "wsgi", (*_GUNICORN, "--worker-class", "gthread", "--threads", "4")),
    Server("gunicorn, gevent", ("gunicorn", "gevent"), "wsgi", (*_GUNICORN, "--worker-class", "gevent")),
    Server(
        "gunicorn, preload",
        ("gunicorn",),
        "wsgi",
        (*_GUNICORN, "--workers", "2", "--threads", "2", "--preload"),
    ),
    Server("granian, WSGI", ("granian",), "wsgi", (*_GRANIAN, "--interface", "wsgi")),
    Server("waitress", ("waitress",), "wsgi", ("waitress-serve", "--listen", "127.0.0.1:{port}", "{target}")),
    Server("uWSGI, prefork", ("pyuwsgi",), "wsgi", (*_UWSGI, "--enable-threads"), takes_chunks=False),
    Server("uWSGI, threads", ("pyuwsgi",), "wsgi", (*_UWSGI, "--threads", "2"), takes_chunks=False),
    Server("uWSGI, lazy apps", ("pyuwsgi",), "wsgi", (*_UWSGI, "--enable-threads", "--lazy-apps"), takes_chunks=False),
    Server("uWSGI, gevent", ("pyuwsgi", "gevent"), "wsgi", (*_UWSGI, "--gevent", "20"), takes_chunks=False),
    Server(
        "werkzeug (flask run)",
        ("werkzeug",),
        "wsgi",
        ("flask", "--app", "{target}", "run", "--host", "127.0.0.1", "--port", "{port}"),
        only="Flask",
        by_signal="SIGINT",
    ),
    Server(
        "Django (runserver)",
        ("django",),
        "wsgi",
        ("python", "-m", f"{_PACKAGE}.django_site.manage", "runserver", "--noreload", "127.0.0.1:{port}"),
        only="Django (sync)",
        by_signal="SIGINT",
    ),
    _own("cheroot", ("cheroot",), "cheroot", by_signal="SIGINT"),
    _own("gevent.pywsgi", ("gevent",), "gevent", by_signal="SIGINT"),
    _own("bjoern", ("bjoern",), "bjoern", by_signal="SIGINT"),
    Server(
        "Twisted (twist web)",
        ("twisted",),
        "wsgi",
        ("python", "-m", "twisted", "web", "--listen", "tcp:{port}:interface=127.0.0.1", "--wsgi", "{dotted}"),
        takes_chunks=False,
    ),
    Server(
        "pyvoy, WSGI",
        ("pyvoy",),
        "wsgi",
        ("pyvoy", "--interface", "wsgi", "--address", "127.0.0.1", "--port", "{port}", "{target}"),
        takes_chunks=False,
    ),
    Server("gunicorn, asgi worker", ("gunicorn",), "asgi", (*_GUNICORN, "--worker-class", "asgi"), cancels=True),
    Server(
        "hypercorn, WSGI",
        ("hypercorn",),
        "wsgi",
        ("hypercorn", "wsgi:{target}", "--bind", "127.0.0.1:{port}"),
        takes_chunks=False,
    ),
    _own("asgiref WsgiToAsgi, uvicorn", ("asgiref", "uvicorn"), "asgiref", takes_chunks=False),
    _own("a2wsgi, uvicorn", ("a2wsgi", "uvicorn"), "a2wsgi", takes_chunks=False),
    _own("a2wsgi, waitress", ("a2wsgi", "waitress"), "a2wsgi_asgi", interface="asgi"),
)


UWSGI_WITHOUT_THREADS = Server("uWSGI, no threads", ("pyuwsgi",), "wsgi", _UWSGI, takes_chunks=False)
"""Not among the others: events are delivered when it stops, so what is checked of it is different."""


def combinations() -> list[Combination]:
    """Return every server with every application that it can run."""
    return [
        Combination(server, application)
        for server in SERVERS
        for application in APPLICATIONS
        if server.interface == application.interface
        and server.only in {None, application.framework}
        and (application.trio or not server.trio)
    ]


def combination(server: str, framework: str) -> Combination:
    """Return the combination of these names.

    Raises:
        LookupError: There is none.
    """
    for found in combinations():
        if (found.server.name, found.application.framework) == (server, framework):
            return found
    raise LookupError(f"{server} / {framework}")
