"""`otas-middleware settings`: every setting, its value, and where that came from."""

# Typer reads these annotations while it runs, so they are not postponed.
import json
from typing import Annotated

import typer

from otas_middleware._cli.application import options as application


def settings(
    *,
    django: application.Django = None,
    flask: application.Flask = None,
    asgi: application.Asgi = None,
    wsgi: application.Wsgi = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List every setting with its value and its source; secrets are masked.

    Without an application they come from the environment alone.
    """
    from otas_middleware._cli.application import masked, read  # noqa: PLC0415  # each command imports what it needs
    from otas_middleware._config.sources import unknown_variables  # noqa: PLC0415  # as above

    subject = read(application.source(django, flask, asgi, wsgi))
    if subject.error is not None or subject.settings is None:
        raise subject.error or RuntimeError("the settings cannot be read")
    for line in unknown_variables():
        typer.echo(line, err=True)
    listed = {
        name: {"value": masked(getattr(subject.settings, name)), "from": subject.origins.get(name, "default")}
        for name in type(subject.settings).model_fields
    }
    if as_json:
        typer.echo(json.dumps(listed, ensure_ascii=False, indent=2))
        return
    width = max(map(len, listed))
    for name, found in listed.items():
        origin = "" if found["from"] == "default" else f"  ({found['from']})"
        typer.echo(f"{name:<{width}}  {found['value']}{origin}")
