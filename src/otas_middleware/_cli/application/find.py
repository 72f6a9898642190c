"""Finding our middleware in an application, without running a request: frameworks are read, wrappers are unwrapped.

No framework is imported here. What an application is made of tells itself by the classes of its objects.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import os
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from types import FunctionType
from typing import TYPE_CHECKING, Any, cast

from otas_middleware import _recorder
from otas_middleware._config.settings import OtasSettings
from otas_middleware._config.sources import env_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

_MOST_LAYERS = 200
ADAPTERS = ("otas_middleware.asgi.OtasMiddleware", "otas_middleware.wsgi.OtasMiddleware")
DJANGO_ADAPTER = "otas_middleware.django.OtasMiddleware"

# Under these names wrappers keep what they wrap.
_WRAPPED = "app application wsgi_app asgi_app asgi_handler _app inner wrapped handler _wrapped"
_INNER = tuple(_WRAPPED.split())

_WRITTEN = {"fastapi": "FastAPI"}
"""Frameworks whose names are not written as others."""

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_INSIDE_OF_LITESTAR = (
    "it runs inside of Litestar, so what Litestar answers for want of a handler (404, 405) is not recorded",
    "take it out of middleware=[…] and wrap the application: app = OtasMiddleware(app)",
)


@dataclass(frozen=True)
class Placement:
    """One place where our middleware is.

    Attributes:
        where: The place, in words.
        outer: What stands between it and the server, the outermost first.
        keywords: The settings that it was given there, where that can be known.
        made: The adapter's object, where there is one already.
        adapter: The module of the adapter: `asgi`, `wsgi`, `django` or `flask`.
        concern: What is wrong with the place, and what to do instead; empty where nothing is.
    """

    where: str
    outer: tuple[str, ...] = ()
    keywords: Mapping[str, object] | None = None
    made: object | None = None
    adapter: str = ""
    concern: tuple[str, str] | None = None


def find(app: object, name: str) -> list[Placement]:
    """Return the places of our middleware, from the outside to the inside.

    Args:
        app: A WSGI or ASGI application.
        name: What it is called, such as `shop.main:app`.
    """
    return list(_Walk().walk(app, name, ()))


def framework_of(app: object) -> str | None:
    """Return the framework of an application and its version, such as `Flask 3.1.3`; of a wrapped one the innermost."""
    named = [name for layer in _layers(app) if (name := _recorder.framework_of(layer, ""))]
    return f"{_WRITTEN.get(named[-1], named[-1].capitalize())} {installed(named[-1])}" if named else None


def installed(distribution: str) -> str:
    """Return a distribution's version, or a question mark."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "?"


def is_a(thing: object, *names: str) -> bool:
    """Say whether an object is an instance of a class, given as `module.Class`, or of one derived from it."""
    return derives(type(thing), *names)


def derives(kind: type, *names: str) -> bool:
    """Say whether a class is one of these, given as `module.Class`, or derived from one."""
    return any(f"{base.__module__}.{base.__qualname__}" in names for base in kind.__mro__)


def attribute(thing: object, name: str) -> Any:
    """Return an attribute that has no public name, or None."""
    return getattr(thing, name, None)


class _Walk:
    """One search; it visits no object twice."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def walk(self, app: object, name: str, outer: tuple[str, ...]) -> Iterator[Placement]:
        if id(app) in self._seen or len(self._seen) > _MOST_LAYERS:
            return
        self._seen.add(id(app))
        if is_a(app, *ADAPTERS):
            yield Placement(f"around {name}", outer, made=app, adapter=_adapter(type(app)))
        elif is_a(app, "starlette.applications.Starlette"):
            yield from self._starlette(app, name, outer)
        elif is_a(app, "litestar.app.Litestar"):
            for place in self._listed(attribute(app, "middleware"), f"{name}.middleware", outer):
                yield dataclasses.replace(place, concern=_INSIDE_OF_LITESTAR)
        elif is_a(app, "flask.app.Flask"):
            yield from self._flask(app, name, outer)
        elif is_a(app, "django.core.handlers.base.BaseHandler"):
            yield from in_django(outer)
            return
        for key, inner in _wrapped(app):
            layer = () if is_a(app, *ADAPTERS) else (_label(app),)
            shown = name if key in _INNER or not key else f"{name}.{key}"
            yield from self.walk(inner, shown, outer + layer)

    def _starlette(self, app: object, name: str, outer: tuple[str, ...]) -> Iterator[Placement]:
        yield from self._listed(attribute(app, "user_middleware"), f"{name}.user_middleware", outer)
        for route in cast("Iterable[object]", attribute(app, "routes") or ()):
            mounted = attribute(route, "app")
            if mounted is not None and is_a(route, "starlette.routing.Mount"):
                yield from self.walk(mounted, f"the application mounted at {attribute(route, 'path')}", outer)

    def _listed(self, entries: object, place: str, outer: tuple[str, ...]) -> Iterator[Placement]:
        before = outer
        for index, entry in enumerate(cast("Sequence[object]", entries or ())):
            kind, keywords = _entry(entry)
            if isinstance(kind, type) and derives(kind, *ADAPTERS):
                yield Placement(f"{place}[{index}]", before, keywords, adapter=_adapter(kind))
            before = (*before, _label(kind))

    def _flask(self, app: object, name: str, outer: tuple[str, ...]) -> Iterator[Placement]:
        own = vars(app).get("wsgi_app")
        if own is not None:
            yield from self.walk(own, f"{name}.wsgi_app", outer)
        extension = cast("Mapping[str, object]", attribute(app, "extensions") or {}).get("otas")
        if extension is not None and is_a(extension, "otas_middleware.flask.Otas"):
            options = attribute(extension, "_options")
            yield Placement(f"the hooks of {name}", outer, options, extension, adapter="flask")


def in_django(outer: tuple[str, ...] = ()) -> Iterator[Placement]:
    """Find our middleware in the `MIDDLEWARE` of the Django settings that are in force; also those not made for it."""
    from django.conf import settings  # noqa: PLC0415  # only for Django's projects
    from django.utils.module_loading import import_string  # noqa: PLC0415  # as above

    names: Sequence[str] = settings.MIDDLEWARE
    for index, name in enumerate(names):
        ours = name == DJANGO_ADAPTER
        if name in ADAPTERS:
            yield Placement(f"MIDDLEWARE[{index}]", (*outer, *names[:index]), adapter=name.split(".")[1])
        elif not ours and not name.startswith("django."):
            try:
                kind: object = import_string(name)
            except Exception:  # noqa: S112  # it is not ours then; Django itself will say what is wrong with it
                continue
            ours = isinstance(kind, type) and derives(kind, DJANGO_ADAPTER)
        if ours:
            yield Placement(f"MIDDLEWARE[{index}]", (*outer, *names[:index]), adapter="django")


def wrong_in_django(place: Placement) -> tuple[str, str] | None:
    """Say what an adapter for something else does in `MIDDLEWARE`, and what to do; None for one in its place."""
    if not place.where.startswith("MIDDLEWARE[") or place.adapter == "django":
        return None
    text = f"{place.where} is the middleware for {place.adapter.upper()}: in that list each request fails"
    return text, f'put "{DJANGO_ADAPTER}" there instead'


def protocol_of(app: object) -> str | None:
    """Return `asgi` or `wsgi`, by the form of an application's call; of one in our middleware that of what it wraps."""
    inner = next((layer for layer in _layers(app) if not is_a(layer, *ADAPTERS)), app)
    call = inner if inspect.isroutine(inner) else getattr(type(inner), "__call__", None)  # noqa: B004  # its form counts
    if inspect.iscoroutinefunction(call):
        return "asgi"
    try:
        parameters = inspect.signature(cast("Callable[..., object]", inner)).parameters.values()
    except (TypeError, ValueError):
        return None
    needed = [each for each in parameters if each.kind in _POSITIONAL and each.default is each.empty]
    return {2: "wsgi", 3: "asgi"}.get(len(needed))


