"""The command line: its commands and their options.

Each command imports what it needs when it runs, so that one without its extra harms no other, and all begin at once.
"""

# Typer reads these annotations while it runs, so they are not postponed.
import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from otas_middleware._cli.doctor import TOKEN_VARIABLE
from otas_middleware._errors import ConfigurationError, MissingExtraError
from otas_middleware._version import __version__

if TYPE_CHECKING:
    from otas_middleware._cli.application import Kind, Source

_Application = Annotated[
    str | None,
    typer.Argument(metavar="APPLICATION", help="MODULE:APP, or a module alone; what it is, is found out."),
]
_Django = Annotated[
    str | None, typer.Option("--django", metavar="SETTINGS", help="A Django project's settings module.")
]
_Flask = Annotated[
    str | None,
    typer.Option("--flask", metavar="MODULE:APP", help="A Flask application, or its factory: shop:create_app()."),
]
_Asgi = Annotated[
    str | None, typer.Option("--asgi", metavar="MODULE:APP", help="An ASGI application: FastAPI, Starlette, any other.")
]
_Wsgi = Annotated[str | None, typer.Option("--wsgi", metavar="MODULE:APP", help="A WSGI application.")]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

app = typer.Typer(
    help="Record what AI agents do in a backend.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["--help", "-h"]},
)


@app.callback(invoke_without_command=True)
def version(*, show: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False) -> None:
    """Record what AI agents do in a backend."""
    if show:
        typer.echo(f"otas-middleware {__version__}")
        raise typer.Exit


@app.command()
def brain(
    *,
    host: Annotated[
        str,
        typer.Option(metavar="HOST", help="A loopback address, or localhost; with an access token any, as 0.0.0.0."),
    ] = "127.0.0.1",
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A further name under which it may be addressed, such as its container's."),
    ] = None,
    access_token: Annotated[
        str | None,
        typer.Option(
            envvar="LOCAL_BRAIN_ACCESS_TOKEN",
            metavar="TOKEN",
            help="What the page asks for once, before it shows anything.",
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=65535, help="Where to listen; 0 chooses a free port.")
    ] = 8002,
    db: Annotated[Path | None, typer.Option(metavar="FILE", help="Keep keys and events in this SQLite file.")] = None,
    slow: Annotated[
        float, typer.Option(metavar="MS", min=0, help="Handle each event after so many milliseconds.")
    ] = 0.0,
    fail: Annotated[
        float, typer.Option(metavar="RATE", min=0, max=1, help="Fail this share of events (500 event_capture_failed).")
    ] = 0.0,
    down_after: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Go down after storing so many events.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Do not print a line for each event.")] = False,
) -> None:
    """Run a local Brain to develop and test against.

    It answers as Brain, UASAM and Agnost on one port. It prints the environment that points an application at it, and
    then a line for each event. Ctrl-C ends it.
    """
    from otas_middleware.localbrain.command import run  # noqa: PLC0415  # see the module's docstring

    run(
        host=host,
        allow_hosts=allow_host or [],
        access_token=access_token,
        port=port,
        db=db,
        slow_ms=slow,
        fail_rate=fail,
        down_after=down_after,
        quiet=quiet,
    )


@app.command()
def demo(*, keep: Annotated[bool, typer.Option("--keep", help="Leave everything running afterwards.")] = False) -> None:
    """Play an agent and show what arrives in Brain.

    Runs three example applications and a local Brain, uses them as an agent would, and checks what was recorded.
    """
    from otas_middleware._cli.demo import main  # noqa: PLC0415  # see the module's docstring

    raise typer.Exit(main(keep))


_Send = Annotated[
    bool,
    typer.Option(
        "--send", help="Deliver one test event. The session is that of --token, or opened with OTAS_AGENT_KEY."
    ),
]
_Token = Annotated[
    str | None,
    typer.Option(
        envvar=TOKEN_VARIABLE,
        metavar="TOKEN",
        help="The session token for --send. Never shown; safer in the variable than here.",
    ),
]
_UasamUrl = Annotated[str | None, typer.Option(metavar="URL", help="Where UASAM is, if the settings do not say.")]
_Uwsgi = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The ini file with which uWSGI runs the application.")
]
_Agent = Annotated[
    str | None,
    typer.Option(
        "--agent",
        metavar="MODULE:SESSION",
        help="Only try the HTTP clients of an AgentSession, and of MODULE:CLIENT after commas, on loopback.",
    ),
]
_Timeout = Annotated[float, typer.Option(metavar="SECONDS", min=0.1, max=300, help="For each answer.")]
_Strict = Annotated[bool, typer.Option("--strict", help="Let warnings make the exit status 1 too.")]


