"""The command line; each command is imported when it runs. Here is what all commands ask of the terminal."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator
    from http.server import BaseHTTPRequestHandler


def has_colours() -> bool:
    """Tell whether standard output is a terminal that shows colours, and nobody forbids them (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def printable(text: str) -> str:
    """Return a line whose control characters are question marks: parts of it come from servers, files and clients."""
    return "".join(char if char.isprintable() else "?" for char in text)


@contextlib.contextmanager
def without_log() -> Generator[None]:
    """Keep the package from logging meanwhile: what it would say is what the command reports."""
    logger = logging.getLogger("otas_middleware")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Generator[str]:
    """Serve HTTP on a free loopback port, by threads of this process, while the block runs; give it the URL."""
    from http.server import ThreadingHTTPServer  # noqa: PLC0415  # for the few commands that serve

    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
