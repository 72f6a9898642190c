"""Which versions are tested together."""

from __future__ import annotations

from dataclasses import dataclass

SERVERS_SMALL = ("tests/servers", "-m", "small or not slow")
SERVERS_ALL = ("tests/servers", "tests/memory", "-m", "slow or not slow")
CONTRACT = ("tests/contract", "tests/adapters")
SHARED = (
    "tests/core/test_session.py",
    "tests/core/test_select.py",
    "tests/core/test_budgets.py",
    "tests/delivery/test_account.py",
    "tests/delivery/test_own_faults.py",
    "tests/delivery/test_receipts.py",
    "tests/delivery/test_turns.py",
)
"""What threads share: gate, selection, queue, senders."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment and what runs in it.

    Attributes:
        name: Its name, for people and for its folder.
        python: The interpreter's version; with a `t` one without a global lock.
        pins: What is installed in place of the newest versions.
        without: What is taken out again.
        servers: Whether all servers are looked at, or only the most used ones.
        prereleases: What is brought to its newest version, pre-releases included.
        extras: What is installed of the package.
        group: What is installed for the tests.
    """

    name: str
    python: str
    pins: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    servers: bool = False
    prereleases: tuple[str, ...] = ()
    extras: str = "all"
    group: str = "matrix"

    @property
    def free_threaded(self) -> bool:
        """Whether its interpreter has no global lock."""
        return self.python.endswith("t")

    @property
    def runs(self) -> tuple[tuple[str, ...], ...]:
        """The arguments of pytest, one tuple for each of its runs."""
        if self.prereleases:
            return (CONTRACT,)
        if self.free_threaded:
            return (CONTRACT, SHARED)
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
    Environment(  # some extensions bring the lock back, or are not built for it: what is tested is our own code
        "3.14-free-threaded",
        "3.14t",
        extras="django,flask,brain,verify,encryption,celery,compression,prometheus,relay",
        group="test",
    ),
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
