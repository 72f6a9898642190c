"""`flask otas doctor`: the command line for the application that Flask has found."""

from __future__ import annotations

from pathlib import Path

import click
from flask.cli import ScriptInfo

from otas_middleware._cli.main import for_application, main

_USUAL_FILES = ("wsgi.py", "app.py")


@click.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    short_help="Check how OTAS records this application (doctor, preview, settings).",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def otas(context: click.Context, arguments: tuple[str, ...]) -> None:
    """Run `otas-middleware doctor`, `preview` or `settings` for this application."""
    script = context.find_object(ScriptInfo)
    target = script.app_import_path if script is not None else None
    if target is None:  # Flask then takes one of these
        target = next((file for file in _USUAL_FILES if Path(file).exists()), None)
    main(arguments if target is None else for_application(arguments, "--flask", target), name="flask otas")
