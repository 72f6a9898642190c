"""`manage.py otas` and `flask otas` are the command line, told which application it is about."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from otas_middleware.localbrain import LocalBrain

SETTINGS = """
SECRET_KEY = "only for tests"
INSTALLED_APPS = ["otas_middleware"]
MIDDLEWARE = [{middleware}]
OTAS = {otas}
"""
OURS = '"otas_middleware.django.OtasMiddleware"'
SECURITY = '"django.middleware.security.SecurityMiddleware"'
MANAGE = """
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop_settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
FLASK = """
from flask import Flask
from otas_middleware.flask import Otas
app = Flask("shop")
Otas(app)
"""


def environment(brain: LocalBrain | None) -> dict[str, str]:
    usual = {name: value for name, value in os.environ.items() if not name.startswith(("OTAS_", "DJANGO_", "FLASK_"))}
    return usual if brain is None else {**usual, "OTAS_SDK_KEY": brain.sdk_key, "OTAS_BRAIN_URL": brain.url}


def manage(
    folder: Path, *arguments: str, brain: LocalBrain | None = None, middleware: str = OURS, otas: str = "{}"
) -> subprocess.CompletedProcess[str]:
    """Run `manage.py` of a project."""
    (folder / "manage.py").write_text(MANAGE)
    (folder / "shop_settings.py").write_text(SETTINGS.format(middleware=middleware, otas=otas))
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=folder,
        env=environment(brain),
        capture_output=True,
        text=True,
        check=False,
    )


def test_manage_py_otas_doctor_checks_the_project(tmp_path: Path, brain: LocalBrain) -> None:
    ended = manage(tmp_path, "otas", "doctor", "--json", brain=brain)
    checks = {check["name"]: check for check in json.loads(ended.stdout)["checks"]}
    assert checks["application"]["text"] == "shop_settings: the project's settings are loaded"
    assert checks["middleware"]["text"] == "MIDDLEWARE[0]"
    assert ended.returncode == 0, ended.stdout


def test_manage_py_otas_preview_shows_an_event(tmp_path: Path, brain: LocalBrain) -> None:
    ended = manage(tmp_path, "otas", "preview", "--json", "curl", "-X", "DELETE", "http://shop/orders/1", brain=brain)
    assert json.loads(ended.stdout)["method"] == "DELETE", ended.stderr


def test_manage_py_otas_alone_lists_the_commands(tmp_path: Path) -> None:
    ended = manage(tmp_path, "otas")
    assert "doctor" in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("middleware", "otas", "said"),
    [
        (OURS, "{'MAX_BODY_BYTES': 'much'}", "otas_middleware.E001"),
        (OURS, "{'MAX_BODY': 1}", "otas_middleware.E001"),
        (OURS, "{}", "otas_middleware.W001"),
        (OURS.replace("django", "wsgi"), "{'SDK_KEY': 'otas_a_b'}", "MIDDLEWARE[0] is the middleware for WSGI"),
        (OURS.replace("django", "asgi"), "{'SDK_KEY': 'otas_a_b'}", "otas_middleware.E002"),
        (SECURITY, "{'SDK_KEY': 'otas_a_b'}", "otas_middleware.W002"),
        (f"{OURS}, {OURS}", "{'SDK_KEY': 'otas_a_b'}", "otas_middleware.W003"),
        (f"{SECURITY}, {OURS}", "{'SDK_KEY': 'otas_a_b'}", "otas_middleware.W004"),
        (OURS, "{'SDK_KEY': 'otas_a_b'}; OTAS_MAX_BODY_BYTES = 1", "otas_middleware.W005"),
    ],
)
def test_manage_py_check_finds_what_is_wrong(tmp_path: Path, middleware: str, otas: str, said: str) -> None:
    ended = manage(tmp_path, "check", "--fail-level", "WARNING", middleware=middleware, otas=otas)
    assert ended.returncode == 1
    assert said in ended.stderr


@pytest.mark.parametrize(
    "otas",
    [
        "{'SDK_KEY': 'otas_a_b'}; OTAS_SDK_KEY = 'otas_a_b'; OTAS_OWN = 1",
        "{'AGNOST_ORG_ID': '11111111-2222-4333-8444-555555555555'}",
        "{'ENABLED': False}",
    ],
)
def test_manage_py_check_is_content_with_a_good_project(tmp_path: Path, otas: str) -> None:
    ended = manage(tmp_path, "check", "--fail-level", "WARNING", otas=otas)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("named", [(), ("--app", "app"), ("--app", "app.py:app")])
def test_flask_otas_doctor_checks_the_application(tmp_path: Path, brain: LocalBrain, named: tuple[str, ...]) -> None:
    (tmp_path / "app.py").write_text(FLASK)
    ended = subprocess.run(
        [sys.executable, "-m", "flask", *named, "otas", "doctor", "--json"],
        cwd=tmp_path,
        env=environment(brain),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    checks = {check["name"]: check for check in json.loads(ended.stdout)["checks"]}
    assert checks["middleware"]["text"].startswith("the hooks of app")


@pytest.mark.parametrize("words", [("--help",), ("-h",), ()])
def test_flask_otas_lists_its_commands(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "app.py").write_text(FLASK)
    command = [sys.executable, "-m", "flask", "otas", *words]
    ended = subprocess.run(command, cwd=tmp_path, env=environment(None), capture_output=True, text=True, check=False)
    assert "Usage: flask otas [OPTIONS] COMMAND" in ended.stdout + ended.stderr
    assert "doctor " in ended.stdout + ended.stderr
    assert "No such option" not in ended.stderr
