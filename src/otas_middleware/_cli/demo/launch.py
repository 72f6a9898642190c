"""Becomes the command that it is given, after asking the kernel to end it when its parent ends.

    python launch.py PARENT_PID COMMAND [ARGUMENT ...]

A script of its own, because setting this up between fork and exec, in a copy of a whole Python process, is not safe.
Where the kernel has no such service (anything but Linux) the command runs all the same.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>

if __name__ == "__main__":
    parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # it ended before the kernel was asked
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606  # the demo's own command
