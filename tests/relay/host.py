"""A host for the tests of the relay: a middleware around a small application, and the Brain that it sends to."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from otas_middleware import OtasSettings
from otas_middleware._delivery.relay.delivery import RelayDelivery
from otas_middleware._runtime import runtime
from otas_middleware.wsgi import OtasMiddleware
from support.request import Request
from support.wsgi_gateway import call_wsgi

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

    from otas_middleware.localbrain import LocalBrain
    from support.agent import Agent


def respond(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


class Host:
    """One application with settings, and so a recorder and a delivery, of its own."""

    def __init__(self, settings: OtasSettings, agent: Agent, app: Any) -> None:
        self.settings = settings
        self.agent = agent
        self.app = OtasMiddleware(app, settings=settings)
        delivery = runtime.recorders[settings].pipeline
        assert isinstance(delivery, RelayDelivery)
        self.delivery = delivery

    def call(self, path: str = "/orders", body: bytes = b"x" * 100, count: int = 1) -> None:
        """Have so many requests recorded."""
        for number in range(count):
            name = path if count == 1 else f"{path}/{number}"
            request = Request("POST", name, body=(body,) if body else ()).having(self.agent.header)
            assert call_wsgi(self.app, request.environ()).status_code == 200

    def connected(self) -> bool:
        """Have one request recorded, and say whether the host is connected to a relay then."""
        self.call("/until-connected")
        return bool(self.stats()["relay"]["state"] == "connected")

    def stats(self) -> dict[str, Any]:
        return self.delivery.stats()

    @property
    def fell_back(self) -> dict[str, int]:
        reasons: dict[str, int] = self.stats()["relay"]["fell_back"]
        return reasons


@contextlib.contextmanager
def host(brain: LocalBrain, agent: Agent, relay: str, app: Any = respond, **changes: Any) -> Generator[Host]:
    """Give a host with a recorder of its own; what it still has at the end of the block is given up."""
    values: dict[str, Any] = {"sdk_key": brain.sdk_key, "brain_url": brain.url, "max_retry_delay": 0.2}
    settings = OtasSettings(relay=relay, project_id=uuid4(), **{**values, **changes})
    try:
        yield Host(settings, agent, app)
    finally:
        recorder = runtime.recorders.pop(settings, None)
        if recorder is not None:
            recorder.pipeline.close(0.0)


def paths(brain: LocalBrain, agent: Agent) -> list[str]:
    """Return the paths of the agent's events in Brain, sorted, doubles included."""
    return sorted(str(event["path"]) for event in brain.events(agent.session_id))


def relays_in(folder: Path) -> list[int]:
    """The processes that run as relays with a socket in a folder."""
    found: list[int] = []
    for running in Path("/proc").glob("[0-9]*"):
        try:
            command = (running / "cmdline").read_bytes()
        except OSError:
            continue
        if b"bootstrap.py" in command and os.fsencode(folder) in command:
            found.append(int(running.name))
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
