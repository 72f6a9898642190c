"""ASGI: its types, and what a scope says of its request: the path that the client called, the route that matched."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache, partial
from inspect import isclass, isroutine, signature
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Hashable

# The ASGI protocol's types, named once (ASGI specification 3.0, HTTP sub-specification 2.5).
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]
"""Frameworks type the three arguments each in their own way; all of them are accepted."""


def full_path(scope: Scope) -> str:
    """Return the path as the client called it: `path` includes `root_path`, but older servers left it out."""
    path: str = scope.get("path", "")
    root: str = (scope.get("root_path") or "").rstrip("/")
    if root and path != root and not path.startswith(root + "/"):
        return root + path
    return path


def route_of(scope: Scope) -> str | None:
    """Return the innermost route's template as its framework spells it: None if none matched, `""` if unknown."""
    template = scope.get("path_template")  # Litestar
    if isinstance(template, str):
        # Of what is mounted the template is the mount's, and `path` what remains.
        return None if getattr(scope.get("route_handler"), "is_mount", False) else template
    route = scope.get("route")
    if route is not None:
        path = getattr(route, "path", None)
        # What has routes is a mount: which one of the mounted application matched, it does not say.
        return path if isinstance(path, str) and not hasattr(route, "routes") else None
    # Older Starlette names the endpoint only; the template then follows from the path and its parameters.
    endpoint = scope.get("endpoint")
    if endpoint is None or not (isroutine(endpoint) or isclass(endpoint) or isinstance(endpoint, partial)):
        return None
    # Below a mount, a function may be the application that is mounted: what it makes of the path, nobody says.
    return None if "app_root_path" in scope and _is_application(cast("Hashable", endpoint)) else ""


@lru_cache(maxsize=256)
def _is_application(endpoint: Any) -> bool:
    """Say whether a function is an ASGI application rather than a view: it takes scope, receive and send."""
    try:
        return not isclass(endpoint) and len(signature(endpoint).parameters) == 3
    except (TypeError, ValueError):
        return False
