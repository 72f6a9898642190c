"""The options by which a command is told of an application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from otas_middleware._cli.application import Source
    from otas_middleware._cli.application.subject import Kind

Django = Annotated[str | None, typer.Option("--django", metavar="SETTINGS", help="A Django project's settings module.")]
Flask = Annotated[
    str | None,
    typer.Option("--flask", metavar="MODULE:APP", help="A Flask application, or its factory: shop:create_app()."),
]
Asgi = Annotated[
    str | None, typer.Option("--asgi", metavar="MODULE:APP", help="An ASGI application: FastAPI, Starlette, any other.")
]
Wsgi = Annotated[str | None, typer.Option("--wsgi", metavar="MODULE:APP", help="A WSGI application.")]


def source(django: str | None, flask: str | None, asgi: str | None, wsgi: str | None) -> Source:
    """Return what the options name; without any the environment.

    Raises:
        BadParameter: More than one is given.
    """
    from otas_middleware._cli.application import Source  # noqa: PLC0415  # pydantic only for commands that run

    given: list[tuple[Kind, str]] = []
    if django is not None:
        given.append(("django", django))
    if flask is not None:
        given.append(("flask", flask))
    if asgi is not None:
        given.append(("asgi", asgi))
    if wsgi is not None:
        given.append(("wsgi", wsgi))
    if len(given) > 1:
        raise typer.BadParameter("give one of --django, --flask, --asgi and --wsgi")
    return Source(*given[0]) if given else Source()


def url(option: str, value: str | None) -> str | None:
    """Return the URL that an option gives, checked as the settings check theirs.

    Raises:
        BadParameter: It is not an HTTP URL.
    """
    from otas_middleware._config.types import check_url  # noqa: PLC0415  # as above

    try:
        return None if value is None else check_url(value)
    except ValueError as error:
        raise typer.BadParameter(f"{option}: {error}") from None
