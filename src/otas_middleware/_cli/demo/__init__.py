"""`otas-middleware demo`: three applications, an agent that uses them, and a check of what arrives in Brain."""

from __future__ import annotations

import sys


def main(keep: bool = False) -> int:  # noqa: FBT001, FBT002  # the command line's one option
    """Run the demo, and say on standard output what it does.

    Args:
        keep: Leave everything running afterwards, until Ctrl-C.

    Returns:
        The exit status: 0 when each request of the agent was recorded as it should be; 1 when not, or when something
        that is needed is missing or does not start; 128 plus its number when a signal ended the demo.
    """
    if sys.platform == "win32":
        print("The demo needs Linux or macOS: gunicorn, one of its servers, does not run on Windows.")
        return 1
    from otas_middleware._cli.demo.run import run  # noqa: PLC0415  # needs what Windows does not have

    return run(keep=keep)
