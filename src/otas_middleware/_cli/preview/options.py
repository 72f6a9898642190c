"""The options of `otas-middleware preview`."""

# Typer reads these annotations while it runs, so they are not postponed.
from pathlib import Path
from typing import Annotated, Literal

import typer

from otas_middleware._cli.application import options as application


def preview(
    *,
    request: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[curl ... | FILE]",
            help="A curl command as it is, or a file: HAR, HTTP as on the wire, or a curl command. "
            "Without it, or with -, standard input.",
        ),
    ] = None,
    response: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The response, as HTTP on the wire (curl -i).")
    ] = None,
    form: Annotated[
        Literal["curl", "har", "http"] | None, typer.Option("--as", help="The input's format, instead of a guess.")
    ] = None,
    entry: Annotated[int | None, typer.Option(metavar="N", min=1, help="Only the N-th request of a HAR file.")] = None,
    route: Annotated[
        str | None, typer.Option(metavar="TEMPLATE", help="The route that matches, such as /orders/{order_id}.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the bytes that would be posted, nothing else.")
    ] = False,
    django: application.Django = None,
    flask: application.Flask = None,
    asgi: application.Asgi = None,
    wsgi: application.Wsgi = None,
) -> None:
    """Show the exact event that would be sent for a request, redactions highlighted. Nothing is sent.

    The settings come from the environment, or from the application that is named. Options of preview come before the
    curl command:

    otas-middleware preview curl -X POST https://shop.example/orders -H 'Authorization: Bearer 123' -d '{"item": 7}'
    """
    from otas_middleware._cli.preview.command import run  # noqa: PLC0415  # each command imports what it needs

    source = application.source(django, flask, asgi, wsgi)
    run(request or [], source=source, response=response, form=form, entry=entry, route=route, as_json=as_json)
