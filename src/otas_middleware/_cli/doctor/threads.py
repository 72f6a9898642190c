"""The check of threads: without them events wait until the process ends. uWSGI is the server that may have none."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from configparser import ConfigParser
from configparser import Error as IniError
from pathlib import Path

from otas_middleware._cli.doctor.report import Check
from otas_middleware._delivery.process import uwsgi_without_threads

_THREADS_BY_DEFAULT = (2, 0, 27)
_FIX = "add enable-threads = true, or update uWSGI to 2.0.27 or later, where threads are on by default"


def check_threads(uwsgi: Path | None) -> Check:
    """Check that events can be delivered in the background.

    Args:
        uwsgi: The configuration (ini) with which uWSGI runs the application, if it does.
    """
    if "uwsgi" in sys.modules:
        if uwsgi_without_threads():
            return Check("threads", "failed", "this uWSGI runs without threads: events wait until it ends", _FIX)
        return Check("threads", "ok", "uWSGI runs threads")
    if uwsgi is not None:
        return _uwsgi_file(uwsgi)
    try:
        thread = threading.Thread(target=bool, name="otas-doctor", daemon=True)
        thread.start()
        thread.join(5.0)
    except RuntimeError as error:
        return Check(
            "threads", "failed", f"no thread can be started: {error}", "raise the limit of processes (ulimit -u)"
        )
    return Check("threads", "ok", "a thread can be started (with uWSGI, name its configuration: --uwsgi FILE)")


def _uwsgi_file(path: Path) -> Check:
    parser = ConfigParser(strict=False, interpolation=None, allow_no_value=True)
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
        options = dict(parser["uwsgi"])
    except (OSError, KeyError, IniError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not an ini file with a section [uwsgi]"
        return Check(
            "threads",
            "failed",
            f"{path} cannot be read as uWSGI's configuration: {why}",
            "or run this inside of uWSGI: uwsgi [your options] --pyrun $(which otas-middleware) --pyargv doctor",
        )
    if any(options.get(name, "false") not in {"false", "0", "no"} for name in ("enable-threads", "threads")):
        return Check("threads", "ok", f"{path} starts uWSGI with threads")
    version = _uwsgi_version()
    if version is not None and version >= _THREADS_BY_DEFAULT:
        return Check("threads", "ok", f"uWSGI {'.'.join(map(str, version))} runs threads by default")
    known = f"uWSGI {'.'.join(map(str, version))}" if version is not None else "uWSGI before 2.0.27"
    return Check("threads", "failed", f"{path} starts {known} without threads: events wait until a worker ends", _FIX)


def _uwsgi_version() -> tuple[int, ...] | None:
    """Return the version of the uWSGI that would be started, or None when there is none."""
    program = shutil.which("uwsgi") or shutil.which("uwsgi", path=str(Path(sys.executable).parent))
    if program is None:
        return None
    try:
        output = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"^(\d+)\.(\d+)\.(\d+)", output, re.MULTILINE)
    return tuple(map(int, found.groups())) if found is not None else None
