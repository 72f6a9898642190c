"""A Brain of this folder's own, which tests may make misbehave, and the doctor as people call it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from otas_middleware._cli.app import app
from otas_middleware._cli.doctor import wire
from otas_middleware.localbrain import LocalBrain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FOREIGN = ("OTAS_", "X_OTAS_", "DJANGO_", "UWSGI_", "NO_COLOR", "SSL_CERT_", "HTTP_PROXY", "HTTPS_PROXY")


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor said."""

    status: int
    checks: dict[str, dict[str, Any]]
    output: str

    @property
    def failed(self) -> dict[str, str]:
        """Name of each failed check → its text, details and fix."""
        return {name: self.of(name) for name, check in self.checks.items() if check["status"] == "failed"}

    def of(self, name: str) -> str:
        """The text, details and fix of a check."""
        check = self.checks[name]
        return "\n".join([check["text"], *check.get("details", ()), check.get("fix", "")])


class Doctor:
    """`otas-middleware doctor` in a folder of its own.

    Attributes:
        folder: Where it runs.
        variables: The environment that it gets beside the usual one.
    """

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self.folder = folder
        self.variables = variables

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it as a process."""
        return subprocess.run(
            [sys.executable, "-m", "otas_middleware", "doctor", *arguments],
            cwd=self.folder,
            env={**usual_environment(), **self.variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def __call__(self, *arguments: str) -> Diagnosis:
        """Run the command in this process; with a Django project, of which a process can have only one, in another."""
        if "--django" in arguments:
            process = self.run("--json", *arguments)
            return diagnosis(process.returncode, process.stdout, process.stderr)
        cleared: dict[str, str | None] = dict.fromkeys(os.environ.keys() - usual_environment().keys())
        result = CliRunner().invoke(app, ["doctor", "--json", *arguments], env={**cleared, **self.variables})
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return diagnosis(result.exit_code, result.stdout, result.stderr)

    def write(self, name: str, text: str) -> None:
        """Write a file into the folder in which it runs."""
        (self.folder / name).write_text(text)


def usual_environment() -> dict[str, str]:
    """The environment without what could say something to the doctor."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(_FOREIGN)}


def diagnosis(status: int, output: str, errors: str) -> Diagnosis:
    """Read the JSON document."""
    assert output, errors
    document = json.loads(output)
    checks = {check["name"]: check for check in document["checks"]}
    assert len(checks) == len(document["checks"])
    assert status == (0 if document["ok"] else 1)
    return Diagnosis(status, checks, output + errors)


@pytest.fixture(scope="module")
def local() -> Iterator[LocalBrain]:
    with LocalBrain() as brain:
        yield brain


@pytest.fixture
def doctor(local: LocalBrain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Doctor]:
    """A doctor whose environment is that of a good set-up; a test spoils one thing in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(wire, "_PROBE_SECONDS", 0.3)  # on loopback whoever answers does so at once
    yield Doctor(tmp_path, {"OTAS_SDK_KEY": local.sdk_key, "OTAS_BRAIN_URL": local.url, "OTAS_UASAM_URL": local.url})
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]  # the next test has another module of the same name


@pytest.fixture
def closed() -> str:
    """A URL at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"
