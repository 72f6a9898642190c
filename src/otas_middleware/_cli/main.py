"""Runs the command line; every way to call it comes here."""

from __future__ import annotations

import os
import sys
from errno import ENOSPC, EPIPE
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

from otas_middleware._errors import MissingExtraError, OtasError
from otas_middleware._version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence


_EXTRAS = {"brain": "brain", "demo": "demo", "relay": "cli,relay"}
"""What a command needs that the extra `cli` does not bring."""
_OF_APPLICATIONS = ("doctor", "preview", "settings")


def main(arguments: Sequence[str] | None = None, *, name: str = "otas-middleware") -> None:
    """Run the command line; what is wrong with the set-up is one line on standard error and exit status 1.

    Args:
        arguments: The words after the command's name; those of this process when left out.
        name: What the command is called in its help.

    Raises:
        SystemExit: Always, except for `--version`.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    _prepare_streams()
    try:
        try:
            _run(words, name)
        finally:
            sys.stdout.flush()  # else the interpreter does it at its end, and fails in its own words
    except OtasError as error:
        sys.stderr.write(f"otas-middleware: {error.problem_and_fix}\n")
        sys.exit(1)
    except OSError as error:
        if error.errno not in {ENOSPC, EPIPE}:
            raise
        if error.errno == ENOSPC:
            sys.stderr.write("otas-middleware: the output cannot be written: no space is left on its device\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # as the interpreter tries once more at its end
        sys.exit(1)


def for_application(words: Sequence[str], option: str, target: str) -> list[str]:
    """Return a command line with the application that it is about, where its command takes one.

    Args:
        words: The command line.
        option: How the application is named, such as `--flask`.
        target: The application.
    """
    first = list(words[:1])
    return [*first, option, target, *words[1:]] if first and first[0] in _OF_APPLICATIONS else list(words)


def _run(words: list[str], name: str) -> None:
    if words == ["--version"]:  # without any extra
        sys.stdout.write(f"otas-middleware {__version__}\n")
        sys.stdout.flush()
        return
    try:
        from otas_middleware._cli.app import app  # noqa: PLC0415  # needs the extra
    except ModuleNotFoundError as error:
        if error.name != "typer":
            raise
        raise MissingExtraError("The command line", _EXTRAS.get(words[0] if words else "", "cli")) from None
    app(words, prog_name=name)


def _prepare_streams() -> None:
    """Give this process the standard streams that it was started without, and an output that takes every character."""
    sys.stdin = sys.stdin or Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115  # open until the end, as the others
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
