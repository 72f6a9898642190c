"""The options of `otas-middleware doctor`."""

# Typer reads these annotations while it runs, so they are not postponed.
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from otas_middleware._cli.application import options as application
from otas_middleware._cli.doctor import TOKEN_VARIABLE


def doctor(
    *,
    django: application.Django = None,
    flask: application.Flask = None,
    asgi: application.Asgi = None,
    wsgi: application.Wsgi = None,
    send: Annotated[
        bool,
        typer.Option(
            "--send", help="Deliver one test event. The session is that of --token, or opened with OTAS_AGENT_KEY."
        ),
    ] = False,
    token: Annotated[
        str | None,
        typer.Option(
            envvar=TOKEN_VARIABLE,
            metavar="TOKEN",
            help="The session token for --send. Never shown; safer in the variable than here.",
        ),
    ] = None,
    uasam_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Where UASAM is, if the settings do not say.")
    ] = None,
    uwsgi: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The ini file with which uWSGI runs the application.")
    ] = None,
    agent: Annotated[
        str | None,
        typer.Option(
            "--agent",
            metavar="MODULE:SESSION",
            help="Only try the HTTP clients of an AgentSession, and of MODULE:CLIENT after commas, on loopback.",
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", min=0.1, max=300, help="For each answer.")] = 10.0,
    strict: Annotated[bool, typer.Option("--strict", help="Let warnings make the exit status 1 too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check the set-up, from the settings to Brain; name what is wrong, and its fix.

    Without an application the settings come from the environment alone. Nothing is stored in Brain, except by --send.
    The exit status is 1 when a check failed, and 0 with warnings (!), unless --strict is given.
    """
    from otas_middleware._cli.doctor.run import Order, run  # noqa: PLC0415  # each command imports what it needs

    if send and token is None and not os.environ.get("OTAS_AGENT_KEY") and sys.stdin.isatty():
        token = typer.prompt("Session token", hide_input=True, err=True).strip()
    order = Order(
        source=application.source(django, flask, asgi, wsgi),
        uasam_url=application.url("--uasam-url", uasam_url),
        uwsgi=uwsgi,
        agent=agent,
        send=send,
        token=token,
        strict=strict,
        timeout=timeout,
    )
    raise typer.Exit(run(order, machine=as_json))
