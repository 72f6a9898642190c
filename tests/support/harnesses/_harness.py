"""What the suite asks of a harness."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware import OtasSettings


@cache
def _made(harness: Harness, settings: OtasSettings | None) -> Any:
    return harness.build(settings)


@dataclass(frozen=True)
class Harness:
    """A framework with the middleware in the place where its users put it.

    Attributes:
        name: For test ids, such as `starlette-sync`.
        protocol: Which gateway calls the application.
        framework: The event's `metadata.framework`.
        build: Makes the application; bare when the settings are None.
        has_routes: The framework matches route templates.
        answers_exceptions: An unhandled exception becomes a response before it reaches the middleware. Elsewhere the
            answer is made outside of it, by a server or by an outer layer of the framework.
        unnamed: The scenarios whose exception the framework turns into a response without telling anybody.
        reads_ahead: The framework takes the body from the server even when the application does not look at it.
    """

    name: str
    protocol: Literal["asgi", "wsgi"]
    framework: str
    build: Callable[[OtasSettings | None], Any]
    has_routes: bool = True
    answers_exceptions: bool = False
    unnamed: tuple[str, ...] = ()
    reads_ahead: bool = False

    def application(self, settings: OtasSettings | None) -> Any:
        """Return the application; it is made once for each settings, as a server would make it."""
        return _made(self, settings)

    def __str__(self) -> str:
        return self.name
