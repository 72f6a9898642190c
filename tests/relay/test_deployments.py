"""The relay behind the servers that people use: each request is one event, and all of them go by way of the relay."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from servers.catalogue import _GUNICORN, _UVICORN, APPLICATIONS, UWSGI_WITHOUT_THREADS, Server, installed
from servers.process import running
from servers.wire import Call
from support.agent import Agent
from support.brokers import free_port
from support.delivery import eventually
from support.relay import RelayProcess

if TYPE_CHECKING:
    from otas_middleware.localbrain import LocalBrain
    from servers.catalogue import Application
    from servers.process import Running

WSGI = next(found for found in APPLICATIONS if found.framework == "WSGI callable")
WHO_SERVED = replace(WSGI, module="preloaded", attribute="who_served")
STARLETTE = next(found for found in APPLICATIONS if found.framework == "Starlette")
TWO = ("--workers", "2")

SERVED = [
    (Server("gunicorn, sync", ("gunicorn",), "wsgi", (*_GUNICORN, *TWO)), WHO_SERVED),
    (Server("gunicorn, gthread", ("gunicorn",), "wsgi", (*_GUNICORN, *TWO, "--threads", "4")), WHO_SERVED),
    (
        Server("gunicorn, gevent", ("gunicorn", "gevent"), "wsgi", (*_GUNICORN, *TWO, "--worker-class", "gevent")),
        WHO_SERVED,
    ),
    (Server("gunicorn, preload", ("gunicorn",), "wsgi", (*_GUNICORN, *TWO, "--threads", "2", "--preload")), WHO_SERVED),
    (UWSGI_WITHOUT_THREADS, WHO_SERVED),
    (Server("uvicorn, workers", ("uvicorn",), "asgi", (*_UVICORN, *TWO)), STARLETTE),
]


def ask(server: Running, agent: Agent) -> str:
    """Make one request; return the id of the process that served it, where the answer says it."""
    with Call(server.port, "POST", "/echo", [agent.header], [b"hello"], length=5) as call:
        reply = call.reply()
    assert b"hello" in reply.body
    worker = re.search(rb"(?i)x-worker: (\d+)", reply.head)
    return worker[1].decode() if worker else ""


@pytest.mark.parametrize(("server", "application"), SERVED, ids=[server.name for server, _ in SERVED])
def test_each_request_is_one_event_by_way_of_the_relay(
    server: Server, application: Application, brain: LocalBrain, tmp_path: Path
) -> None:
    if missing := [name for name in server.distributions if installed(name) is None]:
        pytest.skip(f"not installed: {', '.join(missing)} (dependency group `matrix`)")
    parent = Agent(brain)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with RelayProcess(tmp_path) as relay:
        environ = {
            "OTAS_SDK_KEY": brain.sdk_key,
            "OTAS_BRAIN_URL": brain.url,
            "OTAS_RELAY": relay.path,
            "WARM_UP_TOKEN": parent.token,
        }
        with running(server, application, scratch, environ) as served, ThreadPoolExecutor(4) as pool:
            agents = [Agent(brain) for _ in range(40)]
            workers = set(pool.map(partial(ask, served), agents[:20]))
            eventually(lambda: all(brain.events(agent.session_id) for agent in agents[:20]), within=30)
            if workers != {""}:
                os.kill(int(min(workers)), signal.SIGKILL)
            list(pool.map(partial(ask, served), agents[20:]))
            eventually(lambda: all(brain.events(agent.session_id) for agent in agents), within=30)
        eventually(lambda: delivered(relay) >= len(agents))  # it counts an event when Brain's answer is read
    assert [len(brain.events(agent.session_id)) for agent in agents] == [1] * len(agents)
    assert len(brain.events(parent.session_id)) <= 3


def delivered(relay: RelayProcess) -> int:
    return sum(tenant["delivered"] for tenant in (relay.state() or {"tenants": ()})["tenants"])


SITE = """
import os, sys
from pathlib import Path
from django.conf import settings
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

settings.configure(
    DEBUG=True, SECRET_KEY="x", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"],
    MIDDLEWARE=["otas_middleware.django.OtasMiddleware"],
)
urlpatterns = [path("<str:name>", lambda request, name: HttpResponse(str(os.getpid())))]
application = get_wsgi_application()
if __name__ == "__main__":
    execute_from_command_line(sys.argv)
