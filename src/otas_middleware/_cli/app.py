"""The command line. Each command imports what it needs when it runs, so that one without its extra harms no other."""

from pathlib import Path
from typing import Annotated

import typer

from otas_middleware._cli.doctor.run import doctor
from otas_middleware._cli.preview.command import preview
from otas_middleware._cli.relay.options import relay
from otas_middleware._cli.settings import settings
from otas_middleware._version import __version__

app = typer.Typer(
    help="Record what AI agents do in a backend.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def version(
    *,
    show: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    """Record what AI agents do in a backend."""
    if show:
        typer.echo(f"otas-middleware {__version__}")
        raise typer.Exit


@app.command()
def brain(
    *,
    host: Annotated[
        str, typer.Option(help="A loopback address, or localhost; with an access token any, such as 0.0.0.0.")
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
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen; 0 chooses a free port.")] = 8002,
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
def demo(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running afterwards.")] = False,
) -> None:
    """Play an agent and show what arrives in Brain.

    Runs three example applications and a local Brain, uses them as an agent would, and checks what was recorded.
    """
    from otas_middleware._cli.demo import main  # noqa: PLC0415  # see the module's docstring

    raise typer.Exit(main(keep))


app.command()(doctor)
app.command()(settings)
app.command()(relay)

# The first word that is no option begins the curl command: what follows belongs to that.
app.command(context_settings={"allow_interspersed_args": False})(preview)
