"""The options of `otas-middleware relay`."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from typing import Annotated

import typer

from otas_middleware._errors import ConfigurationError, MissingExtraError


def relay(
    *,
    socket: Annotated[
        str, typer.Option("--socket", metavar="PATH", help="Where to listen. Default: what OTAS_RELAY says.")
    ] = "",
    status: Annotated[
        bool, typer.Option("--status", help="Print the counters of the relay that runs there, as JSON, and end.")
    ] = False,
) -> None:
    """Deliver for the applications of this host, which hand over what they record (OTAS_RELAY=PATH).

    It runs until SIGTERM, and then delivers what it has, or leaves it to the applications. Linux only.
    """
    if find_spec("msgspec") is None:
        raise MissingExtraError("otas-middleware relay", "relay")
    from otas_middleware._delivery.relay import trust  # noqa: PLC0415  # when the command runs

    if not trust.SUPPORTED:
        raise ConfigurationError("the relay needs Linux: packets over Unix sockets, and the other side's user")
    path = socket or os.environ.get("OTAS_RELAY", "")
    if path in {"", "auto"} and not status:
        raise ConfigurationError("say where to listen: `otas-middleware relay --socket /run/otas/relay.sock`")
    if status:
        from otas_middleware._delivery.relay.status import automatic_path, state_of  # noqa: PLC0415  # as above

        typer.echo(json.dumps(state_of(automatic_path() if path in {"", "auto"} else path), indent=2))
        return
    from otas_middleware._cli.relay.run import run  # noqa: PLC0415  # as above

    run(path)
