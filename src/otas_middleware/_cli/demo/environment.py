"""Everything that runs during the demo: a local Brain, and the three example applications that report to it."""

from __future__ import annotations

import os
import re
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast
from uuid import UUID

from pydantic import SecretStr

from otas_middleware._cli.demo.processes import Children
from otas_middleware._config.settings import OtasSettings
from otas_middleware.localbrain import LocalBrain

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from otas_middleware._cli.demo.processes import Child, Interruptions

SET_UP_SECONDS = 60.0
_FOR_BACKENDS = ("OTAS_BRAIN_URL", "OTAS_SDK_KEY", "OTAS_AGNOST_ORG_ID", "OTAS_AGNOST_URL")


Event = dict[str, Any]
"""A stored event, as Brain gives it out."""


class AgnostRecord(TypedDict):
    """What the local Brain's Agnost endpoints took."""

    sessions: list[dict[str, Any]]
    events: list[dict[str, Any]]


@dataclass(frozen=True)
class Environment:
    """What was started, and where it is."""

    brain: LocalBrain
    servers: Mapping[str, Child]
    """Application's name → its server."""
    addresses: Mapping[str, str]
    """Application's name → its URL."""
    spool: Path
    """Where events wait that cannot be sent, and where all processes remember which sessions Agnost knows."""

    @property
    def agent_settings(self) -> OtasSettings:
        """The settings of an agent; complete, so that the environment of the demo changes nothing."""
        return OtasSettings(
            agent_key=SecretStr(self.brain.agent_key),
            brain_url=self.brain.url,
            uasam_url=self.brain.url,
            project_domain=tuple(self.addresses.values()),
            agnost_org_id=UUID(self.brain.agnost_org_id),
            agnost_url=self.brain.url,
            spool_dir=self.spool,
        )

    @property
    def agnost(self) -> AgnostRecord:
        """What arrived at Agnost's endpoints."""
        found = {"sessions": self.brain.agnost_sessions(), "events": self.brain.agnost_events()}
        return cast("AgnostRecord", found)

    def lines(self) -> list[str]:
        """Say what runs where."""
        applications = [
            f"  {each.name:<16} {self.addresses[each.name]}  {each.framework} under {each.server}"
            for each in APPLICATIONS
        ]
        return [f"  {'Brain':<16} {self.brain.url}", *applications]

    def warnings(self) -> list[str]:
        """Return what the middleware logged in the applications."""
        return [
            f"{name} logged: {line}"
            for name, server in self.servers.items()
            for line in server.log.read_text(errors="replace").splitlines()
            if line.startswith("otas")
        ]


@contextmanager
def environment_set_up(
    interruptions: Interruptions, folder: Path, secrets: Mapping[str, str]
) -> Generator[Environment]:
    """Start everything, as much as possible at the same time, and stop all of it at the end.

    Args:
        interruptions: Where signals are held back while a child is being started or reaped.
        folder: Where everything is written that is written.
        secrets: What the applications' settings refer to.

    Raises:
        ProcessError: Something did not start.
        FileNotFoundError: The example applications are not there.
    """
    # The last to be entered is the first to be left: the servers still deliver to Brain while they end.
    with LocalBrain(db=folder / "brain.sqlite3") as brain, Children(interruptions, folder) as servers:
        launcher = Launcher(servers, examples_folder(), folder, secrets)
        for preparation in [launcher.prepare(application) for application in APPLICATIONS]:
            if preparation is not None:
                preparation.finished(SET_UP_SECONDS)
        spool = folder / "spool"
        known = brain.environment(agnost=True)
        environ = {name: known[name] for name in _FOR_BACKENDS} | {"OTAS_SPOOL_DIR": str(spool)}
        running = {each.name: launcher.serve(each, environ) for each in APPLICATIONS}
        yield Environment(brain, running, {name: address(server) for name, server in running.items()}, spool)


SETTLE_SECONDS = 0.3
POLL_SECONDS = 0.05


def settled_events(brain: LocalBrain, session_id: str, count: int, timeout: float) -> list[Event]:
    """Wait until `count` events have arrived, at Agnost too, and no further one comes, or the time is up.

    Args:
        brain: Where they arrive.
        session_id: Whose events to return, in the order of their arrival.
        count: How many are expected, of all sessions.
        timeout: The longest wait for them, in seconds.
    """
    deadline = time.monotonic() + timeout
    while min(len(brain.events()), len(brain.agnost_events())) < count and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    time.sleep(SETTLE_SECONDS)  # one event too many would come now
    return cast("list[Event]", brain.events(session_id))


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