@app.command()
def doctor(
    *,
    application: _Application = None,
    django: _Django = None,
    flask: _Flask = None,
    asgi: _Asgi = None,
    wsgi: _Wsgi = None,
    send: _Send = False,
    token: _Token = None,
    uasam_url: _UasamUrl = None,
    uwsgi: _Uwsgi = None,
    agent: _Agent = None,
    timeout: _Timeout = 10.0,
    strict: _Strict = False,
    as_json: _Json = False,
) -> None:
    """Check the set-up, from the settings to Brain, and name each fix.

    Without an application the settings come from the environment alone. Nothing is stored in Brain, except by --send.
    The exit status is 1 when a check failed, and 0 with warnings (!), unless --strict is given.
    """
    from otas_middleware._cli.doctor.run import Order, run  # noqa: PLC0415  # see the module's docstring

    if send and token is None and not os.environ.get("OTAS_AGENT_KEY") and sys.stdin.isatty():
        token = typer.prompt("Session token", hide_input=True, err=True).strip()
    source, uasam_url = _source(application, django, flask, asgi, wsgi), _url("--uasam-url", uasam_url)
    order = Order(source, uasam_url, uwsgi, agent, send=send, token=token, strict=strict, timeout=timeout)
    raise typer.Exit(run(order, machine=as_json))


# The first word that is no option begins the curl command: what follows belongs to that.
@app.command(context_settings={"allow_interspersed_args": False})
def preview(
    *,
    request: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="curl ... | FILE",
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
    django: _Django = None,
    flask: _Flask = None,
    asgi: _Asgi = None,
    wsgi: _Wsgi = None,
) -> None:
    """Show the exact event that would be sent for a request.

    Redactions are highlighted, and nothing is sent. The settings come from the environment, or from the application
    that is named. Options of preview come before the curl command:

    otas-middleware preview curl -X POST https://shop.example/orders -H 'Authorization: Bearer 123' -d '{"item": 7}'
    """
    from otas_middleware._cli.preview.command import run  # noqa: PLC0415  # see the module's docstring

    source = _source(None, django, flask, asgi, wsgi)
    run(request or [], source=source, response=response, form=form, entry=entry, route=route, as_json=as_json)


@app.command()
def settings(
    *,
    application: _Application = None,
    django: _Django = None,
    flask: _Flask = None,
    asgi: _Asgi = None,
    wsgi: _Wsgi = None,
    as_json: _Json = False,
) -> None:
    """List every setting with its value and its source.

    Secrets are masked. Without an application they come from the environment alone.
    """
    from otas_middleware._cli.application import print_settings  # noqa: PLC0415  # see the module's docstring

    print_settings(_source(application, django, flask, asgi, wsgi), as_json=as_json)


@app.command()
def relay(
    *,
    socket: Annotated[
        str, typer.Option("--socket", metavar="PATH", help="Where to listen. Default: what OTAS_RELAY says.")
    ] = "",
    status: Annotated[
        bool, typer.Option("--status", help="Print the counters of the relay that runs there, as JSON, and end.")
    ] = False,
) -> None:
    """Deliver for the applications of this host.

    They hand over what they record when OTAS_RELAY names the socket. It runs until SIGTERM, and then delivers what it
    has, or leaves it to the applications. Linux only.
    """
    if find_spec("msgspec") is None:
        raise MissingExtraError("The relay", "relay")
    from otas_middleware._delivery.relay import trust  # noqa: PLC0415  # when the command runs

    if not trust.SUPPORTED:
        raise ConfigurationError("the relay needs Linux: packets over Unix sockets, and the other side's user")
    path = socket or os.environ.get("OTAS_RELAY", "")
    if path in {"", "auto"} and not status:
        raise ConfigurationError("say where to listen: `otas-middleware relay --socket /run/otas/relay.sock`")
    if status:
        from otas_middleware._delivery.relay.start import automatic_path, state_of  # noqa: PLC0415  # as above

        typer.echo(json.dumps(state_of(automatic_path() if path in {"", "auto"} else path), indent=2))
        return
    from otas_middleware._cli.relay import run  # noqa: PLC0415  # as above

    run(path)


def _source(
    application: str | None, django: str | None, flask: str | None, asgi: str | None, wsgi: str | None
) -> "Source":
    """Return what the arguments name; without any the environment.

    Raises:
        BadParameter: More than one is given, or an empty one.
    """
    from otas_middleware._cli.application import Source  # noqa: PLC0415  # pydantic only for commands that run

    named: dict[Kind, str | None] = {"any": application, "django": django, "flask": flask, "asgi": asgi, "wsgi": wsgi}
    given = [Source(kind, target) for kind, target in named.items() if target is not None]
    if len(given) > 1:
        if application is not None:
            raise typer.BadParameter(f"name one application: {application}, or --{given[1].kind}")
        raise typer.BadParameter("give one of --django, --flask, --asgi and --wsgi")
    if given and not given[0].target.strip():
        what = "the application's name" if application is not None else f"--{given[0].kind}"
        raise typer.BadParameter(f"{what} is empty; name the application, as package.module:app")
    return given[0] if given else Source()


def _url(option: str, value: str | None) -> str | None:
    """Return the URL that an option gives, checked as the settings check theirs.

    Raises:
        BadParameter: It is not an HTTP URL.
    """
    from otas_middleware._config.types import check_url  # noqa: PLC0415  # as above

    try:
        return None if value is None else check_url(value)
    except ValueError as error:
        raise typer.BadParameter(f"{option}: {error}") from None
