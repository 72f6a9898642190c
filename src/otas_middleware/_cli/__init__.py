"""The command line; each command is imported when it runs. Here is what all commands ask of the terminal."""

from __future__ import annotations

import os
import sys


def has_colours() -> bool:
    """Tell whether standard output is a terminal that shows colours, and nobody forbids them (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def printable(text: str) -> str:
    """Return a line whose control characters are question marks: parts of it come from servers, files and clients."""
    return "".join(char if char.isprintable() else "?" for char in text)
