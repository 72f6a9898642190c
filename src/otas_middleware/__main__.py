"""The entry point of `otas-middleware` and of `python -m otas_middleware`."""

from __future__ import annotations

import sys

from otas_middleware._errors import MissingExtraError, OtasError


def main() -> None:
    """Run the command line; what is wrong with the set-up is one line on standard error and exit status 1."""
    try:
        try:
            from otas_middleware._cli.app import app  # noqa: PLC0415  # needs the extra
        except ModuleNotFoundError as error:
            if error.name != "typer":
                raise
            raise MissingExtraError("The command line", "cli") from None
        app(prog_name="otas-middleware")
    except OtasError as error:
        sys.stderr.write(f"otas-middleware: {error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
