"""OTAS middleware: records what AI agents do in a backend, as events in Brain.

The adapters are `otas_middleware.asgi`, `.wsgi`, `.django` and `.flask`. The functions here are for the code of an
application that one of them records; importing this package imports no framework and no HTTP client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otas_middleware._capture.context import annotate, checkpoint, current_session
from otas_middleware._capture.selection import RequestInfo
from otas_middleware._capture.session import SessionInfo
from otas_middleware._errors import ConfigurationError, MissingExtraError, OtasError
from otas_middleware._recorder import flush, stats
from otas_middleware._version import __version__

if TYPE_CHECKING:
    from otas_middleware._config.settings import OtasSettings
    from otas_middleware._event import BackendEvent

__all__ = [
    "BackendEvent",
    "ConfigurationError",
    "MissingExtraError",
    "OtasError",
    "OtasSettings",
    "RequestInfo",
    "SessionInfo",
    "__version__",
    "annotate",
    "checkpoint",
    "current_session",
    "flush",
    "stats",
]

# pydantic models cost an import that requests do not need; they are fetched when somebody names them.
_LAZY = {"BackendEvent": "otas_middleware._event", "OtasSettings": "otas_middleware._config.settings"}

_ADAPTERS = {
    "OtasMiddleware": "otas_middleware.asgi (Starlette, FastAPI, …), otas_middleware.django or otas_middleware.wsgi",
    "Otas": "otas_middleware.flask",
}
"""Where people look for the adapters first, and where they are: this package imports no framework."""


def __getattr__(name: str) -> Any:
    if name in _ADAPTERS:
        raise ImportError(f"import {name} from {_ADAPTERS[name]}, not from otas_middleware")
    if name == "AgentSession":
        from warnings import warn  # noqa: PLC0415  # only for those who use the old name

        warn("otas_middleware.AgentSession is now otas_middleware.SessionInfo", DeprecationWarning, stacklevel=2)
        return SessionInfo
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415  # see _LAZY

    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
