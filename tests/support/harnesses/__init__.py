"""One file for each framework: an application that answers the scenarios, with and without us."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from support.harnesses._harness import Harness

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MODULES", "Harness", "harnesses"]

MODULES = [
    "asgi_raw",
    "starlette_app",
    "fastapi_app",
    "wsgi_raw",
    "flask_app",
    "django_app",
    "litestar_app",
    "quart_app",
    "falcon_app",
    "bottle_app",
    "pyramid_app",
]


def harnesses() -> list[Harness]:
    """Return all harnesses, those of one framework beside each other.

    `make test` has all frameworks; environments with old versions may lack one that cannot be beside them.
    """
    found: list[Harness] = []
    for name in MODULES:
        package = name.rpartition("_")[0]
        if not name.endswith("_raw") and find_spec(package) is None:
            continue
        made: Iterable[Harness] = import_module(f"support.harnesses.{name}").HARNESSES
        found.extend(made)
    return found
