"""Without the extra, the command line says how to get it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import otas_middleware
from cli.process import run

WITHOUT = """
class Without:
    def find_spec(self, name, path=None, target=None):
        if name in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Without())
"""
INSTALL = "run: pip install 'otas-middleware[{}]'\n"


def test_an_installation_without_any_dependency_says_what_is_missing() -> None:
    """Only the standard library and the package itself can be imported."""
    source = str(Path(otas_middleware.__file__).parents[1])
    code = f"import sys; sys.path.insert(0, {source!r}); from otas_middleware.__main__ import main; main()"
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=20, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert (
        ended.stderr
        == f"otas-middleware: The command line needs a package that is not installed; {INSTALL.format('cli')}"
    )


@pytest.mark.parametrize(
    ("command", "missing", "feature", "extra"),
    [
        ("doctor", "typer", "The command line", "cli"),
        ("brain", "typer", "The command line", "brain"),
        ("demo", "typer", "The command line", "demo"),
        ("relay", "typer", "The command line", "cli,relay"),
        ("brain", "starlette", "The local Brain", "brain"),
        ("brain", "uvicorn", "The local Brain", "brain"),
        ("demo", "starlette", "The demo (starlette)", "demo"),
        ("demo", "gunicorn", "The demo (gunicorn)", "demo"),
    ],
)
def test_the_missing_package_is_one_clear_line(command: str, missing: str, feature: str, extra: str) -> None:
    ended = run(command, before=WITHOUT.format(names=[missing]))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"otas-middleware: {feature} needs a package that is not installed; {INSTALL.format(extra)}"


def test_other_commands_need_no_server() -> None:
    ended = run("--help", before=WITHOUT.format(names=["starlette", "uvicorn"]))
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_version_needs_no_extra() -> None:
    ended = run("--version", before=WITHOUT.format(names=["typer", "pydantic", "httpx2"]))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"otas-middleware {otas_middleware.__version__}\n"


def test_a_failure_inside_a_dependency_is_not_taken_for_its_absence() -> None:
    ended = run("--help", before=WITHOUT.format(names=["typer.main"]))
    assert ended.returncode == 1
    assert "ModuleNotFoundError" in ended.stderr
    assert "pip install" not in ended.stderr
