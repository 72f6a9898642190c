"""The three example applications: what each needs, and how it is served."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otas_middleware._cli.demo.processes import Child, Children

READY_SECONDS = 30.0
_ADDRESS = re.compile(r"(?:running on|Listening at:) (http://127\.0\.0\.1:\d+)")  # uvicorn; gunicorn
_GUNICORN_CONFIG = Path(__file__).with_name("gunicorn_conf.py")

# Variables that would change what the demo's servers do, or point them at somebody's real services.
_FOREIGN = re.compile(
    r"(OTAS|DJANGO|FLASK|GUNICORN|UVICORN|ORDERS|KNOWLEDGE_BASE|HELP_DESK)_.*|(HTTP|HTTPS|ALL)_PROXY|WEB_CONCURRENCY",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Application:
    """One of the examples, and the arguments of the Python that serves it."""

    name: str
    framework: str
    server: str
    """Which server, for people."""
    folder: str
    serve: tuple[str, ...]
    prepare: tuple[str, ...] | None = None
    """What runs once before it is served."""
    environ: Mapping[str, str] = field(default_factory=dict[str, str])
    """Its own settings; `{data}` is the folder that its data go to, `{secrets[NAME]}` one of the demo's secrets."""


ORDERS = Application(
    name="orders",
    framework="FastAPI",
    server="uvicorn",
    folder="fastapi_app",
    serve=("-m", "uvicorn", "orders_api.main:app", "--port", "0", "--timeout-graceful-shutdown", "2"),
    environ={"ORDERS_STEP_SECONDS": "0.1"},
)
KNOWLEDGE_BASE = Application(
    name="knowledge base",
    framework="Flask",
    server="gunicorn, 4 threads",
    folder="flask_app",
    serve=(
        *("-m", "gunicorn", "knowledge_base:create_app()", "--bind", "127.0.0.1:0", "--threads", "4"),
        *("--graceful-timeout", "2", "--config", str(_GUNICORN_CONFIG)),
    ),
    environ={"KNOWLEDGE_BASE_DIR": "{data}", "KNOWLEDGE_BASE_PASSWORD": "{secrets[editor password]}"},
)
HELP_DESK = Application(
    name="help desk",
    framework="Django",
    server="uvicorn",
    folder="django_app",
    serve=("-m", "uvicorn", "help_desk.asgi:application", "--port", "0", "--timeout-graceful-shutdown", "2"),
    prepare=("manage.py", "migrate", "--verbosity", "0"),
    environ={"HELP_DESK_DATABASE": "{data}/help-desk.sqlite3"},
)
APPLICATIONS = (ORDERS, KNOWLEDGE_BASE, HELP_DESK)


def examples_folder() -> Path:
    """Return the folder of the examples: that of the checkout, or the copy that an installed wheel brings along.

    Raises:
        FileNotFoundError: There are neither.
    """
    here = Path(__file__).parent
    for folder in (here.parents[3] / "examples", here / "examples"):
        if all((folder / application.folder).is_dir() for application in APPLICATIONS):
            return folder
    raise FileNotFoundError("the example applications are neither beside `src` nor in the installed package")


def clean_environ() -> dict[str, str]:
    """This process's environment, without what would change the demo: settings of OTAS and servers, and proxies."""
    return {
        **{name: value for name, value in os.environ.items() if not _FOREIGN.fullmatch(name)},
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",  # the checkout stays as it is
    }


class Launcher:
    """Starts applications, each with a folder of its own for its data."""

    def __init__(self, children: Children, examples: Path, data: Path, secrets: Mapping[str, str]) -> None:
        self._children = children
        self._examples = examples
        self._data = data
        self._secrets = secrets

    def prepare(self, application: Application) -> Child | None:
        """Start what must run once before the application is served; None when there is no such thing."""
        if application.prepare is None:
            return None
        return self._start(f"{application.name} set-up", application, application.prepare, {})

    def serve(
        self, application: Application, environ: Mapping[str, str], arguments: tuple[str, ...] | None = None
    ) -> Child:
        """Start an application's server.

        Args:
            application: Which one.
            environ: What is added to the environment, such as `OTAS_SDK_KEY`.
            arguments: Another server than its usual one.
        """
        return self._start(application.name, application, arguments or application.serve, environ)

    def _start(
        self, name: str, application: Application, arguments: tuple[str, ...], environ: Mapping[str, str]
    ) -> Child:
        folder = self._examples / application.folder
        data = self._data / application.folder
        data.mkdir(exist_ok=True)
        own = {key: value.format(data=data, secrets=self._secrets) for key, value in application.environ.items()}
        return self._children.start(name, arguments, {**clean_environ(), **own, **environ}, folder)


def address(server: Child) -> str:
    """Wait until a server is ready, and return its URL: each of them logs the port that the system gave it.

    Raises:
        ProcessError: It ended, or was not ready in time.
    """
    return server.logged(_ADDRESS, READY_SECONDS)[1]
