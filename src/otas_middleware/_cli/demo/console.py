"""Where the demo speaks: standard output, with colours on a terminal only."""

from __future__ import annotations

import os
import shutil
import sys

WIDTH = 120


class Console:
    """Standard output, and what can be shown there."""

    def __init__(self) -> None:
        terminal = sys.stdout.isatty()
        self.colour = terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        self.width = min(shutil.get_terminal_size((WIDTH, 0)).columns, WIDTH) if terminal else WIDTH

    def say(self, text: str = "") -> None:
        """Print a text and a line feed at once; what the terminal cannot show becomes a question mark."""
        encoding = sys.stdout.encoding
        print(text.encode(encoding, "replace").decode(encoding), flush=True)
