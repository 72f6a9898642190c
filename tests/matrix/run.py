"""Run the tests in every environment for which there is an interpreter, then write the table.

    python tests/matrix/run.py [NAME ...]

The environments and their results are kept in `.venv-matrix/`; an environment is made anew when its definition, or
`pyproject.toml`, has changed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from matrix.environments import CANARY, ENVIRONMENTS, Environment  # noqa: E402  # found by the line above
from matrix.table import write_table  # noqa: E402  # as above

FOLDER = ROOT / ".venv-matrix"
RESULTS = FOLDER / "results"
AT_ONCE = 2
PROCESSES = "2"

_ASK = """
import sys, sysconfig, venv, ensurepip
print('%d.%d' % sys.version_info[:2] + 't' * bool(sysconfig.get_config_var('Py_GIL_DISABLED')))
"""


def interpreter(version: str) -> str | None:
    """Return an interpreter of this version, such as 3.12, or None: from `PATH`, or one that pyenv has installed."""
    places = [shutil.which(f"python{version}")]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    places += [str(path) for path in sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True)]
    for place in filter(None, places):
        asked = subprocess.run([place, "-c", _ASK], capture_output=True, text=True, check=False)
        if asked.returncode == 0 and asked.stdout.strip() == version:
            return place
    return None


def prepare(environment: Environment, python: str) -> Path:
    """Make the virtual environment, if it is not there; return its interpreter.

    Raises:
        CalledProcessError: A package cannot be installed.
    """
    folder = FOLDER / environment.name
    inside = folder / "bin" / "python"
    wanted = hashlib.sha256(repr(environment).encode() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()
    mark = folder / "made-of"
    if mark.exists() and mark.read_text() == wanted:
        return inside
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([python, "-m", "venv", str(folder)], check=True)
    pip = [str(inside), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--upgrade", "pip>=25.1"], check=True)
    subprocess.run([*pip, "--editable", f".[{environment.extras}]", "--group", environment.group], check=True, cwd=ROOT)
    if environment.prereleases:
        subprocess.run([*pip, "--upgrade", "--pre", *environment.prereleases], check=True)
    if environment.pins:  # in a step of its own: the group's lower bounds are those of the tests, not of the package
        subprocess.run([*pip, *environment.pins], check=True)
    if environment.without:
        subprocess.run([str(inside), "-m", "pip", "uninstall", "--quiet", "--yes", *environment.without], check=True)
    mark.write_text(wanted)
    return inside


def test(environment: Environment, python: Path) -> bool:
    """Run the environment's tests; return whether all of them passed."""
    good = True
    environ = {**os.environ, "PYTHON_GIL": "0"} if environment.free_threaded else None
    results = RESULTS / environment.name if environment is CANARY else RESULTS
    results.mkdir(exist_ok=True)
    for number, arguments in enumerate(environment.runs):
        paths = [each for each in arguments if not each.startswith("tests/") or (ROOT / each).exists()]
        name = f"{environment.name}-{number}"
        log = results / f"{name}.log"
        command = [str(python), "-m", "pytest", "-q", "-n", PROCESSES, "--dist", "loadgroup", "-p", "no:cacheprovider"]
        command += ["-o", "junit_family=xunit1", f"--junitxml={results / name}.xml", *paths]
        with log.open("w") as output:
            ran = subprocess.run(command, cwd=ROOT, env=environ, stdout=output, stderr=subprocess.STDOUT, check=False)
        last = log.read_text(errors="replace").strip().splitlines()[-1:]
        outcome = "passed" if ran.returncode == 0 else f"FAILED, see {log.relative_to(ROOT)}"
        say(f"{name}: {outcome} {' '.join(last)}")
        good = good and ran.returncode == 0
    return good


def work_on(environment: Environment) -> bool:
    """Prepare and test one environment; return whether all was well, or nothing could be done for want of Python."""
    python = interpreter(environment.python)
    if python is None:
        say(f"{environment.name}: skipped, no Python {environment.python} was found")
        return True
    try:
        inside = prepare(environment, python)
    except subprocess.CalledProcessError as error:
        say(f"{environment.name}: FAILED, {error}")
        return False
    return test(environment, inside)


def say(line: str) -> None:
    """Tell whoever watches."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(names: list[str]) -> int:
    """Run the named environments, or all but the canary; return the exit status."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    chosen = [each for each in (*ENVIRONMENTS, CANARY) if (each.name in names if names else each is not CANARY)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        good = list(pool.map(work_on, chosen))
    if names != [CANARY.name]:
        write_table(RESULTS, ROOT / "docs" / "compatibility.md")
        say("docs/compatibility.md was written")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
