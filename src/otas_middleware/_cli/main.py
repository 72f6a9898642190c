"""Runs the command line; every way to call it comes here."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from otas_middleware._errors import MissingExtraError, OtasError
from otas_middleware._version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence


_EXTRAS = {"brain": "brain", "demo": "demo", "relay": "cli,relay"}
"""What a command needs that the extra `cli` does not bring."""


def main(arguments: Sequence[str] | None = None, *, name: str = "otas-middleware") -> None:
    """Run the command line; what is wrong with the set-up is one line on standard error and exit status 1.

    Args:
        arguments: The words after the command's name; those of this process when left out.
        name: What the command is called in its help.

    Raises:
        SystemExit: Always, except for `--version`.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words == ["--version"]:  # without any extra
        sys.stdout.write(f"otas-middleware {__version__}\n")
        return
    try:
        try:
            from otas_middleware._cli.app import app  # noqa: PLC0415  # needs the extra
        except ModuleNotFoundError as error:
            if error.name != "typer":
                raise
            raise MissingExtraError("The command line", _EXTRAS.get(words[0] if words else "", "cli")) from None
        app(words, prog_name=name)
    except OtasError as error:
        sys.stderr.write(f"otas-middleware: {error}\n")
        sys.exit(1)