"""


def test_djangos_runserver_reloads_and_the_relay_goes_on(brain: LocalBrain, agent: Agent, tmp_path: Path) -> None:
    site = tmp_path / "shop.py"
    site.write_text(SITE)
    port = free_port()

    def call(name: str) -> bytes:
        try:
            with Call(port, "GET", f"/{name}", [agent.header]) as made:
                return made.reply().body
        except (OSError, ValueError, AssertionError):
            return b""

    with RelayProcess(tmp_path) as relay:
        environ = {
            "PATH": os.environ["PATH"],
            "OTAS_SDK_KEY": brain.sdk_key,
            "OTAS_BRAIN_URL": brain.url,
            "OTAS_RELAY": relay.path,
            "DJANGO_SETTINGS_MODULE": "",
        }
        command = [sys.executable, str(site), "runserver", f"127.0.0.1:{port}"]
        with (tmp_path / "log").open("wb") as log:
            server = subprocess.Popen(
                command, env=environ, cwd=tmp_path, stdout=log, stderr=log, start_new_session=True
            )
        try:
            eventually(lambda: call("first"), within=30)
            first = call("before")

            def reloaded() -> bool:
                with site.open("a") as file:  # again and again: the reloader may not have looked at it yet
                    file.write("\n")
                return call("again") not in {b"", first}

            eventually(reloaded, within=60)
            assert call("after") != first
            eventually(
                lambda: (
                    {"/first", "/before", "/after"} <= {str(event["path"]) for event in brain.events(agent.session_id)}
                )
            )
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
        state = relay.state()
    assert state is not None
    assert sum(tenant["dropped"] != {} for tenant in state["tenants"]) == 0


PROGRAM = """
import os, sys
from otas_middleware.wsgi import OtasMiddleware

def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]

app = OtasMiddleware(app)
assert os.getpid() == 1
import otas_middleware, time
number = 0
while number < 40 or otas_middleware.stats()["relay"]["state"] != "connected":
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": f"/{number}", "HTTP_X_OTAS_AGENT_SESSION_TOKEN": sys.argv[1]}
    list(app(environ, lambda *_: None))
    number += 1
    time.sleep(0.01)
for number in range(number, number + 20):
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": f"/{number}", "HTTP_X_OTAS_AGENT_SESSION_TOKEN": sys.argv[1]}
    list(app(environ, lambda *_: None))
print(number + 1)
"""

needs_namespaces = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="making namespaces needs root and unshare"
)


@needs_namespaces
def test_the_first_process_of_a_container_ends_and_nothing_is_lost(
    brain: LocalBrain, agent: Agent, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    environ = {
        "PATH": os.environ["PATH"],
        "OTAS_SDK_KEY": brain.sdk_key,
        "OTAS_BRAIN_URL": brain.url,
        "OTAS_RELAY": "auto",
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
        "OTAS_SHUTDOWN_TIMEOUT": "20",
    }
    command = ["unshare", "--fork", "--pid", "--mount-proc", sys.executable, "-c", PROGRAM, agent.token]
    done = subprocess.run(command, env=environ, check=True, timeout=120, stdout=subprocess.PIPE)
    arrived = [str(event["path"]) for event in brain.events(agent.session_id)]
    assert len(arrived) == len(set(arrived)) == int(done.stdout)


@needs_namespaces
def test_a_side_car_serves_applications_on_a_shared_volume(brain: LocalBrain, agent: Agent, tmp_path: Path) -> None:
    """The relay in namespaces of its own, as in another container of the pod, on a volume that is open to all."""
    volume = tmp_path / "volume"
    volume.mkdir()
    volume.chmod(0o777)
    path = str(volume / "relay.sock")
    program = [sys.executable, "-m", "otas_middleware", "relay", "--socket", path]
    with (tmp_path / "log").open("wb") as log:
        relay = subprocess.Popen(
            ["unshare", "--fork", "--pid", "--mount", "--mount-proc", "--kill-child", *program],
            stdout=log,
            stderr=log,
            env={"PATH": os.environ["PATH"]},
        )
    try:
        eventually(Path(path).exists, within=30)
        environ = {"OTAS_SDK_KEY": brain.sdk_key, "OTAS_BRAIN_URL": brain.url, "OTAS_RELAY": path}
        environ["OTAS_SHUTDOWN_TIMEOUT"] = "20"  # the relay ends at once, as a container does
        command = [sys.executable, "-c", PROGRAM.replace("assert os.getpid() == 1", ""), agent.token]
        done = subprocess.run(command, env=environ, check=True, timeout=60, stdout=subprocess.PIPE)
    finally:
        relay.kill()
        relay.wait()
    arrived = [str(event["path"]) for event in brain.events(agent.session_id)]
    assert len(arrived) == len(set(arrived)) == int(done.stdout)