def is_application(app: object) -> bool:
    """Say whether a server could call an object; of functions that can be told, anything else is taken to be one."""
    if not inspect.isfunction(app):
        return True
    for arguments in (2, 3):
        with contextlib.suppress(TypeError):
            inspect.signature(app).bind(*range(arguments))
            return True
    return False


def _adapter(kind: type) -> str:
    return "asgi" if derives(kind, ADAPTERS[0]) else "wsgi"


def _entry(entry: object) -> tuple[object, Mapping[str, object]]:
    """Return the class and keywords of an entry of a list of middlewares: a framework's object, a partial, a class."""
    if isinstance(entry, functools.partial):
        partial = cast("functools.partial[object]", entry)
        return partial.func, partial.keywords
    for name in ("cls", "middleware"):
        kind = attribute(entry, name)
        if kind is not None:
            return kind, attribute(entry, "kwargs") or {}
    return entry, {}


def _layers(app: object) -> Iterator[object]:
    seen: set[int] = set()
    layers = [app]
    while layers and len(seen) < _MOST_LAYERS:
        layer = layers.pop()
        if id(layer) not in seen:
            seen.add(id(layer))
            yield layer
            layers += [inner for _, inner in _wrapped(layer)]


def _wrapped(layer: object) -> Iterator[tuple[str, object]]:
    """Return what an object wraps, with the attribute's name: by attribute, by partial, as a method, by closure."""
    own = cast("dict[str, object]", getattr(layer, "__dict__", {}))
    candidates = [(name, own.get(name)) for name in (*_INNER, "__wrapped__")]
    candidates.append(("", getattr(layer, "__self__", None)))
    candidates += [("", inner) for inner in (*_partial(layer), *_closure(layer))]
    for name, inner in candidates:
        if callable(inner) and not isinstance(inner, type):
            yield ("" if name.startswith("__") else name), inner


def _partial(layer: object) -> Iterator[object]:
    if isinstance(layer, functools.partial):
        partial = cast("functools.partial[object]", layer)
        yield from (partial.func, *partial.args, *partial.keywords.values())


def _closure(layer: object) -> Iterator[object]:
    if isinstance(layer, FunctionType):
        for cell in layer.__closure__ or ():
            with contextlib.suppress(ValueError):  # a cell that is still empty
                yield cell.cell_contents


def _label(layer: object) -> str:
    kind = layer if isinstance(layer, type) else type(layer)
    name: str = getattr(layer, "__qualname__", kind.__qualname__)
    return name


def unread_in_django() -> Iterator[tuple[str, str]]:
    """Yield what Django's settings hold beside `OTAS`, where nobody reads it, and what to write instead.

    A name that the environment or `OTAS` has too is an intermediate value of the project's own.
    """
    from django.conf import settings  # noqa: PLC0415  # only for Django's projects

    from otas_middleware.django import own_settings  # noqa: PLC0415  # as above

    read = own_settings()
    for field in OtasSettings.model_fields:
        name = env_name(field)
        if hasattr(settings, name) and not os.environ.get(name) and field.upper() not in read:
            text = f"{name} in the Django settings is read by nobody"
            yield text, f'write OTAS = {{"{field.upper()}": …}} there, or set {name} in the environment'
