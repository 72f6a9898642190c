"""Which transport carries the requests: chosen once per pipeline, made once per sending thread."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

from otas_middleware._errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._delivery._protocols import Transport
    from otas_middleware._settings import OtasSettings


def transport_factory(settings: OtasSettings) -> Callable[[], Transport]:
    """Return what makes a transport; call it in the process and the thread that uses the transport.

    Nothing heavy is imported here: `import otas_middleware` stays light, and a client must not exist before a fork.

    Raises:
        ConfigurationError: The setting `transport` names nothing that can be imported and called.
    """
    name = settings.transport
    if ":" in name:
        return _users_own(name)
    connect_timeout = settings.connect_timeout

    def make() -> Transport:
        from otas_middleware._delivery._httpx import HttpxTransport  # noqa: PLC0415  # in the worker only

        return HttpxTransport(connect_timeout)

    return make


def _users_own(path: str) -> Callable[[], Transport]:
    module, _, name = path.partition(":")
    try:
        made: object = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"otas_middleware: the transport {path!r} cannot be imported ({type(error).__name__}); "
            "write it as package.module:name."
        ) from error
    if isinstance(made, type):
        return cast("Callable[[], Transport]", made)
    if not callable(made):
        raise ConfigurationError(f"otas_middleware: the transport {path!r} is neither a function nor a class.")
    return lambda: cast("Transport", made)
