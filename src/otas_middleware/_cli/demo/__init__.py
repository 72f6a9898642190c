"""`otas-middleware demo`: three applications, an agent that uses them, and a check of what arrives in Brain."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from otas_middleware._errors import MissingExtraError

_PACKAGES = ("django", "fastapi", "flask", "gunicorn", "mcp", "rich", "starlette", "uvicorn")


def main(keep: bool = False) -> int:  # noqa: FBT001, FBT002  # the command line's one option
    """Run the demo, and say on standard output what it does.

    Args:
        keep: Leave everything running afterwards, until Ctrl-C.

    Returns:
        The exit status: 0 when each request of the agent was recorded as it should be; 1 when not, or when something
        does not start; 128 plus its number when a signal ended the demo.

    Raises:
        MissingExtraError: What the demo runs is not installed.
    """
    if sys.platform == "win32":
        print("The demo needs Linux or macOS: gunicorn, one of its servers, does not run on Windows.")
        return 1
    missing = [package for package in _PACKAGES if not _is_installed(package)]
    if missing:
        raise MissingExtraError(f"The demo ({', '.join(missing)})", "demo")
    from otas_middleware._cli.demo.run import run  # noqa: PLC0415  # needs what Windows does not have, and the extra

    return run(keep=keep)


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False
