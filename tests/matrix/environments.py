"""Which versions are tested together."""

from __future__ import annotations

from dataclasses import dataclass

SERVERS_SMALL = ("tests/servers", "-m", "small or not slow")
SERVERS_ALL = ("tests/servers", "tests/memory", "-m", "slow or not slow")
CONTRACT = ("tests/contract", "tests/adapters")


@dataclass(frozen=True)
class Environment:
    """A virtual environment and what runs in it.

    Attributes:
        name: Its name, for people and for its folder.
        python: The interpreter's version.
        pins: What is installed in place of the newest versions.
        without: What is taken out again.
        servers: Whether all servers are looked at, or only the most used ones.
        prereleases: What is brought to its newest version, pre-releases included.
    """

    name: str
    python: str
    pins: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    servers: bool = False
    prereleases: tuple[str, ...] = ()

    @property
    def runs(self) -> tuple[tuple[str, ...], ...]:
        """The arguments of pytest, one tuple for each of its runs."""
        if self.prereleases:
            return (CONTRACT,)
        return (CONTRACT, SERVERS_ALL if self.servers else SERVERS_SMALL)


_OLD_DJANGO = ("django==4.2.*", "djangorestframework==3.15.*")
_OLD_FLASK = ("flask==2.3.*", "werkzeug==3.0.6")
_OLD_STARLETTE = ("starlette==0.40.*", "fastapi==0.115.2", "python-multipart==0.0.12")
_UWSGI_WITHOUT_THREADS = "pyuwsgi==2.0.26"  # the last one in which threads must be asked for
_NOT_BESIDE_OLD = ("litestar", "quart")
"""Quart needs a newer Flask, Litestar newer packages beside it."""

ENVIRONMENTS = (
    Environment(
        "3.11-oldest", "3.11", (*_OLD_DJANGO, *_OLD_FLASK, *_OLD_STARLETTE, _UWSGI_WITHOUT_THREADS), _NOT_BESIDE_OLD
    ),
    Environment("3.11-newest", "3.11"),
    Environment("3.12-django-5.2", "3.12", ("django==5.2.*",)),
    Environment("3.12-newest", "3.12", servers=True),
    Environment("3.13-newest", "3.13"),
    Environment("3.14-newest", "3.14"),
)

CANARY = Environment(
    "canary",
    "3.12",
    prereleases=(
        "django",
        "starlette",
        "fastapi",
        "flask",
        "werkzeug",
        "httpx",
        "httpx2",
        "pydantic",
        "requests",
        "urllib3",
        "celery",
    ),
)
"""What comes next: run by name only (`make canary`), and in no table."""
