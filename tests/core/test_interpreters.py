"""However strict the interpreter, and wherever the package lies, a request is recorded; applications are copied."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import pytest

import otas_middleware
from otas_middleware.asgi import OtasMiddleware as OtasAsgi
from otas_middleware.wsgi import OtasMiddleware as OtasWsgi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from otas_middleware import OtasSettings
    from otas_middleware.localbrain import LocalBrain
    from support.agent import Agent

PACKAGE = Path(otas_middleware.__file__).parent
PROGRAM = """
import io, json, sys
sys.path[:0] = json.loads(sys.argv[1])
import otas_middleware
from otas_middleware.wsgi import OtasMiddleware

def application(environ, start_response):
    environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", "2")])
    return [b"{}"]

body = b'{"jsonrpc": "2.0", "id": 1, "method": "add"}'
environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/rpc", "wsgi.input": io.BytesIO(body), "wsgi.version": (1, 0),
           "CONTENT_TYPE": "application/json", "HTTP_X_OTAS_AGENT_SESSION_TOKEN": sys.argv[2]}
wrapped = OtasMiddleware(application, sdk_key=sys.argv[3], brain_url=sys.argv[4], spool_dir=sys.argv[5])
wrapped(environ, lambda *_: None)
arrived = otas_middleware.flush(30)  # no assertion, which `-O` leaves out
print(json.dumps([otas_middleware.__file__, otas_middleware.stats(), arrived]))
"""


EVERYTHING = """
import importlib, pkgutil, sys
import otas_middleware

for module in pkgutil.walk_packages(otas_middleware.__path__, "otas_middleware."):
    if module.name.rpartition(".")[2] not in {"__main__", "bootstrap"}:
        importlib.import_module(module.name)
"""
STRICT = ("-bb", "-X", "warn_default_encoding")


def recorded_by(options: Iterable[str], path: list[str], brain: LocalBrain, agent: Agent, spool: Path) -> str:
    """Have a Python with these options record a request; return where it found the package."""
    arguments = [json.dumps(path), agent.token, brain.sdk_key, brain.url, str(spool)]
    result = subprocess.run(
        [sys.executable, *options, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    place, stats, arrived = json.loads(result.stdout)
    assert arrived
    assert stats["internal_errors"] == {}
    assert stats["delivered"] == 1, stats
    event = agent.event_from_elsewhere()
    assert event["metadata"]["operation"]["name"] == "add"
    return str(place)


@pytest.mark.parametrize("options", [(*STRICT, "-W", "error"), ("-OO",)], ids=" ".join)
def test_an_interpreter_however_strict_records(
    options: tuple[str, ...], brain: LocalBrain, agent: Agent, tmp_path: Path
) -> None:
    recorded_by(options, [], brain, agent, tmp_path / "spool")


def test_each_module_can_be_imported_by_a_strict_interpreter() -> None:
    """Only such warnings are errors that are about our own text: other packages have others."""
    warnings = ("-W", "error::BytesWarning", "-W", "error::EncodingWarning")
    result = subprocess.run(
        [sys.executable, *STRICT, *warnings, "-c", EVERYTHING], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_out_of_an_archive_it_records(tmp_path: Path, brain: LocalBrain, agent: Agent) -> None:
    archive = tmp_path / "application.pyz"
    with ZipFile(archive, "w") as packed:
        for file in PACKAGE.rglob("*.py"):
            packed.write(file, file.relative_to(PACKAGE.parent))
    path = [str(archive), sysconfig.get_path("purelib")]
    place = recorded_by(("-I", "-S"), path, brain, agent, tmp_path / "spool")
    assert place.startswith(str(archive))


async def asgi_application(scope: Any, receive: Any, send: Any) -> None:
    """Stand for an application that can be pickled."""


def wsgi_application(environ: Any, start_response: Any) -> list[bytes]:
    return []


def copied(app: Any) -> Any:
    return copy.deepcopy(app)


def pickled(app: Any) -> Any:
    return pickle.loads(pickle.dumps(app))


@pytest.mark.parametrize("duplicate", [copied, pickled])
@pytest.mark.parametrize(
    ("kind", "application"), [(OtasAsgi, asgi_application), (OtasWsgi, wsgi_application)], ids=["asgi", "wsgi"]
)
def test_an_application_is_copied_and_pickled_and_records_as_before(
    kind: Any, application: object, duplicate: Callable[[Any], Any], settings: OtasSettings
) -> None:
    original = kind(application, settings=settings)
    double = duplicate(original)
    assert double.app is application
    assert double._recorder is original._recorder


@pytest.mark.parametrize("adapter", ["wsgi", "asgi", "flask", "django"])
def test_an_application_starts_in_a_second_interpreter_unrecorded_with_one_line(adapter: str) -> None:
    """As uWSGI and mod_wsgi give one to each of several applications; native modules may refuse to be loaded there."""
    pytest.importorskip("_testcapi", reason="this Python can make no second interpreter for its tests")
    in_second = {
        "wsgi": "from otas_middleware.wsgi import OtasMiddleware; made = OtasMiddleware(lambda e, s: [b'ok'])",
        "asgi": "from otas_middleware.asgi import OtasMiddleware; made = OtasMiddleware(lambda s, r, e: None)",
        "flask": "import flask; from otas_middleware.flask import Otas; made = Otas(flask.Flask('shop'))",
        "django": """
from django.conf import settings; settings.configure()
from otas_middleware.django import OtasMiddleware, MiddlewareNotUsed
try: OtasMiddleware(print); made = None
except MiddlewareNotUsed: made = 1""",
    }[adapter]
    program = f"""
import pydantic, sys
from test.support import run_in_subinterp
sys.exit(run_in_subinterp({in_second + chr(10) + "assert made"!r}))
"""
    environ = {"OTAS_SDK_KEY": "otas_test_key", "PATH": ""}
    ended = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("single-interpreter = true (uWSGI)") == 1, ended.stderr
