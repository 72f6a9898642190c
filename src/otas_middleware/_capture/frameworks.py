"""The name of the framework that an application is made with, found without importing any."""

from __future__ import annotations

from typing import Any, cast

_KNOWN = ("fastapi", "litestar", "quart", "flask", "falcon", "bottle", "pyramid", "django", "starlette")
_names: dict[type[Any], str | None] = {}


def framework_of(app: object, otherwise: str) -> str:
    """Return the name of the framework that an application, or a method of one, belongs to.

    Args:
        app: The application.
        otherwise: The name of those that belong to none, such as `wsgi`.
    """
    kind = cast("type[Any]", type(getattr(app, "__self__", app)))
    if kind not in _names:
        roots = {base.__module__.partition(".")[0] for base in kind.__mro__}
        _names[kind] = next((known for known in _KNOWN if known in roots), None)
    return _names[kind] or otherwise
