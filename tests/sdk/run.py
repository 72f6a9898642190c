"""Run the table of SDKs, one environment for each set that cannot share one, in their newest versions.

    python tests/sdk/run.py [NAME ...]

The environments are kept in `.venv-sdk/`; one is made anew when its definition, or `pyproject.toml`, has changed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".venv-sdk"


class Environment(NamedTuple):
    """What is installed together.

    Attributes:
        group: The dependency group of `pyproject.toml`.
        modules: What its tests must find; elsewhere a missing SDK is skipped.
        without: What is taken out again.
    """

    group: str
    modules: tuple[str, ...]
    without: tuple[str, ...] = ()


ENVIRONMENTS = {
    "newest": Environment(
        "sdks",
        (
            "openai",
            "anthropic",
            "google.genai",
            "mistralai.client",
            "cohere",
            "groq",
            "together",
            "ollama",
            "huggingface_hub",
            "litellm",
            "langchain_openai",
            "agents",
            "pydantic_ai",
            "mcp",
            "fastmcp",
            "a2a",
            "aiohttp",
        ),
    ),
    "openai-2": Environment(
        "sdks-openai-2",
        ("openai", "anthropic", "groq", "llama_index.llms.openai"),
        without=("httpx2",),
    ),
    "frameworks": Environment("sdks-frameworks", ("crewai", "litellm", "smolagents")),
    "agents": Environment("sdks-agents", ("ag2", "dspy", "google.adk", "instructor")),
    "openai-1": Environment("sdks-openai-1", ("openai", "anthropic")),
}


def prepare(name: str, environment: Environment) -> Path:
    """Make an environment, if it is not there; return its interpreter.

    Args:
        name: Its name.
        environment: What it holds.

    Raises:
        CalledProcessError: A package cannot be installed.
    """
    folder = FOLDER / name
    python = folder / "bin" / "python"
    wanted = hashlib.sha256(repr(environment).encode() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()
    mark = folder / "made-of"
    if mark.exists() and mark.read_text() == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(python), "-m", "pip"]
    subprocess.run([*pip, "install", "--quiet", "--upgrade", "pip>=25.1"], check=True)
    packages = ["--editable", ".[brain]", "--group", environment.group]
    subprocess.run([*pip, "install", "--quiet", *packages], check=True, cwd=ROOT)
    if environment.without:
        subprocess.run([*pip, "uninstall", "--quiet", "--yes", *environment.without], check=True)
    mark.write_text(wanted)
    return python


def main(names: list[str]) -> int:
    """Run the tests in each environment; return the number of those in which one failed."""
    failed = 0
    for name in names or list(ENVIRONMENTS):
        environment = ENVIRONMENTS[name]
        python = prepare(name, environment)
        print(f"== {name}", flush=True)  # noqa: T201  # a command for people
        command = [str(python), "-m", "pytest", "-q", "-m", "slow", "tests/sdk"]
        variables = {**os.environ, "OTAS_SDKS": ",".join(environment.modules)}
        failed += subprocess.run(command, cwd=ROOT, env=variables, check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
