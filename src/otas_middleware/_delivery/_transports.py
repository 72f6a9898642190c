"""Which transport carries the requests: chosen once per pipeline, made once per sending thread."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
from typing import TYPE_CHECKING, cast

from otas_middleware._delivery._paths import load
from otas_middleware._delivery._threads import cooperative
from otas_middleware._errors import ConfigurationError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable

    from otas_middleware._delivery._protocols import Transport
    from otas_middleware._settings import OtasSettings

logger = logging.getLogger("otas_middleware")


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
    if name == "fast" and not _fast_is_installed():
        raise MissingExtraError("OTAS_TRANSPORT=fast", "fast")

    def make() -> Transport:
        if (name == "fast" or (name in {"auto", "celery"} and _fast_is_usable())) and _fast_lives_here():
            from otas_middleware._delivery._fast import FastTransport  # noqa: PLC0415  # in the worker only

            return FastTransport(connect_timeout)
        from otas_middleware._delivery._httpx import HttpxTransport  # noqa: PLC0415  # in the worker only

        return HttpxTransport(connect_timeout)

    return make


def _fast_is_installed() -> bool:
    return importlib.util.find_spec("pyreqwest") is not None


def _fast_is_usable() -> bool:
    """Say whether pyreqwest is there, loads, and would not block a cooperative scheduler."""
    if not _fast_is_installed() or cooperative():
        return False
    try:
        importlib.import_module("pyreqwest.client")
    except Exception as error:  # a broken installation must not stop delivery
        logger.info(
            "otas: pyreqwest is installed but does not load (%s); httpx carries the events.", type(error).__name__
        )
        return False
    return True


_fast_process: int | None = None
"""The first process that used pyreqwest, of those that this one descends from."""


def _fast_lives_here() -> bool:
    """Say whether pyreqwest can work in this process: once a parent has used it, its runtime fails in every child."""
    global _fast_process  # noqa: PLW0603  # the runtime is the process's
    if _fast_process is None:
        _fast_process = os.getpid()
    return _fast_process == os.getpid()


def _users_own(path: str) -> Callable[[], Transport]:
    made = load(path, "transport")
    if isinstance(made, type):
        return cast("Callable[[], Transport]", made)
    if not callable(made):
        raise ConfigurationError(f"otas_middleware: the transport {path!r} is neither a function nor a class.")
    return lambda: cast("Transport", made)
