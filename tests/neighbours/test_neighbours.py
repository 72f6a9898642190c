"""Beside other monitoring tools: the site starts, answers as without us, and each request is one right event.

Each tool has an environment of its own in `.venv/neighbours`, made the first time (`make neighbours`).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.http1 import fetch
from support.loopback import STARTING, listen
from support.request import Request
from support.scenarios import JSON

if TYPE_CHECKING:
    from collections.abc import Generator

    from otas_middleware.localbrain import LocalBrain
    from support.agent import Agent
    from support.http1 import Answer

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".venv" / "neighbours"
SITE = ("django>=5", "flask[async]", "fastapi", "python-multipart", "gunicorn", "uvicorn")


@dataclass(frozen=True)
class Neighbour:
    """Another monitoring tool.

    Attributes:
        name: Its name.
        packages: What is installed.
        command: What starts the server in its place.
        environment: Its settings; nothing of it leaves the machine.
    """

    name: str
    packages: tuple[str, ...]
    command: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


_CONTRIB = ("django", "flask", "fastapi", "asgi", "wsgi")
NEIGHBOURS = [
    Neighbour("sentry-sdk", ("sentry-sdk",)),
    Neighbour(
        "ddtrace",
        ("ddtrace",),
        ("ddtrace-run",),
        (
            ("DD_TRACE_AGENT_URL", "http://127.0.0.1:9"),
            ("DD_INSTRUMENTATION_TELEMETRY_ENABLED", "false"),
            ("DD_REMOTE_CONFIGURATION_ENABLED", "false"),
            ("DD_APPSEC_ENABLED", "true"),  # it then reads bodies before the application does
        ),
    ),
    Neighbour(
        "newrelic",
        ("newrelic",),
        ("newrelic-admin", "run-program"),
        (
            ("NEW_RELIC_LICENSE_KEY", "0" * 40),
            ("NEW_RELIC_APP_NAME", "site"),
            ("NEW_RELIC_DEVELOPER_MODE", "true"),
            ("NEW_RELIC_CONFIG_FILE", "newrelic.ini"),
        ),
    ),
    Neighbour("opentelemetry", ("opentelemetry-sdk", *(f"opentelemetry-instrumentation-{name}" for name in _CONTRIB))),
    Neighbour("elastic-apm", ("elastic-apm", "starlette"), (), (("ELASTIC_APM_CENTRAL_CONFIG", "false"),)),
    Neighbour("logfire", ("logfire[django,flask,fastapi]",)),
    Neighbour("scout-apm", ("scout-apm",)),
]
HOSTS = ("django-wsgi", "django-asgi", "flask", "fastapi")
ASGI = {"django-asgi", "fastapi"}

ORDER = b'{"item": "tea", "quantity": 2}'
REQUESTS = {
    "get": Request(path="/orders/7"),
    "json": Request("POST", "/echo", headers=(JSON,), body=(ORDER,)),
    "form": Request(
        "POST", "/form", headers=(("Content-Type", "application/x-www-form-urlencoded"),), body=(b"name=Ada&city=Rome",)
    ),
    "stream": Request(path="/stream"),
    "boom": Request(path="/boom"),
    "missing": Request(path="/missing"),
}


@cache
def environment_of(neighbour: Neighbour) -> Path:
    """Make the tool's environment if it is not there; return its folder of programs."""
    folder = FOLDER / neighbour.name
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = hashlib.sha256(repr((neighbour, SITE, project["dependencies"])).encode()).hexdigest()
    mark = folder / "made-of"
    if not mark.exists() or mark.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, *SITE, *neighbour.packages, "--editable", str(ROOT)], check=True)
        mark.write_text(wanted)
    return folder / "bin"


@contextmanager
def serving(neighbour: Neighbour, host: str, brain: LocalBrain, *, ours: bool) -> Generator[int]:
    """Serve the site until the block ends; give its port."""
    programs = environment_of(neighbour)
    with listen() as socket:
        descriptor = socket.fileno()
        server = (
            [str(programs / "uvicorn"), f"--fd={descriptor}", "--log-level=critical"]
            if host in ASGI
            else [str(programs / "gunicorn"), f"--bind=fd://{descriptor}", "--log-level=critical"]
        )
        command = [str(programs / neighbour.command[0]), *neighbour.command[1:]] if neighbour.command else []
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("OTAS_", "PYTHON"))},
            **dict(neighbour.environment),
            "PATH": os.pathsep.join([str(programs), os.environ["PATH"]]),
            "SITE_HOST": host,
            "SITE_NEIGHBOUR": neighbour.name,
            "SITE_OURS": "1" if ours else "0",
            "OTAS_SDK_KEY": brain.sdk_key,
            "OTAS_BRAIN_URL": brain.url,
        }
        process = subprocess.Popen(
            [*command, *server, "neighbour_site:application"],
            env=environment,
            pass_fds=[descriptor],
            cwd=Path(__file__).parent,
        )
        port: int = socket.getsockname()[1]
        try:
            with ThreadPoolExecutor() as pool:  # the socket listens already, and answers when the site has started
                answer = pool.submit(fetch, port, Request(path="/orders/1").wire(), STARTING)
                while not answer.done():
                    if process.poll() is not None:
                        socket.close()
                        raise AssertionError(f"the site with {neighbour.name} did not start")
                    wait([answer], 0.1)
                assert answer.result().status_code == 200
            yield port
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STARTING)
            finally:
                process.kill()
                process.wait()


def comparable(answer: Answer) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return what must be equal: all but the ids of traces, new in each request."""
    headers = [(name.lower(), re.sub(r"[0-9a-f]{16,}", "-", value)) for name, value in answer.headers]
    return answer.status_code, headers, answer.body


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("neighbour", NEIGHBOURS, ids=lambda neighbour: neighbour.name)
def test_beside_another_tool_the_site_answers_as_without_us_and_each_request_is_an_event(
    neighbour: Neighbour, host: str, brain: LocalBrain, agent: Agent
) -> None:
    answers: list[dict[str, Answer]] = []
    for ours in (False, True):
        with serving(neighbour, host, brain, ours=ours) as port:
            asked = {name: request.having(agent.header) for name, request in REQUESTS.items()}
            answers.append({name: fetch(port, request.wire()) for name, request in asked.items()})
            if ours:
                agent.event_from_elsewhere(len(REQUESTS))
    bare, wrapped = answers
    assert {name: comparable(answer) for name, answer in wrapped.items()} == {
        name: comparable(answer) for name, answer in bare.items()
    }
    assert [answer.status_code for answer in bare.values()] == [200, 200, 200, 200, 500, 404]
    events = {event["path"]: event for event in agent.events()}
    assert {path: (event["status_code"], event["error"]) for path, event in events.items()} == {
        "/orders/7": (200, ""),
        "/echo": (200, ""),
        "/form": (200, ""),
        "/stream": (200, ""),
        "/boom": (500, "LookupError: lost"),
        "/missing": (404, "404 Not Found"),
    }
    assert (events["/echo"]["request_body"], events["/echo"]["response_body"]) == (ORDER.decode(), ORDER.decode())
    assert events["/form"]["post_data"] == "name=Ada&city=Rome"
    assert events["/stream"]["response_body"] == "one two three"
    assert events["/orders/7"]["metadata"]["route"] == "/orders/{order_id}"
    assert not any("aborted" in event["metadata"] for event in events.values())
